package policy

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

var update = flag.Bool("update", false, "write the golden files")

// mustParse parses a document that is right.
func mustParse(t testing.TB, src string) *Policy {
	t.Helper()
	p, err := Parse("p.yaml", []byte(src))
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return p
}

func files(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files %s (%v)", pattern, err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = src
	}
	return all
}

func TestGoodDocuments(t *testing.T) {
	good := files(t, "testdata/good/*.yaml")
	good["starter.yaml"] = Starter()
	for name, src := range good {
		p, err := Parse(name, src)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		again, err := Parse(name, p.Source())
		if err != nil || again.Hash() != p.Hash() {
			t.Errorf("%s: its source parses to another policy: %v", name, err)
		}
		crlf, err := Parse(name, []byte("\xef\xbb\xbf"+strings.ReplaceAll(string(src), "\n", "\r\n")))
		if err != nil || crlf.Hash() != p.Hash() {
			t.Errorf("%s: with a byte order mark and CRLF it is another policy: %v", name, err)
		}
	}
}

func TestStarterHasNoWarnings(t *testing.T) {
	for _, p := range []*Policy{mustParse(t, string(Starter())), Default()} {
		if w := Check(p); len(w) > 0 {
			t.Errorf("%s: %v", p.File(), w)
		}
	}
}

// TestBadDocuments holds every message of the files in testdata/bad to the letter.
func TestBadDocuments(t *testing.T) {
	for name, src := range files(t, "testdata/bad/*.yaml") {
		_, err := Parse(filepath.Base(name), src)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, readErr := os.ReadFile(golden)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if got := err.Error() + "\n"; got != string(want) {
			t.Errorf("%s:\ngot:\n%swant:\n%s", name, got, want)
		}
	}
}

const head = "apiVersion: swarmpurse/v1\nrevision: 1\n"

