package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const flagged = head + `tokens: {c: {unit: token}}
budgets: [{name: a, token: c, supply: {grant: 1M}}, {name: b, token: c, supply: {grant: 1M}}]
flags:
  dynamic_pricing: {on: 25%, by: tenant, targets: [search, mail]}
  everywhere: {on: 100%}
  new-route: {by: attributes.team, targets: [red]}
rules:
  - {name: dear, when: flags.dynamic_pricing, draw: [a], cost: {c: "flags.everywhere ? 2 * prompt_tokens : prompt_tokens"}}
  - {name: red, when: 'flags["new-route"]', draw: [b]}
  - {name: others, when: '!flags.dynamic_pricing && !flags["new-route"]', draw: [b]}
`

func TestFlags(t *testing.T) {
	p := mustParse(t, flagged)
	for _, test := range []struct {
		call  Call
		flags string
		rules string
	}{
		{Call{Tenant: "search"}, "dynamic_pricing everywhere", "dear"},
		{Call{}, "everywhere", "others"},
		{Call{Attributes: map[string]string{"team": "red"}}, "everywhere new-route", "red"},
		{Call{Tenant: "mail", Attributes: map[string]string{"team": "red"}}, "dynamic_pricing everywhere new-route", "dear red"},
		{Call{Attributes: map[string]string{"team": "blue"}}, "everywhere", "others"},
	} {
		test.call.PromptTokens = 10
		plan, err := p.Match(&test.call)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(plan.Flags, " "); got != test.flags || strings.Join(plan.Rules, " ") != test.rules {
			t.Errorf("%+v: flags %s, rules %s; want %s, %s", test.call, got, plan.Rules, test.flags, test.rules)
		}
		if plan.Rules[0] == "dear" {
			if n, err := plan.Draws[0].Amount(&test.call); n != 20 || err != nil {
				t.Errorf("it costs %d, %v: a cost does not see flags", n, err)
			}
		}
		k, ok := p.Key(&test.call)
		if !ok || p.flagsOn(k.Chosen)[0] != strings.Fields(test.flags)[0] {
			t.Errorf("the key %+v does not hold the flags", k)
		}
	}
	warnings := fmt.Sprint(Check(mustParse(t, strings.Replace(flagged, "rules:", "  idle: {on: 5%}\n  nobody: {}\n  all: {on: 100%, targets: [x]}\nrules:", 1))))
	for _, want := range []string{`no rule looks at flag "idle"`, `flag "nobody" is on for nobody`, `flag "all" is on for all calls, so its targets do nothing`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning %q in %s", want, warnings)
		}
	}
	if strings.Contains(warnings, "dynamic_pricing") {
		t.Error(warnings)
	}
	c := Call{Tenant: "search", Attributes: map[string]string{"team": "red"}}
	if n := testing.AllocsPerRun(100, func() { p.chosen(&c) }); n != 0 {
		t.Errorf("choosing allocates %v times", n)
	}
}

func TestParseFlags(t *testing.T) {
	for _, test := range []struct{ doc, want string }{
		{"flags: {x: {on: 25}}", `p.yaml:3:17: on: `},
		{"flags: {x: {by: class}}", `p.yaml:3:17: calls cannot be split by "class"`},
		{"flags: {x: {targets: [a, a]}}", `p.yaml:3:26: targets names "a" twice`},
		{"flags: {x: {targets: ['']}}", `p.yaml:3:23: targets: a value must have 1 to`},
		{"flags: {'a b': {on: 1%}}", `p.yaml:3:9: a flag's name cannot be "a b"`},
		{"flags: {x: {off: 1%}}", `p.yaml:3:13: unknown field "off" in a flag`},
		{"flags: {price: {on: 1%}}\nrules: [{when: flags.prise, stop: true}]", `p.yaml:4:16: when: there is no flag "prise"; did you mean "price"?`},
		{"rules: [{when: flags.prise, stop: true}]", `p.yaml:3:16: when: there is no flag "prise"; declare it under flags`},
		{"flags: {x: {on: 1%}}\nrules: [{when: size(flags) > 0, stop: true}]", `p.yaml:4:16: when looks at all flags at once; name one`},
		{"flags: {x: {on: 1%}}\nrules: [{when: 'flags.exists(f, flags[f])', stop: true}]", `p.yaml:4:16: when looks at all flags at once; name one`},
	} {
		_, err := Parse("p.yaml", []byte(head+test.doc+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.doc, err, test.want)
		}
	}
	many := head + "flags:\n"
	for i := range MaxFlags + 1 {
		many += fmt.Sprintf("  f%d: {on: 1%%}\n", i)
	}
	if _, err := Parse("p.yaml", []byte(many)); err == nil || !strings.Contains(err.Error(), "there are 33 flags, at most 32 are allowed") {
		t.Error(err)
	}
}

