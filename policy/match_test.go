package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// drawn lists a plan's draws as "budget/values=amount", with what c costs there.
func drawn(t testing.TB, plan *Plan, c *Call) []string {
	t.Helper()
	list := []string{}
	for i := range plan.Draws {
		d := &plan.Draws[i]
		n, err := d.Amount(c)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s=%d", strings.Join(append([]string{d.Budget.Name}, d.Values...), "/"), n))
	}
	return list
}

const matching = head + `
tokens:
  compute: {unit: token}
  calls: {unit: call}
  in: {unit: input_token}
  out: {unit: output_token}
  reads: {unit: read}
classes: [{name: fast}, {name: slow}]
budgets:
  - {name: pool, token: compute, supply: {grant: 1M}}
  - {name: tenants, token: compute, per: [tenant, class], supply: {grant: 1M}, price: {base: 1.5}}
  - {name: teams, token: reads, per: [attributes.team], supply: {grant: 1M}}
  - {name: calls, token: calls, supply: {rate: 5/s, burst: 5}}
  - {name: open, token: calls, per: [run, agent], supply: {slots: 5}}
  - {name: in, token: in, supply: {grant: 1M}}
  - {name: out, token: out, per: [model], supply: {grant: 1M}}
rules:
  - {name: free, when: 'model == "free"', stop: true}
  - {name: dear, when: 'model.startsWith("big")', draw: [pool], cost: {compute: 3 * prompt_tokens}}
  - {name: all, when: 'model != ""', draw: [pool, calls, tenants]}
  - {when: '"team" in attributes', draw: [teams], cost: {reads: size(data) * 2}}
  - {name: open, when: run != "", draw: [open], stop: true}
  - {name: parts, when: 'model in ["in", "out"]', draw: [in, out]}
  - {name: odd, when: 'attributes.must == "be"', draw: [in]}
default: admit
`

func TestMatch(t *testing.T) {
	p := mustParse(t, matching)
	for _, c := range []struct {
		name  string
		call  Call
		rules string
		draws string
		err   string
	}{
		{name: "stop", call: Call{Model: "free"}, rules: "free"},
		{name: "default costs, price rounded up", call: Call{Model: "m", Tenant: "t", Run: "r", Agent: "a", PromptTokens: 10, MaxOutputTokens: 5},
			rules: "all open", draws: "pool=15 calls=1 tenants/t/fast=23 open/r/a=1"},
		{name: "the first cost wins", call: Call{Model: "big", Tenant: "t", Run: "r", Agent: "a", PromptTokens: 10, MaxOutputTokens: 5},
			rules: "dear all open", draws: "pool=30 calls=1 tenants/t/fast=23 open/r/a=1"},
		{name: "stated amounts are taken as they are", rules: "all open", draws: "pool=7 calls=0 tenants/t/slow=7 open/r/a=0",
			call: Call{Model: "m", Tenant: "t", Class: "slow", Run: "r", Agent: "a", PromptTokens: 10, Tokens: []Amount{{"compute", 7}, {"calls", 0}}}},
		{name: "attributes and data", call: Call{Model: "m", Tenant: "t", Run: "r", Agent: "a", Attributes: map[string]string{"team": "x"}, Data: []string{"d", "e"}},
			rules: "all rule 4 open", draws: "pool=0 calls=1 tenants/t/fast=0 teams/x=4 open/r/a=1"},
		{name: "input and output apart", call: Call{Model: "in", Tenant: "t", PromptTokens: 10, MaxOutputTokens: 5, Attributes: map[string]string{"must": "be"}},
			rules: "all parts odd", draws: "pool=15 calls=1 tenants/t/fast=23 in=10 out/in=5"},
		{name: "no rule matches", call: Call{Attributes: map[string]string{"must": "not"}}},

		{name: "no tenant", call: Call{Model: "m"},
			err: `budget "tenants" is per tenant, class and the call names no tenant; set tenant in the call (header X-Swarmpurse-Tenant), or let rule "all" match only calls that have it (when: tenant != "")`},
		{name: "an empty attribute", call: Call{Model: "m", Tenant: "t", Attributes: map[string]string{"team": ""}},
			err: `budget "teams" is per attributes.team and the call names no attributes.team; set it in the call, or let rule 4 match only calls that have it (when: "team" in attributes)`},
		{name: "a rule that fails", call: Call{Tenant: "t"},
			err: `rule "odd" (p.yaml:26:23), when: the call has no attribute "must"; where it may be missing, ask for "must" in attributes first`},
		{name: "unknown class", call: Call{Model: "free", Class: "fats"}, err: `unknown class "fats"; did you mean "fast"?`},
		{name: "unknown token type", call: Call{Model: "free", Tokens: []Amount{{"coins", 1}}}, err: `unknown token type "coins"; known: compute, calls, in, out, reads`},
		{name: "negative", call: Call{PromptTokens: -1}, err: `prompt_tokens is -1, it must be between 0 and 9007199254740991`},
		{name: "too large", call: Call{MaxOutputTokens: 1 << 53}, err: `max_output_tokens is 9007199254740992, it must be between 0 and 9007199254740991`},
		{name: "stated negative", call: Call{Tokens: []Amount{{"compute", -1}}}, err: `tokens.compute is -1, it must be between 0 and 9007199254740991`},
		{name: "stated twice", call: Call{Tokens: []Amount{{"compute", 1}, {"compute", 1}}}, err: `tokens states "compute" twice`},
		{name: "long tenant", call: Call{Tenant: strings.Repeat("x", 257)}, err: `tenant has 257 bytes, at most 256 are allowed`},
		{name: "many data sets", call: Call{Data: make([]string, 257)}, err: `data names 257 data sets, at most 256 are allowed`},
		{name: "long attribute", call: Call{Attributes: map[string]string{"z": strings.Repeat("x", 2000), "a": strings.Repeat("x", 1025)}}, err: `attributes.a has 1025 bytes, at most 1024 are allowed`},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := p.Match(&c.call)
			if errText(err) != c.err {
				t.Fatalf("got  %v\nwant %s", err, c.err)
			}
			if err != nil {
				var call *CallError
				var rule *RuleError
				if errors.As(err, &call) == errors.As(err, &rule) {
					t.Errorf("an error is either the caller's or the rule's: %T", err)
				}
				return
			}
			if got := strings.Join(plan.Rules, " "); got != c.rules {
				t.Errorf("rules: got %s, want %s", got, c.rules)
			}
			if got := strings.Join(drawn(t, plan, &c.call), " "); got != c.draws {
				t.Errorf("draws: got %s, want %s", got, c.draws)
			}
			if plan.Matched != (c.rules != "") || !plan.Admit || plan.Policy != p {
				t.Errorf("%+v", plan)
			}
		})
	}
}