// A policy that is part of a file has its mistakes where the file has them.
func TestPartsHaveTheirPlaceInTheFile(t *testing.T) {
	for name, src := range files(t, "testdata/bad/*.yaml") {
		var whole, part *Errors
		_, err := Parse(name, src)
		if !errors.As(err, &whole) {
			t.Fatal(err)
		}
		_, err = ParsePart(name, src, 10, 4)
		if !errors.As(err, &part) || len(part.List) != len(whole.List) {
			t.Fatalf("%s: as a part it has the mistakes\n%v\nand alone\n%v", name, err, whole)
		}
		for i, e := range whole.List {
			if at := part.List[i].Pos; at != (Pos{File: name, Line: e.Pos.Line + 10, Column: e.Pos.Column + 4}) {
				t.Errorf("%s: a mistake at %v is at %v in the file", name, e.Pos, at)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	const tokens = head + "tokens: {c: {unit: token}, r: {unit: read}}\n"
	const budget = tokens + "budgets:\n  - {name: b, token: c, supply: {grant: 1M}}\n"
	for _, c := range []struct{ name, src, want string }{
		{"empty", "", "p.yaml:1:1: the document is empty; start with apiVersion: swarmpurse/v1"},
		{"comment only", "# nothing\n", "p.yaml:1:1: the document is empty; start with apiVersion: swarmpurse/v1"},
		{"scalar", "hello", "p.yaml:1:1: the document must be a mapping, not the text \"hello\"; write its fields: apiVersion, revision, requires, timezone, tokens, classes, tenants, budgets, rules, backpressure, default, guardians, lease, autonomy, audit, flags, experiments, rollout, data, upstreams, callers, trust, ratelimit"},
		{"two documents", head + "---\n" + head, "p.yaml:3:1: the file holds more than one YAML document; write one policy per file"},
		{"tab", head + "tokens:\n\tc: {unit: token}\n", "p.yaml:4:1: not valid YAML: while scanning for the next token: found character that cannot start any token; indent with spaces, not tabs"},
		{"open flow", head + "tokens: {c: {unit: token}\n", "p.yaml:3:9: not valid YAML: while parsing a flow mapping: did not find expected ',' or '}'"},
		{"not UTF-8", head + "timezone: \"é\xff\"\n", "p.yaml:3:13: the file is not UTF-8 text; save it as UTF-8"},
		{"unknown anchor", head + "tokens: *t\n", "p.yaml:3:9: not valid YAML: unknown anchor 't' referenced"},
		{"merge key", head + "<<: {default: admit}\n", "p.yaml:3:1: YAML merge keys (<<) are not supported; write the fields out"},
		{"tag", head + "timezone: !!str UTC\n", "p.yaml:3:11: YAML tags (!!str) are not supported; leave it out"},
		{"list as key", head + "[a]: 1\n", "p.yaml:3:1: a field's name must be a plain word"},
		{"missing head", "default: deny\n", "p.yaml:1:1: the document lacks the field \"apiVersion\"; add apiVersion: the form of this document\n" +
			"p.yaml:1:1: the document lacks the field \"revision\"; add revision: grows with every change: the highest revision wins in the whole swarm"},
		{"later version", "apiVersion: swarmpurse/v2\nrevision: 1\n", "p.yaml:1:13: this version does not know apiVersion \"swarmpurse/v2\"; write swarmpurse/v1"},
		{"revision zero", "apiVersion: swarmpurse/v1\nrevision: 0\n", "p.yaml:2:11: revision cannot be 0; write a whole number from 1, and raise it with every change"},
		{"revision text", "apiVersion: swarmpurse/v1\nrevision: \"1\"\n", "p.yaml:2:11: revision must be a whole number, not the text \"1\"; write a whole number from 1, and raise it with every change"},
		{"revision too large", "apiVersion: swarmpurse/v1\nrevision: 9007199254740992\n", "p.yaml:2:11: revision cannot be 9007199254740992; write a whole number from 1, and raise it with every change"},
		{"field twice", head + "default: deny\ndefault: admit\n", "p.yaml:4:1: field \"default\" is given twice, first on line 3"},
		{"unknown field", head + "budgts: []\n", "p.yaml:3:1: unknown field \"budgts\" in the document; did you mean \"budgets\"?"},
		{"far from any field", head + "zzz: 1\n", "p.yaml:3:1: unknown field \"zzz\" in the document; known are apiVersion, revision, requires, timezone, tokens, classes, tenants, budgets, rules, backpressure, default, guardians and 11 more"},
		{"default", head + "default: yes\n", "p.yaml:3:10: default cannot be \"yes\"; write admit or deny"},
		{"default bool", head + "default: true\n", "p.yaml:3:10: default must be text, not the boolean true; write it in quotes: \"true\""},
		{"timezone", head + "timezone: Europe/Berln\n", "p.yaml:3:11: unknown timezone \"Europe/Berln\"; write an IANA name, as in UTC or Europe/Berlin"},
		{"local timezone", head + "timezone: Local\n", "p.yaml:3:11: timezone cannot be \"Local\"; write an IANA name, as in UTC or Europe/Berlin"},
		{"timezone path", head + "timezone: ../../etc/passwd\n", "p.yaml:3:11: unknown timezone \"../../etc/passwd\"; write an IANA name, as in UTC or Europe/Berlin"},
		{"empty list", head + "rules: []\n", "p.yaml:3:8: rules is empty; write a list of rules, or leave the field out"},
		{"nothing", head + "rules:\n", "p.yaml:3:7: rules must be a list, not nothing; write a list of rules, or leave the field out"},

		{"token list", head + "tokens: [c]\n", "p.yaml:3:9: tokens must be a mapping, not a list; write token types by name, as in compute: {unit: token}"},
		{"token without unit", head + "tokens: {c: {}}\n", "p.yaml:3:13: a token type lacks the field \"unit\"; add unit: what one is: token, input_token, output_token, request, call or slot have a default cost, bytes are charged as they flow through the proxy; any other (read, microdollar) needs a cost in the rule"},
		{"token name", head + "tokens: {a b: {unit: token}}\n", "p.yaml:3:10: a token type's name cannot be \"a b\"; use letters, digits, '-', '_' and '.', with a letter or digit first"},
		{"token twice", head + "tokens: {c: {unit: token}, c: {unit: read}}\n", "p.yaml:3:28: \"c\" is given twice in tokens, first on line 3"},
		{"half life", head + "tokens: {c: {unit: token, decay: {half_life: 1}}}\n", "p.yaml:3:46: half_life: duration \"1\" has no unit; write 1ms, 1s or 1m"},
		{"short half life", head + "tokens: {c: {unit: token, decay: {half_life: 1ms}}}\n", "p.yaml:3:46: half_life must be 1s or more"},

		{"class weight", head + "classes: [{name: a, weight: 0}]\n", "p.yaml:3:29: weight cannot be 0; write a whole number from 1 to 1000"},
		{"class latency", head + "classes: [{name: a, latency_budget: 2h}]\n", "p.yaml:3:37: latency_budget is 2h0m0s, at most 1h0m0s is allowed"},
		{"class twice", head + "classes: [{name: a}, {name: a}]\n", "p.yaml:3:29: class \"a\" is given twice, first on line 3"},
		{"two defaults", head + "classes: [{name: a, default: true}, {name: b, default: true}]\n", "p.yaml:3:56: class \"a\" is the default already; mark one class only"},
		{"default quoted", head + "classes: [{name: a, default: \"true\"}]\n", "p.yaml:3:30: default must be true or false, not the text \"true\""},
		{"headroom", head + "classes: [{name: a, headroom: 0.1}]\n", "p.yaml:3:31: headroom: fraction \"0.1\" has no percent sign; write it as in 10%"},
		{"all headroom", head + "classes: [{name: a, headroom: 100%}]\n", "p.yaml:3:31: a class that leaves all of a budget to others can never run; write less than 100%"},
		{"objective of all", head + "classes: [{name: a, objective: 100%}]\n", "p.yaml:3:32: an objective of 100% cannot be missed by some calls and met all the same; write a part that leaves some calls over, as in 99%"},
		{"objective as a number", head + "classes: [{name: a, objective: 0.99}]\n", "p.yaml:3:32: objective: fraction \"0.99\" has no percent sign; write it as in 10%"},
		{"alerts that fall", budget[:len(budget)-2] + ", alerts: [80%, 50%]}\n", "p.yaml:5:60: alerts cannot hold 50% here; write rising fractions of the limit, as in [50%, 80%, 95%]"},
		{"alerts of a rate", tokens + "budgets:\n  - {name: b, token: c, supply: {rate: 10k/s, burst: 10k}, alerts: [80%]}\n", "p.yaml:5:68: a rate comes back all the time, so no fraction of it is ever used up; leave it out: levels tell how near a rate is to its end"},
		{"instances of one", budget[:len(budget)-2] + ", instances: 5}\n", "p.yaml:5:57: a budget without per has one instance; add per, or leave it out"},
		{"no instances", budget[:len(budget)-2] + ", per: [run], instances: 0}\n", "p.yaml:5:69: instances cannot be 0; write a whole number from 1 to 65536"},
		{"class queue", head + "classes: [{name: a, queue: 0}]\n", "p.yaml:3:28: queue cannot be 0; write a whole number from 1 to 1000000"},
		{"shed", head + "classes: [{name: a}]\nbackpressure: [{level: 3, shed: [a]}]\n", "p.yaml:4:34: class \"a\" is not sheddable; write sheddable: true in the class, or leave it out here"},
		{"level", head + "backpressure: [{level: 4, defer: [standard]}]\n", "p.yaml:3:24: level cannot be 4; write a whole number from 1 to 3"},
		{"level twice", head + "classes: [{name: a}]\nbackpressure: [{level: 1, defer: [a]}, {level: 1, defer: [a]}]\n", "p.yaml:4:48: level \"1\" is given twice, first on line 4"},
		{"level without effect", head + "backpressure: [{level: 1}]\n", "p.yaml:3:16: nothing happens at level 1; write defer: [CLASS, …] or shed: [CLASS, …]"},
		{"level of unknown class", head + "classes: [{name: a}]\nbackpressure: [{level: 1, defer: [b]}]\n", "p.yaml:4:35: unknown class \"b\"; did you mean \"a\"?"},
		{"levels", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, levels: [1m, 15s]}]\n", "p.yaml:4:59: there are 2 levels; write three times, each shorter than the one before, as in [1m, 15s, 3s]"},
		{"levels that rise", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, levels: [1m, 5m, 3s]}]\n", "p.yaml:4:64: level 2 begins at 5m0s, which is not below 1m0s; write three times, each shorter than the one before, as in [1m, 15s, 3s]"},
		{"tenants", head + "tenants: [a]\n", "p.yaml:3:10: tenants must be a mapping, not a list; write tenants by name, as in search: {weight: 3}"},
		{"tenant weight", head + "tenants: {a: {weight: 1001}}\n", "p.yaml:3:23: weight cannot be 1001; write a whole number from 1 to 1000"},
		{"tenant without weight", head + "tenants: {a: {}}\n", "p.yaml:3:14: a tenant lacks the field \"weight\"; add weight: its share of what a class gets when tenants of that class compete, 1 to 1000. Others have 1"},
		{"name is a number", head + "classes: [{name: 12}]\n", "p.yaml:3:18: a class's name must be text, not the number 12; write it in quotes: \"12\""},

		{"budget token", tokens + "budgets: [{name: b, token: d, supply: {grant: 1}}]\n", "p.yaml:4:28: unknown token type \"d\"; did you mean \"c\"?"},
		{"no token types", head + "budgets: [{name: b, token: c, supply: {grant: 1}}]\n", "p.yaml:3:28: unknown token type \"c\"; declare it, as in tokens: {compute: {unit: token}}"},
		{"budget twice", tokens + "budgets:\n  - {name: b, token: c, supply: {grant: 1}}\n  - {name: b, token: c, supply: {grant: 1}}\n", "p.yaml:6:12: budget \"b\" is given twice, first on line 5"},
		{"negative", tokens + "budgets: [{name: b, token: c, supply: {grant: -1}}]\n", "p.yaml:4:47: grant: amount \"-1\" is negative; write a whole number above zero"},
		{"zero", head + "tokens: {s: {unit: slot}}\nbudgets: [{name: b, token: s, supply: {slots: 0}}]\n", "p.yaml:4:47: slots: amount \"0\" is zero; write a whole number above zero"},
		{"too large", tokens + "budgets: [{name: b, token: c, supply: {grant: 10000T}}]\n", "p.yaml:4:47: grant: amount \"10000T\" is too large; at most 9007199254740991 is allowed"},
		{"two supplies", tokens + "budgets: [{name: b, token: c, supply: {grant: 1, rate: 1/s, burst: 1}}]\n", "p.yaml:4:39: supply has both grant and rate; write one of {grant: 10M}, {window: 24h, amount: 10M}, {rate: 50000/s, burst: 100000}, {slots: 8}"},
		{"no supply", tokens + "budgets: [{name: b, token: c, supply: {amount: 1}}]\n", "p.yaml:4:39: supply has none of grant, window, rate and slots; write one of {grant: 10M}, {window: 24h, amount: 10M}, {rate: 50000/s, burst: 100000}, {slots: 8}"},
		{"foreign field", tokens + "budgets: [{name: b, token: c, supply: {grant: 1, rollover: 10%}}]\n", "p.yaml:4:60: rollover goes with window, but this supply is grant; leave it out"},
		{"window without amount", tokens + "budgets: [{name: b, token: c, supply: {window: 1h}}]\n", "p.yaml:4:39: a window needs the field \"amount\"; add amount: tokens per window"},
		{"window of 7h", tokens + "budgets: [{name: b, token: c, supply: {window: 7h, amount: 1}}]\n", "p.yaml:4:48: window cannot be 7h; write whole seconds that divide a day (10m, 6h), whole days (24h, 7d), or month"},
		{"window of 36h", tokens + "budgets: [{name: b, token: c, supply: {window: 36h, amount: 1}}]\n", "p.yaml:4:48: window cannot be 36h; write whole seconds that divide a day (10m, 6h), whole days (24h, 7d), or month"},
		{"window of 0", tokens + "budgets: [{name: b, token: c, supply: {window: 0s, amount: 1}}]\n", "p.yaml:4:48: window cannot be zero; write whole seconds that divide a day (10m, 6h), whole days (24h, 7d), or month"},
		{"window word", tokens + "budgets: [{name: b, token: c, supply: {window: week, amount: 1}}]\n", "p.yaml:4:48: window: duration \"week\" is malformed; write whole seconds that divide a day (10m, 6h), whole days (24h, 7d), or month"},
		{"rollover", tokens + "budgets: [{name: b, token: c, supply: {window: 1h, amount: 1, rollover: 0.1}}]\n", "p.yaml:4:73: rollover: fraction \"0.1\" has no percent sign; write it as in 10%"},
		{"rate", tokens + "budgets: [{name: b, token: c, supply: {rate: 5, burst: 1}}]\n", "p.yaml:4:46: rate \"5\" does not say per what; write it as in 50000/s, 90k/m or 1M/h"},
		{"rate of nothing", tokens + "budgets: [{name: b, token: c, supply: {rate: 0/s, burst: 1}}]\n", "p.yaml:4:46: rate: amount \"0\" is zero; write a whole number above zero"},
		{"rate without burst", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s}}]\n", "p.yaml:4:39: a rate needs the field \"burst\"; add burst: the most of a rate that piles up. No call larger than this can ever run"},
		{"lend", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5, lend: 1ms}}]\n", "p.yaml:4:67: lend is 1ms, it must be between 100ms and 1h0m0s"},
		{"slots of tokens", tokens + "budgets: [{name: b, token: c, supply: {slots: 5}}]\n", "p.yaml:4:39: slots count calls, but a token of token type \"c\" is none; draw on a token type with unit: slot"},
		{"per", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, per: [tennant]}]\n", "p.yaml:4:57: per cannot hold \"tennant\"; did you mean \"tenant\"?"},
		{"per twice", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, per: [run, run]}]\n", "p.yaml:4:62: per holds \"run\" twice"},
		{"per attribute", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, per: [\"attributes.1 x\"]}]\n", "p.yaml:4:57: per cannot hold \"attributes.1 x\"; write a list of tenant, agent, run, class, model, attributes.NAME"},
		{"per scalar", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, per: tenant}]\n", "p.yaml:4:56: per must be a list, not the text \"tenant\"; write a list of tenant, agent, run, class, model, attributes.NAME"},
		{"ceiling", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, ceiling: hrad}]\n", "p.yaml:4:60: ceiling cannot be \"hrad\"; write hard, observe or {soft: 10%}"},
		{"soft", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, ceiling: soft}]\n", "p.yaml:4:60: a soft ceiling must say how far it may be overdrawn; write {soft: 10%}"},
		{"soft by nothing", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, ceiling: {soft: 0%}}]\n", "p.yaml:4:67: a soft ceiling that may be overdrawn by nothing is a hard one; write ceiling: hard"},
		{"dynamic grant", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, price: {mode: dynamic, base: 1, max: 8}}]\n", `p.yaml:4:65: a grant brings nothing by time that use could be measured against, so its price cannot move; write fixed`},
		{"dynamic without max", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: dynamic, base: 1}}]\n", `p.yaml:4:69: a dynamic price needs the field "max"; add max: the most that a cost is ever multiplied by, as in 8`},
		{"fixed with max", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {base: 1, max: 8}}]\n", `p.yaml:4:84: max goes with a price that moves, but this one is fixed; write mode: dynamic, or leave it out`},
		{"price mode", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: free, base: 1}}]\n", `p.yaml:4:76: unknown price mode "free"; write fixed, dynamic or hybrid`},
		{"max below base", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: dynamic, base: 2, max: 1}}]\n", `p.yaml:4:99: price max is below base`},
		{"min above base", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: dynamic, base: 2, min: 3, max: 8}}]\n", `p.yaml:4:99: price min is above base`},
		{"target", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: dynamic, base: 2, target: 0%, max: 8}}]\n", `p.yaml:4:102: target must be above 0% and at most 100%; write a part of the supply, as in 80%`},
		{"response", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: dynamic, base: 2, response: 10ms, max: 8}}]\n", `p.yaml:4:104: response is 10ms, it must be between 4s and 24h0m0s`},
		{"overdraft price", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, ceiling: {soft: 10%, price: 0.5}}]\n", `p.yaml:4:79: an overdraft price below 1 pays callers for what the swarm does not have; write a number from 1 on, as in 2`},
		{"price of nothing", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, price: {base: 0}}]\n", "p.yaml:4:65: price base cannot be 0; for a budget that only counts, write ceiling: observe"},
		{"price", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, price: {base: 1.1234567}}]\n", "p.yaml:4:65: price base \"1.1234567\" has more than 6 digits after the point; write a number above 0, as in 1.5"},
		{"guarantee of a grant", tokens + "budgets: [{name: b, token: c, supply: {grant: 1}, guarantee: {a: 20%}}]\n", "p.yaml:4:62: a guarantee is a part of what comes by time, and a grant brings nothing by time; give the tenant a budget of its own"},
		{"guarantee of what observes", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, ceiling: observe, guarantee: {a: 20%}}]\n", "p.yaml:4:91: a budget that only observes keeps no call back, so a guarantee does nothing; leave it out, or write ceiling: hard"},
		{"guarantee for whom", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, guarantee: 20%}]\n", "p.yaml:4:73: tenants share budget \"b\": say for whom the guarantee is; write parts of the supply by tenant, as in {search: 20%}, or one part for a budget that is per tenant"},
		{"guarantee by name where all have their own", tokens + "budgets: [{name: b, token: c, per: [tenant], supply: {rate: 5/s, burst: 5}, guarantee: {a: 20%}}]\n", "p.yaml:4:88: each tenant has an instance of budget \"b\" of its own; write one part for all, as in guarantee: 20%"},
		{"guarantees of more than there is", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, guarantee: {a: 60%, b: 50%}}]\n", "p.yaml:4:73: the guarantees of budget \"b\" come to 110% of its supply; lower some of them"},
		{"guarantee of nothing", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, guarantee: {a: 0%}}]\n", "p.yaml:4:77: a guarantee must be above 0% and at most 100%; write a part of the supply, as in 20%"},
		{"hybrid without a guarantee", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, price: {mode: hybrid, base: 1, max: 8}}]\n", "p.yaml:4:76: a hybrid price is the base price up to a guarantee, and budget \"b\" has none; add guarantee: {TENANT: 20%}, or write dynamic"},
		{"draw on a meter", tokens + "budgets: [{name: b, token: c, supply: {rate: 5/s, burst: 5}, guarantee: {a: 10%}}]\nrules: [{draw: ['b:a']}]\n", "p.yaml:5:17: unknown budget \"b:a\"; known: b"},

		{"degrade without effect", budget + "rules: [{draw: [b], degrade: {below: 20%}}]\n", "p.yaml:6:30: degrade changes nothing; add model, max_output_tokens or both"},
		{"degrade never", budget + "rules: [{draw: [b], degrade: {below: 0%, model: m}}]\n", "p.yaml:6:38: below must be above 0% and at most 100%; write a part of the limit, as in 20%, or leave it out: then calls run cheaper only instead of being refused"},
		{"degrade to no model", budget + "rules: [{draw: [b], degrade: {model: ''}}]\n", "p.yaml:6:38: model has 0 bytes, it must have 1 to 256"},
		{"degrade of what is not counted", budget + "rules: [{stop: true, degrade: {model: m}}]\n", "p.yaml:6:31: rule 1 draws on no budget, so degrade never does anything; put it into the rule that draws on the budget that runs low"},
		{"unknown budget", budget + "rules: [{draw: [bb]}]\n", "p.yaml:6:17: unknown budget \"bb\"; did you mean \"b\"?"},
		{"drawn twice", budget + "rules: [{draw: [b, b]}]\n", "p.yaml:6:20: rule 1 draws on budget \"b\" twice"},
		{"rule without effect", budget + "rules: [{when: 'true'}]\n", "p.yaml:6:9: rule 1 does nothing; write draw: [BUDGET, …], or stop: true for calls that are to run uncounted"},
		{"rule name twice", budget + "rules: [{name: x, draw: [b]}, {name: x, draw: [b]}]\n", "p.yaml:6:38: rule \"x\" is given twice, first on line 6"},
		{"cost of another type", budget + "rules: [{name: x, draw: [b], cost: {r: 1}}]\n", "p.yaml:6:37: no budget that rule \"x\" draws on is of token type \"r\"; draw on one, or leave the cost out"},
		{"cost of unknown type", budget + "rules: [{draw: [b], cost: {d: 1}}]\n", "p.yaml:6:28: unknown token type \"d\"; did you mean \"c\"?"},
		{"cost missing", tokens + "budgets: [{name: b, token: r, supply: {grant: 1}}]\nrules: [{draw: [b]}]\n", "p.yaml:5:17: what a call costs in token type \"r\" is not said: its unit is \"read\"; write cost: {r: …} in the rule; only the units token, input_token, output_token, request, call and slot have a default"},

		{"when syntax", budget + "rules:\n  - when: tenant == && true\n    draw: [b]\n", "p.yaml:7:21: when: syntax error: extraneous input '&&'"},
		{"when ends early", budget + "rules:\n  - when: tenant ==\n    draw: [b]\n", "p.yaml:7:20: when: syntax error: mismatched input end of the expression"},
		{"when name", budget + "rules:\n  - when: tenant == \"x\" && modle == \"y\"\n    draw: [b]\n", "p.yaml:7:28: when: \"modle\" is neither a variable nor a function; did you mean \"model\"?"},
		{"when type", budget + "rules:\n  - when: tenant == 1\n    draw: [b]\n", "p.yaml:7:18: when: == does not take (string, int)"},
		{"when number", budget + "rules:\n  - when: prompt_tokens\n    draw: [b]\n", "p.yaml:7:11: when must be true or false, but is a number (int); compare something, as in model == \"gpt-4o\""},
		{"when quoted", budget + "rules:\n  - when: 'tenant == \"ü\" && foo'\n    draw: [b]\n", "p.yaml:7:29: when: \"foo\" is neither a variable nor a function; known are tenant, agent, run, class, model, priority, prompt_tokens, max_output_tokens, cached_tokens, reasoning_tokens, attributes, data and 2 more"},
		{"when literal block", budget + "rules:\n  - when: |\n      tenant == \"x\" &&\n        modle == \"y\"\n    draw: [b]\n", "p.yaml:9:9: when: \"modle\" is neither a variable nor a function; did you mean \"model\"?"},
		{"when folded block", budget + "rules:\n  - when: >-\n      tenant == \"x\" &&\n      modle == \"y\"\n    draw: [b]\n", "p.yaml:9:7: when: \"modle\" is neither a variable nor a function; did you mean \"model\"?"},
		{"when over lines", budget + "rules:\n  - when: tenant == \"x\" &&\n      modle == \"y\"\n    draw: [b]\n", "p.yaml:8:7: when: \"modle\" is neither a variable nor a function; did you mean \"model\"?"},
		{"when escaped", budget + "rules:\n  - when: \"tenant == \\\"x\\\" && modle\"\n    draw: [b]\n", "p.yaml:7:11: when: \"modle\" is neither a variable nor a function; did you mean \"model\"?"},
		{"when empty", budget + "rules:\n  - when: ''\n    draw: [b]\n", "p.yaml:7:11: when is empty; write a CEL expression"},
		{"when costly", budget + "rules:\n  - when: data.all(x, data.all(y, data.exists(z, x + y == z)))\n    draw: [b]\n", "p.yaml:7:11: when could cost 1426392322 steps, at most 20000 are allowed; look at single attributes instead of searching in all, and do not nest all, exists, map and filter"},
		{"when endless regexp", budget + "rules:\n  - when: model.matches(\"(\")\n    draw: [b]\n", "p.yaml:7:11: when: error parsing regexp: missing closing ): `(`"},
		{"cost text", budget + "rules:\n  - draw: [b]\n    cost: {c: tenant}\n", "p.yaml:8:15: cost of c must be a number, but is text (string); write a number, as in prompt_tokens + 3 * max_output_tokens"},
		{"cost negative", budget + "rules:\n  - draw: [b]\n    cost: {c: -1}\n", "p.yaml:8:15: cost of c is not a number from 0 to 9007199254740991"},
		{"cost of two types", budget + "rules:\n  - draw: [b]\n    cost: {c: 'tenant == \"a\" ? 1.5 : 2'}\n", "p.yaml:8:30: cost of c: ? : does not take (bool, double, int); write both numbers with a point, as in 2.0, or use double(…)"},
		{"when not in", budget + "rules:\n  - when: tenant in model\n    draw: [b]\n", "p.yaml:7:18: when: in does not take (string, string)"},
		{"cost null", budget + "rules:\n  - draw: [b]\n    cost: {c: }\n", "p.yaml:8:15: cost of c must be a plain value, not nothing; write a CEL expression, as in prompt_tokens + 3 * max_output_tokens"},
		{"cost list", budget + "rules:\n  - draw: [b]\n    cost: [1]\n", "p.yaml:8:11: cost must be a mapping, not a list; write it by token type, as in {compute: prompt_tokens + 3 * max_output_tokens}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse("p.yaml", []byte(c.src))
			if errText(err) != c.want {
				t.Errorf("%s\ngot  %s\nwant %s", c.src, errText(err), c.want)
			}
			if (p == nil) != (err != nil) {
				t.Errorf("a policy and an error, or neither")
			}
		})
	}
}

