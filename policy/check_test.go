package policy

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	p := mustParse(t, head+`tokens:
  c: {unit: token, decay: {half_life: 1h}}
  s: {unit: slot}
  unused: {unit: token}
classes:
  - {name: good, headroom: 2.5%}
  - {name: bad, headroom: 10%}
budgets:
  - {name: a, token: c, supply: {grant: 1M}}
  - {name: idle, token: c, supply: {grant: 1M}}
  - {name: small, token: c, supply: {rate: 10/s, burst: 100}}
  - {name: seen, token: c, supply: {grant: 5}, ceiling: observe}
  - {name: slots, token: s, supply: {slots: 5}, ceiling: {soft: 10%}, price: {base: 2}}
  - {name: roll, token: c, supply: {window: 1h, amount: 5000, rollover: 0.01%}}
rules:
  - {name: one, draw: [a, small, seen]}
  - {name: two, when: model == "x", draw: [a, roll], cost: {c: 5}}
  - {name: last, draw: [slots], stop: true}
  - {name: never, draw: [slots]}
`)
	want := `p.yaml:6:3: warning: no budget caps token type "unused"
p.yaml:12:5: warning: no rule draws on budget "idle", so it caps nothing
p.yaml:13:5: warning: budget "small": a call that may use more than its burst of 100 tokens can never run
p.yaml:13:5: warning: budget "small": the decay of token type "c" does not touch a supply of kind rate
p.yaml:15:5: warning: budget "slots": the soft part of its limit of 5 is less than one token, so it is hard
p.yaml:15:5: warning: budget "slots": with a price of 2 a call takes more or less than one slot
p.yaml:16:5: warning: budget "roll": the rollover of its amount of 5000 is less than one token, so nothing is carried over
p.yaml:8:5: warning: no class may use the last 2.5% of any budget: the best one, "good", needs no headroom
p.yaml:15:5: warning: budget "slots": the headroom of class "good" is less than one token of 5, so nothing is left to better classes
p.yaml:15:5: warning: budget "slots": the headroom of class "bad" is less than one token of 5, so nothing is left to better classes
p.yaml:19:44: warning: rule "two" never sets the cost of budget "a": rule "one", which always matches, has drawn on it already
p.yaml:21:5: warning: rule "never" is never reached: rule "last" always matches and says stop`
	var got []string
	for _, w := range Check(p) {
		got = append(got, w.String())
	}
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got:\n%s\nwant:\n%s", s, want)
	}
	for src, want := range map[string]string{
		head:                    "p.yaml:1:1: warning: there are no rules, so every call is refused",
		head + "default: admit": "p.yaml:1:1: warning: there are no rules, so every call is admitted uncounted",
	} {
		if w := Check(mustParse(t, src)); len(w) != 1 || w[0].String() != want {
			t.Errorf("%v", w)
		}
	}
}

// TestCheckPrice: settings that the stability analysis in DESIGN.md says oscillate, or that do nothing.
func TestCheckPrice(t *testing.T) {
	for _, tt := range []struct{ supply, price, want string }{
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 1, max: 8}", ""},
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 1, max: 8, response: 20s}", ""},
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 1, max: 8, response: 5s}",
			`p.yaml:4:5: warning: budget "b": a price that responds in 5s oscillates, since use is known some seconds late: write response: 20s or more`},
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 2, max: 2}", `p.yaml:4:5: warning: budget "b": a price between 2 and 2 cannot move`},
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 1, max: 8, target: 100%}",
			`p.yaml:4:5: warning: budget "b": use never passes a target of 100% of a hard rate, so its price never rises`},
		{"{rate: 100k/s, burst: 100k}", "{mode: dynamic, base: 1, max: 1.5, target: 50%}",
			`p.yaml:4:5: warning: budget "b": a price of at most 1.5 does not bring use down to the target, that takes 2`},
		{"{window: 1h, amount: 1M}", "{mode: dynamic, base: 1, max: 8}", ""},
		{"{window: 1h, amount: 1M}", "{mode: dynamic, base: 1, max: 8, response: 2h}",
			`p.yaml:4:5: warning: budget "b": a price that responds in 2h0m0s, which is longer than its window, hardly moves`},
	} {
		p := mustParse(t, head+"budgets:\n  - {name: b, token: c, supply: "+tt.supply+", price: "+tt.price+"}\ntokens: {c: {unit: token}}\nrules: [{draw: [b]}]\n")
		var got []string
		for _, w := range Check(p) {
			got = append(got, w.String())
		}
		if s := strings.Join(got, "\n"); s != tt.want {
			t.Errorf("%s, %s: got:\n%s\nwant:\n%s", tt.supply, tt.price, s, tt.want)
		}
	}
}

// TestCheckObjective: an objective so low that the alert can never fire.
func TestCheckObjective(t *testing.T) {
	const rest = "tokens: {r: {unit: request}}\nbudgets: [{name: x, token: r, supply: {grant: 1M}}]\nrules: [{draw: [x]}]\n"
	for objective, want := range map[string]string{
		"93.1%": "",
		"93%":   `p.yaml:3:11: warning: class "a": if all its calls miss an objective of 93%, errors come at 14.3 times the budgeted pace, so the alert at 14.4 times never fires`,
	} {
		w := Check(mustParse(t, head+"classes: [{name: a, objective: "+objective+"}]\n"+rest))
		if want == "" && len(w) > 0 || want != "" && (len(w) != 1 || w[0].String() != want) {
			t.Errorf("%s: %v", objective, w)
		}
	}
}

// TestCheckInstances: more instances than a node can know.
func TestCheckInstances(t *testing.T) {
	const doc = head + "tokens: {r: {unit: request}}\nbudgets:\n  - {name: x, token: r, per: [run], instances: 40000, supply: {grant: 1M}}\n  - {name: y, token: r, per: [agent], supply: {grant: 1M}%s}\nrules: [{draw: [x, y]}]\n"
	if w := Check(mustParse(t, strings.Replace(doc, "%s", "", 1))); len(w) > 0 {
		t.Errorf("%v", w)
	}
	w := Check(mustParse(t, strings.Replace(doc, "%s", ", instances: 30000", 1)))
	if len(w) != 1 || w[0].String() != `p.yaml:6:5: warning: budget "y": with it calls may make 70000 instances, and a node knows at most 65536 of all budgets: write instances: N` {
		t.Errorf("%v", w)
	}
}

// TestCheckPointsAndBytes: points that lift nobody, and prices of what is charged as it flows.
func TestCheckPointsAndBytes(t *testing.T) {
	p := mustParse(t, head+`tokens: {priority: {unit: point}, b: {unit: byte}}
classes: [{name: good, weight: 9}, {name: rest}]
budgets:
  - {name: points, token: priority, supply: {grant: 9}}
  - {name: line, token: b, supply: {rate: 1M/s, burst: 1M}, price: {base: 2}}
rules:
  - {name: all, draw: [points, line], cost: {priority: 1}}
  - {name: asked, when: priority, draw: [points], cost: {priority: 1}}
`)
	var got []string
	for _, w := range Check(p) {
		got = append(got, w.String())
	}
	for _, want := range []string{
		`rule "all" takes points of calls that ask for no priority, and lifts none of them: write when: priority`,
		`budget "line": its price does not touch bytes, which are charged as they flow: leave it out, or change the rate`,
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no warning %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	if all := strings.Join(got, "\n"); strings.Contains(all, `rule "asked" takes points`) {
		t.Errorf("warned of points that calls ask for:\n%s", all)
	}
}
