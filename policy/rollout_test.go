package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseRollout(t *testing.T) {
	const head = "apiVersion: swarmpurse/v1\nrevision: 1\nrollout: "
	for _, test := range []struct{ doc, want string }{
		{"{canary: 10%}", "10% by agent, guard deny_rate +5%, p99_wait +20%, output_length +20%"},
		{"{canary: 10%, by: tenant, bake: 10m, guard: {deny_rate: +2%, p99_wait: none}}", "10% by tenant, bake 10m, guard deny_rate +2%, output_length +20%"},
		{"{canary: 0.5%, by: attributes.team, bake: 2h}", "0.5% by attributes.team, bake 2h, guard deny_rate +5%, p99_wait +20%, output_length +20%"},
		{"{zones: [us, eu], guard: {deny_rate: none, p99_wait: none, output_length: none}}", "zones eu, us, guard none"},
		{"{canary: 10%, guard: {output_length: +10%, cost: 15%}}", "10% by agent, guard deny_rate +5%, p99_wait +20%, output_length +10%, cost +15%"},
		{"{shadow: true}", "shadow"},
		{"{shadow: true, bake: 1h}", "shadow, for 1h"},
		{"{shadow: false, canary: 10%}", "10% by agent, guard deny_rate +5%, p99_wait +20%, output_length +20%"},
		{"{shadow: true, canary: 10%}", "p.yaml:3:33: shadow and canary contradict each other: a shadow decides on no calls; leave one of them out"},
		{"{shadow: maybe}", "p.yaml:3:19: shadow cannot be \"maybe\"; write true, or leave it out"},
		{"{zones: [no-zone.only-shadow]}", "p.yaml:3:18: no zone can be named \"no-zone.only-shadow\"; write shadow: true"},
		{"{}", "p.yaml:3:10: a rollout must say for which calls the candidate decides; add canary: 10%, zones: [NAME], or shadow: true"},
		{"{canary: 0%}", "p.yaml:3:19: canary cannot be 0%; write a part of all, as in 10%"},
		{"{canary: 101%}", "p.yaml:3:19: canary: fraction \"101%\" is too large; at most 100% is allowed"},
		{"{canary: 10%, by: class}", "p.yaml:3:28: calls cannot be split by \"class\"; write tenant, agent, run, model or attributes.NAME"},
		{"{canary: 10%, zones: [eu]}", "p.yaml:3:31: canary and zones contradict each other; leave one of them out"},
		{"{zones: [eu], by: agent}", "p.yaml:3:18: in zones the candidate decides on all calls; leave by out"},
		{"{canary: 10%, bake: 31d}", "p.yaml:3:30: bake is 744h0m0s, at most 720h0m0s is allowed"},
		{"{canary: 10%, guard: {p99_wait: 7%}}", "p.yaml:3:42: p99_wait cannot be 7%: waits are counted in steps of 5% of a latency budget; write a multiple of 5%"},
		{"{canary: 10%, guard: {deny_rate: 5}}", "p.yaml:3:43: deny_rate: "},
		{"{canary: 10%, guard: {cost: 101%}}", "p.yaml:3:38: cost: fraction \"101%\" is too large; at most 100% is allowed"},
	} {
		p, err := Parse("p.yaml", []byte(head+test.doc+"\n"))
		got := fmt.Sprint(err)
		if err == nil {
			got = p.Rollout().String()
			if err := p.Rollout().Valid(); err != nil {
				t.Errorf("%s: %v", test.doc, err)
			}
		}
		if first, _, _ := strings.Cut(got, "\n"); first != test.want && !(strings.HasSuffix(test.want, ": ") && strings.HasPrefix(first, test.want)) {
			t.Errorf("%s\n got %s\nwant %s", test.doc, got, test.want)
		}
	}
	r, err := ParseRollout("--canary", nil, map[string]string{"canary": "5%", "bake": "1m", "deny_rate": "+1%"})
	if err != nil || r.String() != "5% by agent, bake 1m, guard deny_rate +1%, p99_wait +20%, output_length +20%" {
		t.Errorf("%v, %v", r, err)
	}
	if r, err = ParseRollout("--zones", r, map[string]string{"zones": "us,eu"}); err != nil || r.String() != "zones eu, us, bake 1m, guard deny_rate +1%, p99_wait +20%, output_length +20%" {
		t.Errorf("%v, %v", r, err)
	}
	if r, err = ParseRollout("--canary", r, map[string]string{"canary": "5%"}); err != nil || r.By != "agent" || r.Valid() != nil {
		t.Errorf("%v, %v", r, err)
	}
	if _, err = ParseRollout("--canary", nil, map[string]string{"canary": "5"}); err == nil {
		t.Error("5 passed for a part")
	}
	if (&Rollout{Canary: 5, By: "agent", Bake: time.Microsecond}).Valid() == nil {
		t.Error("a bake of a microsecond is valid")
	}
}