func TestDefaultOfCallsThatNoRuleMatches(t *testing.T) {
	for _, c := range []struct {
		line string
		want bool
	}{{"", false}, {"default: deny\n", false}, {"default: admit\n", true}} {
		plan, err := mustParse(t, head+c.line).Match(&Call{})
		if err != nil || plan.Matched || plan.Admit != c.want {
			t.Errorf("%q: %+v, %v", c.line, plan, err)
		}
	}
}

func TestTooManyDraws(t *testing.T) {
	src := head + "tokens: {c: {unit: call}}\nbudgets:\n"
	for i := range 20 {
		src += fmt.Sprintf("  - {name: b%d, token: c, supply: {grant: 1}}\n", i)
	}
	src += "rules:\n"
	for i := range 20 {
		src += fmt.Sprintf("  - {draw: [b%d]}\n", i)
	}
	p := mustParse(t, src)
	_, err := p.Match(&Call{})
	if want := `rule 17 (p.yaml:42:5), draw: with the rules before it, a call draws on 17 budgets, at most 16 are allowed`; errText(err) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if w := Check(p); len(w) != 1 || !strings.Contains(w[0].String(), "every call draws on 20 budgets") {
		t.Errorf("%v", w)
	}
}

// costPolicy is a policy whose one rule has that cost.
func costPolicy(t testing.TB, cost string) *Policy {
	t.Helper()
	return mustParse(t, head+"tokens: {c: {unit: thing}, d: {unit: call}}\nbudgets:\n  - {name: b, token: c, supply: {grant: 1M}}\n"+
		"rules:\n  - draw: [b]\n    cost:\n      c: |\n        "+cost+"\n")
}