// TestFlagLaws: a flag is on for the part that it says, for all calls of one value or none, whatever else a call says; raising the
// part takes nobody out, and neither does another revision; flags choose independently.
func TestFlagLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z_]{0,8}`).Draw(t, "name")
		on := rapid.Int64Range(0, million).Draw(t, "on")
		f := Flag{Name: name, On: on, By: "agent"}
		more := Flag{Name: name, On: rapid.Int64Range(on, million).Draw(t, "more"), By: "agent", Targets: []string{"z"}}
		other := Flag{Name: name + "2", On: on, By: "agent"}
		f.init()
		more.init()
		other.init()
		const all = 4096
		n, both := 0, 0
		for i := range all {
			c := Call{Agent: fmt.Sprint("agent-", i), Tenant: fmt.Sprint(i % 3)}
			if !f.IsOn(&c) {
				continue
			}
			n++
			if !more.IsOn(&c) {
				t.Fatalf("raising %d to %d takes %s out", on, more.On, c.Agent)
			}
			if c.Tenant = "another"; !f.IsOn(&c) {
				t.Fatal("it is not sticky")
			}
			if other.IsOn(&c) {
				both++
			}
		}
		// Five standard deviations, and a few for small parts.
		near := func(got int, of float64, p float64) bool {
			d := float64(got) - of*p
			return d*d <= 25*of*p*(1-p)+25
		}
		part := float64(on) / million
		if !near(n, all, part) || !near(both, float64(n), part) {
			t.Fatalf("on for %d of %d at %v, another flag for %d of those", n, all, part, both)
		}
		if !more.IsOn(&Call{Agent: "z"}) || f.IsOn(&Call{}) != (on == million) {
			t.Fatal("targets, or calls that do not say it")
		}
	})
}

// FuzzParseFlags: whatever parses is in bounds, and what rules and callers see of it agrees.
func FuzzParseFlags(f *testing.F) {
	for _, s := range []string{"x: {on: 25%, by: tenant, targets: [a]}", "x: {}", "a-b: {on: 100%, by: attributes.team}", "x: {on: 0.0001%, by: run}", "x: {targets: [a, b], by: model}", "x: 5", "[]", "{x: &a {on: 1%}, y: *a}"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, section, value string) {
		p, err := Parse("p.yaml", []byte(head+"flags:\n  "+section+"\n"))
		if err != nil {
			return
		}
		if len(p.Flags()) > MaxFlags {
			t.Fatal("too many")
		}
		c := Call{Tenant: value, Agent: value, Run: value, Model: value, Attributes: map[string]string{"team": value}}
		if p.Valid(&c) != nil {
			return
		}
		plan, err := p.Match(&c)
		if err != nil {
			t.Fatal(err)
		}
		k, ok := p.Key(&c)
		for i := range p.Flags() {
			x := &p.Flags()[i]
			on := x.IsOn(&c)
			if x.On < 0 || x.On > million || len(x.Targets) > MaxTargets || !slices.IsSorted(x.Targets) || slices.Contains(plan.Flags, x.Name) != on || !ok || (k.Chosen&(1<<i) != 0) != on {
				t.Fatalf("%+v is on: %v, plan %q, key %+v", x, on, plan.Flags, k)
			}
			if _, by := splitBy(x.By); !by {
				t.Fatalf("by %q", x.By)
			}
		}
	})
}