func TestBounds(t *testing.T) {
	list := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	bomb := head + "timezone: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("f%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i+1, i, i, i, i, i, i, i, i)
	}
	for _, c := range []struct{ name, src, want string }{
		{"size", strings.Repeat("#", MaxSource+1), "p.yaml: the document has 1048577 bytes, at most 1048576 are allowed"},
		{"depth", head + "tokens: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "p.yaml:3:33: the document is nested more than 24 deep"},
		{"an alias to itself", head + "tokens: &a [*a]\n", "p.yaml:3:9: the document is nested more than 24 deep"},
		{"alias bomb", bomb, "p.yaml:3:25: the document expands to more than 200000 values; write the document with fewer aliases"},
		{"classes", head + "classes:\n" + list(65, "  - {name: c%d}\n"), "p.yaml:68:5: classes has 65 entries, at most 64 are allowed"},
		{"token types", head + "tokens:\n" + list(65, "  t%d: {unit: token}\n"), "p.yaml:68:3: there are 65 token types, at most 64 are allowed"},
		{"expression", head + "rules: [{stop: true, when: '" + strings.Repeat(" ", 4096) + "true'}]\n", "p.yaml:3:28: when has 4100 bytes, at most 4096 are allowed"},
		{"deep expression", head + "rules: [{stop: true, when: '" + strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200) + "'}]\n", "p.yaml:3:29: when: expression recursion limit exceeded: 48"},
		{"long name", head + "tokens: {" + strings.Repeat("x", 65) + ": {unit: token}}\n", "p.yaml:3:10: a token type's name has 65 bytes, at most 64 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse("p.yaml", []byte(c.src)); errText(err) != c.want {
				t.Errorf("got  %s\nwant %s", errText(err), c.want)
			}
		})
	}
}