func TestCosts(t *testing.T) {
	call := Call{Tenant: "t", Model: "m", PromptTokens: 30, MaxOutputTokens: 7, Data: []string{"a", "b"},
		Attributes: map[string]string{"x": "1", "b": "2"}, Tokens: []Amount{{"d", 4}}}
	for _, c := range []struct {
		cost   string
		linear bool
		want   ledger.Tokens
		err    string
	}{
		{cost: "5", linear: true, want: 5},
		{cost: "0", linear: true, want: 0},
		{cost: "0.2", linear: true, want: 1},
		{cost: "prompt_tokens", linear: true, want: 30},
		{cost: "prompt_tokens + 3 * max_output_tokens", linear: true, want: 51},
		{cost: "(prompt_tokens + max_output_tokens) * 2 - 4", linear: true, want: 70},
		{cost: "2 * (3 * (prompt_tokens - max_output_tokens))", linear: true, want: 138},
		{cost: "-(-prompt_tokens)", linear: true, want: 30},
		{cost: "0.1 * prompt_tokens", linear: true, want: 3},
		{cost: "0.07 * 100.0", linear: true, want: 7}, // 7.000000000000001 in doubles
		{cost: "double(prompt_tokens) * 0.15 + 0.6 * double(max_output_tokens)", linear: true, want: 9},
		{cost: "(prompt_tokens + max_output_tokens) / 1000.0", linear: true, want: 1},
		{cost: "prompt_tokens / 4", want: 7}, // ints: the rest is dropped
		{cost: "size(data)", want: 2},
		{cost: "size(data) * 1.6", want: 4},
		{cost: "tokens.d * 10", want: 40},
		{cost: `model == "m" ? prompt_tokens : 0`, want: 30},
		{cost: `attributes.map(k, k)[0] == "b" ? 1 : 2`, want: 1}, // in the order of the keys
		{cost: "int(attributes.x) + 1", want: 2},
		{cost: "max_output_tokens * max_output_tokens", want: 49},
		{cost: "prompt_tokens - 31", linear: true,
			err: `rule 1 (p.yaml:9:10), cost of c: with prompt_tokens 30 and max_output_tokens 7 it is negative: a cost must be zero or more`},
		{cost: "0.1 - 0.01 * prompt_tokens", linear: true,
			err: `rule 1 (p.yaml:9:10), cost of c: with prompt_tokens 30 and max_output_tokens 7 it is negative: a cost must be zero or more`},
		{cost: "9007199254740991 + prompt_tokens", linear: true,
			err: `rule 1 (p.yaml:9:10), cost of c: with prompt_tokens 30 and max_output_tokens 7 it is more than 9007199254740991 with the price 1 of budget "b"`},
		{cost: "9007199254740991 * prompt_tokens * 300.0", // too large a constant for plain Go
			err: `rule 1 (p.yaml:9:10), cost of c: with prompt_tokens 30 and max_output_tokens 7 it is more than 9007199254740991 with the price 1 of budget "b"`},
		{cost: "0.0 / 0.0 * prompt_tokens",
			err: `rule 1 (p.yaml:9:10), cost of c: with prompt_tokens 30 and max_output_tokens 7 it is not a number`},
		{cost: "int(model)",
			err: `rule 1 (p.yaml:9:10), cost of c: type conversion error from 'string' to 'int'`},
		{cost: "9223372036854775807 * prompt_tokens",
			err: `rule 1 (p.yaml:9:10), cost of c: integer overflow`},
	} {
		t.Run(c.cost, func(t *testing.T) {
			plan, err := costPolicy(t, c.cost).Match(&call)
			if err != nil {
				t.Fatal(err)
			}
			d := &plan.Draws[0]
			n, err := d.Amount(&call)
			if errText(err) != c.err || n != c.want {
				t.Errorf("got %d, %v; want %d, %s", n, err, c.want, c.err)
			}
			if d.Cost.Linear() != c.linear {
				t.Errorf("linear: %v", d.Cost.Linear())
			}
			if again, err := d.Settle(call.PromptTokens, call.MaxOutputTokens); errText(err) != c.err || again != c.want {
				t.Errorf("settled: %d, %v", again, err)
			}
		})
	}
}

// TestSettle prices real usage by what was matched, even if the caller uses his Call again.
func TestSettle(t *testing.T) {
	p := costPolicy(t, `model == "m" ? prompt_tokens + 2 * max_output_tokens + size(data) : 0`)
	call := Call{Model: "m", PromptTokens: 100, MaxOutputTokens: 50, Data: []string{"a"}}
	plan, err := p.Match(&call)
	if err != nil {
		t.Fatal(err)
	}
	call.Model, call.Data[0], call.Data = "x", "b", nil
	if n, err := plan.Draws[0].Settle(90, 10); n != 111 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, c := range [][2]int64{{-1, 0}, {0, -1}, {1 << 60, 0}, {0, 1 << 60}} {
		if n, err := plan.Draws[0].Settle(c[0], c[1]); err == nil {
			t.Errorf("%v: %d", c, n)
		}
	}
}