// TestSplit: the part that is chosen is the one that was asked for, all calls of one agent go together, more of them never takes
// one out, and other candidates choose others.
func TestSplit(t *testing.T) {
	r := Rollout{Canary: 100_000, By: "agent"}
	more := Rollout{Canary: 300_000, By: "agent"}
	ten, thirty, other := r.Split(7, ""), more.Split(7, ""), r.Split(8, "")
	n, both, moved := 0, 0, 0
	const all = 20_000
	for i := range all {
		c := Call{Agent: fmt.Sprint("agent-", i), Run: fmt.Sprint(i % 7)}
		if ten.Chooses(&c) {
			n++
			if !thirty.Chooses(&c) {
				moved++
			}
			if other.Chooses(&c) {
				both++
			}
		}
	}
	if n < all/10-300 || n > all/10+300 || moved != 0 || both < n/10-100 || both > n/10+100 {
		t.Errorf("%d of %d are chosen, %d of them not by 30%%, %d by another seed", n, all, moved, both)
	}
	if ten.Chooses(&Call{}) {
		t.Error("calls without an agent are chosen")
	}
	team := (&Rollout{Canary: million, By: "attributes.team"}).Split(1, "")
	if team.Chooses(&Call{}) || !team.Chooses(&Call{Attributes: map[string]string{"team": "x"}}) {
		t.Error("all of attributes.team is not those that say it")
	}
	zones := Rollout{Zones: []string{"eu"}}
	if !zones.Split(1, "eu").Chooses(&Call{}) || zones.Split(1, "us").Chooses(&Call{}) || zones.Split(1, "").Chooses(&Call{}) {
		t.Error("zones do not choose by the node's zone")
	}
	c := Call{Agent: "a"}
	if allocs := testing.AllocsPerRun(100, func() { ten.Chooses(&c) }); allocs != 0 {
		t.Errorf("choosing allocates %v times", allocs)
	}
}

func TestTryable(t *testing.T) {
	const stable = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}, data: {unit: read}}
classes: [{name: standard, weight: 4, latency_budget: 2s}]
budgets:
  - {name: pool, token: compute, supply: {rate: 50000/s, burst: 100000}, price: {base: 1}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 10M}}
rules:
  - {draw: [pool]}