func TestErrorsAreBoundedAndTyped(t *testing.T) {
	src := head
	for i := range 2000 {
		src += fmt.Sprintf("x%d: 1\n", i)
	}
	_, err := Parse("p.yaml", []byte(src))
	var all *Errors
	if !errors.As(err, &all) || len(all.List) != MaxErrors || all.More != 1980 {
		t.Fatalf("%T %.200v", err, err)
	}
	if !strings.HasSuffix(err.Error(), "\nand 1980 more") {
		t.Errorf("%s", err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Pos != (Pos{File: "p.yaml", Line: 3, Column: 1}) || one.Message != `unknown field "x0" in the document` {
		t.Errorf("%+v", one)
	}
}

// TestSpec holds the ledger's view of a document to the letter.
func TestSpec(t *testing.T) {
	p := mustParse(t, head+`
timezone: Europe/Berlin
tokens:
  c: {unit: tokens, decay: {half_life: 1h}}
  s: {unit: slots}
budgets:
  - {name: grant, token: c, supply: {grant: 2.5M}, ceiling: observe}
  - {name: day, token: c, supply: {window: 24h, amount: 10k, rollover: 12.5%}, ceiling: {soft: 5%}}
  - {name: month, token: c, supply: {window: month, amount: 1}}
  - {name: rate, token: c, supply: {rate: 90k/m, burst: 5k}}
  - {name: lent, token: c, supply: {rate: 1M/d, burst: 5k, lend: 1m}, price: {base: 1.5}}
  - {name: slots, token: s, supply: {slots: 8}}
`)
	berlin := p.Location()
	if berlin.String() != "Europe/Berlin" {
		t.Fatal(berlin)
	}
	const hour = 3_600_000
	for name, want := range map[string]ledger.Spec{
		"grant": {Kind: ledger.Grant, Ceiling: ledger.Observe, Amount: 2_500_000, HalfLife: hour},
		"day": {Kind: ledger.Windowed, Ceiling: ledger.Soft, Amount: 10_000, HalfLife: hour, RolloverPPM: 125_000,
			OverdraftPPM: 50_000, Calendar: ledger.Calendar{Length: 24 * hour, Loc: berlin}},
		"month": {Kind: ledger.Windowed, Amount: 1, HalfLife: hour, Calendar: ledger.Calendar{Months: 1, Loc: berlin}},
		"rate":  {Kind: ledger.Rate, Amount: 5_000, Per: 90_000, PerMillis: 60_000, Lend: 10_000},
		"lent":  {Kind: ledger.Rate, Amount: 5_000, Per: 1_000_000, PerMillis: 24 * hour, Lend: 60_000},
		"slots": {Kind: ledger.Slots, Amount: 8},
	} {
		b, ok := p.Budget(name)
		if !ok || b.Spec != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, b.Spec, want)
		}
	}
	if b, _ := p.Budget("lent"); b.Price != 1.5 {
		t.Errorf("price %v", b.Price)
	}
	again := mustParse(t, string(p.Source()))
	for i, b := range again.Budgets() {
		if b.Spec != p.Budgets()[i].Spec {
			t.Errorf("%s: two parses give unequal specs", b.Name)
		}
	}
}