func TestResolve(t *testing.T) {
	p := mustParse(t, matching)
	charter := ledger.CharterID{1}
	b, _ := p.Budget("tenants")
	id, err := b.Instance(charter, []string{"a/b@c", "slow"})
	if err != nil {
		t.Fatal(err)
	}
	got, values, ok := p.Resolve(charter, id)
	if !ok || got != b || !reflect.DeepEqual(values, []string{"a/b@c", "slow"}) {
		t.Errorf("%v %q %v", got, values, ok)
	}
	pool, _ := p.Budget("pool")
	poolID, _ := pool.Instance(charter, nil)
	if got, values, ok := p.Resolve(charter, poolID); !ok || got != pool || len(values) != 0 {
		t.Errorf("%v %q %v", got, values, ok)
	}
	other := mustParse(t, strings.Replace(matching, "per: [tenant, class]", "per: [class, tenant]", 1))
	for _, c := range []struct {
		name    string
		p       *Policy
		charter ledger.CharterID
		id      ledger.InstanceID
	}{
		{"another charter", p, ledger.CharterID{2}, id},
		{"another per", other, charter, id},
		{"unknown budget", p, charter, "x" + id},
		{"no fingerprint", p, charter, ledger.InstanceID(id.Name())},
		{"too few values", p, charter, ledger.InstanceID(strings.Replace(string(id), "/slow", "", 1))},
		{"an empty value", p, charter, ledger.InstanceID(strings.Replace(string(id), "slow", "", 1))},
		{"nothing", p, charter, ""},
	} {
		if b, _, ok := c.p.Resolve(c.charter, c.id); ok {
			t.Errorf("%s: %s is taken for %s", c.name, c.id, b.Name)
		}
	}
	for _, values := range [][]string{nil, {"a"}, {"a", ""}, {"a", "b", "c"}, {strings.Repeat("x", 250), "b"}} {
		if id, err := b.Instance(charter, values); err == nil {
			t.Errorf("%q makes %s", values, id)
		}
	}
}

func TestKey(t *testing.T) {
	p := mustParse(t, matching)
	k, ok := p.Key(&Call{Tenant: "t", Agent: "a", Run: "r", Model: "m", PromptTokens: 5,
		Attributes: map[string]string{"team": "x", "other": "y"}})
	if want := (Key{"t", "a", "r", "fast", "m", "\x00\x01\x01x", false, 0}); k != want || !ok {
		t.Errorf("%+v %v", k, ok)
	}
	// Only what is looked at is in the key.
	p = mustParse(t, head+"tokens: {c: {unit: token}}\nbudgets: [{name: b, token: c, supply: {grant: 1M}}]\nrules: [{when: 'model == \"x\"', draw: [b]}]\n")
	k, ok = p.Key(&Call{Tenant: "t", Agent: "a", Run: "r", Class: "standard", Model: "m", Data: []string{"d"}, Attributes: map[string]string{"k": "v"}})
	if want := (Key{Class: "standard", Model: "m"}); k != want || !ok {
		t.Errorf("%+v %v", k, ok)
	}
	for _, when := range []string{"prompt_tokens > 5", "max_output_tokens > 5", `"c" in tokens`, "size(attributes) > 1",
		`attributes.exists(k, k == "a")`, "attributes[tenant] == model"} {
		p := mustParse(t, head+"rules: [{when: '"+when+"', stop: true}]\n")
		if k, ok := p.Key(&Call{}); ok {
			t.Errorf("%s: %+v", when, k)
		}
	}
	// A cost that is not linear is kept in the plan, with what it looks at.
	k, ok = costPolicy(t, `tenant == "t" ? prompt_tokens : 1`).Key(&Call{Tenant: "t", Model: "m"})
	if want := (Key{Tenant: "t", Class: "standard"}); k != want || !ok {
		t.Errorf("%+v %v", k, ok)
	}
	if _, ok = costPolicy(t, "size(tokens)").Key(&Call{}); ok {
		t.Error("stated amounts are not in the key")
	}
	p = mustParse(t, head+"rules: [{when: 'attributes[\"x\"] == \"a\" && size(data) > 0', stop: true}]\n")
	if k, ok := p.Key(&Call{Attributes: map[string]string{"x": "v"}, Data: []string{"ab", "c"}}); !ok || k.Extra != "\x01\x01v\x02ab\x01c" {
		t.Errorf("%+v %v", k, ok)
	}
	if _, ok := p.Key(&Call{Data: []string{strings.Repeat("x", maxExtra)}}); ok {
		t.Errorf("a huge key")
	}
}

func TestAllocations(t *testing.T) {
	p := mustParse(t, string(Starter()))
	c := &Call{Tenant: "t", Agent: "a", Run: "r", Model: "gpt-4o", PromptTokens: 1200, MaxOutputTokens: 600, Tokens: []Amount{{"requests", 2}}}
	plan, err := p.Match(c)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := p.Key(c); !ok || p.Valid(c) != nil {
			t.Fatal("not cacheable")
		}
		for i := range plan.Draws {
			if _, err := plan.Draws[i].Amount(c); err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Draws[i].Settle(1100, 250); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("the path of a cached plan allocates %v times", n)
	}
}