`
	for _, test := range []struct{ old, new, waits, err string }{
		{"draw: [pool]", "draw: [pool, day], when: tenant != ''", "", ""},
		{"draw: [pool]", "draw: [pool], cost: {compute: 2 * prompt_tokens}", "", ""},
		{"price: {base: 1}", "price: {base: 2}", "", ""},
		{"latency_budget: 2s", "latency_budget: 1s, sheddable: true", "", ""},
		{"amount: 10M", "amount: 12M", `the supply of budget "day"`, ""},
		{"rules:", "lease: 20m\naudit: {decisions: none}\nrules:", "guardians, lease and autonomy; audit", ""},
		{"  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 10M}}\n", "", `the end of budget "day"`, ""},
		{"price: {base: 1}", "price: {mode: dynamic, base: 1, max: 4}", "", `c.yaml:6:5: a candidate cannot change the price, as it moves of budget "pool"`},
		{"price: {base: 1}", "ceiling: observe", "", `c.yaml:6:5: a candidate cannot change the ceiling of budget "pool"`},
		{"per: [tenant]", "per: [agent]", "", `c.yaml:7:5: a candidate cannot change the per of budget "day"`},
		{"window: 24h", "window: 12h", "", `c.yaml:7:5: a candidate cannot change the windows of budget "day"`},
		{"rate: 50000/s, burst: 100000", "grant: 100", "", `c.yaml:6:5: a candidate cannot change the kind of supply of budget "pool"`},
		{"name: day, token: compute", "name: day, token: data", "", `c.yaml:7:5: a candidate cannot change the token type of budget "day"`},
		{"name: day", "name: days", "", `c.yaml:7:5: a candidate cannot add budget "days"`},
		{"weight: 4", "weight: 5", "", `c.yaml:4:11: a candidate cannot change the weight or the headroom of class "standard"`},
		{"rules:", "tenants: {a: {weight: 2}}\nrules:", "", `c.yaml:1:1: a candidate cannot change the weights of tenants`},
		{"data: {unit: read}", "data: {unit: look}", "", `c.yaml:3:34: a candidate cannot change the unit of token type "data"`},
	} {
		parse := func(file, src string) *Policy {
			p, err := Parse(file, []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		changed := strings.Replace(strings.Replace(stable, "revision: 1", "revision: 2", 1), test.old, test.new, 1)
		waits, err := Tryable(parse("s.yaml", stable), parse("c.yaml", changed))
		if got := strings.Join(waits, "; "); test.err == "" && (got != test.waits || err != nil) {
			t.Errorf("%s: waits %s, %v", test.new, got, err)
		}
		if test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
			t.Errorf("%s: %v, want %s", test.new, err, test.err)
		}
	}
}

// FuzzParseRollout: whatever parses as a document's rollout, or as the flags of policy apply, is valid, and raising its part takes nobody
// out.
func FuzzParseRollout(f *testing.F) {
	for _, s := range []string{
		"{canary: 10%, by: tenant, bake: 10m, guard: {deny_rate: +2%, p99_wait: none}}", "{zones: [us, eu], guard: {deny_rate: none}}", "{canary: 0.0001%, by: attributes.team, bake: 30d}",
		"{canary: 100%, guard: {output_length: +10%, cost: 15%, p99_wait: 90%}}", "{canary: 10%, zones: [eu]}", "{zones: []}", "{guard: {}}", "[]", "10%", "{canary: &a 10%, by: *a}",
	} {
		f.Add(s, "10%", "agent", "eu, us", "5m", "+5%")
	}
	f.Fuzz(func(t *testing.T, section, canary, by, zones, bake, guard string) {
		var base *Rollout
		p, err := Parse("p.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\nrollout: "+section+"\n"))
		if err == nil {
			base = p.Rollout()
		}
		list := []*Rollout{base}
		fields := map[string]string{"canary": canary, "by": by, "zones": zones, "bake": bake, "deny_rate": guard, "p99_wait": guard, "cost": guard}
		for _, drop := range []string{"", "zones", "canary"} { // canary and zones contradict each other
			delete(fields, drop)
			if r, err := ParseRollout("flags", base, fields); err == nil {
				list = append(list, r)
			}
			if drop == "zones" {
				fields["zones"] = zones
				delete(fields, "by")
			}
		}
		for _, r := range list {
			if r == nil {
				continue
			}
			if err := r.Valid(); err != nil {
				t.Fatalf("%+v parses and is not valid: %v", *r, err)
			}
			if r.String() == "" {
				t.Fatal("it cannot be said")
			}
			c := Call{Tenant: bake, Agent: by, Run: zones, Model: guard, Attributes: map[string]string{"team": section}}
			more := *r
			if more.Canary > 0 {
				more.Canary = million
			}
			if r.Split(7, "eu").Chooses(&c) && !more.Split(7, "eu").Chooses(&c) {
				t.Fatalf("raising %+v takes a call out", *r)
			}
		}
	})
}