func TestClasses(t *testing.T) {
	p := mustParse(t, head)
	if c, ok := p.Class(""); !ok || c.Name != "standard" || c.Weight != 1 || c.LatencyBudget != defaultLatency {
		t.Errorf("%+v", c)
	}
	p = mustParse(t, head+"classes: [{name: a, weight: 3, latency_budget: 0s}, {name: b}]\n")
	if c, _ := p.Class(""); c.Name != "a" || c.LatencyBudget != 0 {
		t.Errorf("the first class is the default: %+v", c)
	}
	p = mustParse(t, head+"classes: [{name: a}, {name: b, default: true}]\n")
	if c, _ := p.Class(""); c.Name != "b" || c.Index != 1 {
		t.Errorf("%+v", c)
	}
	p = mustParse(t, head+"classes: [{name: a}, {name: b, headroom: 12.5%, queue: 300}]\ntenants: {search: {weight: 3}}\n")
	if a, b := p.Classes()[0], p.Classes()[1]; a.Headroom != 0 || a.Queue != 0 || b.Headroom != 125_000 || b.Queue != 300 {
		t.Errorf("%+v", p.Classes())
	}
	p = mustParse(t, head+"classes: [{name: a}, {name: b, sheddable: true}]\n")
	if a, b := p.Classes()[0], p.Classes()[1]; a.ShedAt != 0 || a.Sheddable || b.ShedAt != 3 || b.DeferAt != 0 {
		t.Errorf("%+v", p.Classes())
	}
	p = mustParse(t, head+"classes: [{name: a}, {name: b, sheddable: true}]\nbackpressure: [{level: 2, shed: [b], defer: [a]}, {level: 1, defer: [b]}]\ntenants: {search: {weight: 3}}\n"+
		"tokens: {c: {unit: token}}\nbudgets: [{name: x, token: c, supply: {grant: 1M}, levels: [4h, 1h, 10m]}, {name: y, token: c, supply: {grant: 1M}}]\n")
	if a, b := p.Classes()[0], p.Classes()[1]; a.ShedAt != 0 || a.DeferAt != 2 || b.ShedAt != 2 || b.DeferAt != 1 {
		t.Errorf("%+v", p.Classes())
	}
	if b := p.Budgets(); b[0].Levels != [3]time.Duration{4 * time.Hour, time.Hour, 10 * time.Minute} || b[1].Levels != [3]time.Duration{time.Minute, 15 * time.Second, 3 * time.Second} {
		t.Errorf("%v and %v", b[0].Levels, b[1].Levels)
	}
	p = mustParse(t, head+"classes: [{name: a, objective: 99.9%}, {name: b}]\ntokens: {c: {unit: token}}\nbudgets: [{name: x, token: c, supply: {grant: 1M}, alerts: [50%, 80%]}]\n")
	if a, b := p.Classes()[0], p.Classes()[1]; a.Objective != 999_000 || b.Objective != 0 || !slices.Equal(p.Budgets()[0].Alerts, []int64{500_000, 800_000}) {
		t.Errorf("%+v, %v", p.Classes(), p.Budgets()[0].Alerts)
	}
	if p = mustParse(t, head+"tenants: {search: {weight: 3}}\nclasses: [{name: a}, {name: b}]\n"); p.TenantWeight("search") != 3 || p.TenantWeight("other") != 1 {
		t.Error("weights of tenants")
	}
	if _, ok := p.Class("c"); ok || len(p.Classes()) != 2 {
		t.Errorf("%+v", p.Classes())
	}
}

func TestNewer(t *testing.T) {
	one, two := mustParse(t, head), mustParse(t, head+"# two\n")
	next := mustParse(t, "apiVersion: swarmpurse/v1\nrevision: 2\n")
	if !Newer(next, one) || Newer(one, next) || Newer(one, one) || !Newer(one, nil) || Newer(nil, one) || Newer(nil, nil) {
		t.Error("the higher revision wins")
	}
	if Newer(one, two) == Newer(two, one) {
		t.Error("of two documents with one revision, one wins")
	}
	if !Newer(one, Default()) || Default().Revision() != 0 {
		t.Error("any document replaces the built-in one")
	}
	// A peer that has only the built-in policy may send it.
	if p, err := Parse("peer", Default().Source()); err != nil || p.Hash() != Default().Hash() {
		t.Errorf("%v", err)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
