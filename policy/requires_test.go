package policy

import (
	"strings"
	"testing"
)

func TestRequires(t *testing.T) {
	const head = "apiVersion: swarmpurse/v1\nrevision: 1\n"
	const budget = "tokens: {compute: {unit: token}}\nbudgets:\n  - {name: p, token: compute, supply: {grant: 5, spin: left}, colour: red}\nrules: [{draw: [p]}]\n"
	for _, test := range []struct {
		doc     string
		ignored int
		err     string // of a node that may be older
		strict  string // of who writes it
	}{
		{head, 0, "", ""},
		{head + "requires: [rollout, budgets.fairness, classes.objective, budgets.supply.grant, tokens.decay.half_life, rules, data.zones]\n", 0, "", ""},
		{head + budget, 2, "", `p.yaml:5:50: unknown field "spin" in supply`},
		{head + "sparkle: {x: {on: 5%}}\n", 1, "", `p.yaml:3:1: unknown field "sparkle" in the document`},
		{head + "requires: [budgets.colour]\n" + budget, 2, `p.yaml:3:12: the document requires "budgets.colour", which this version does not know; upgrade it`, `p.yaml:3:12: the document requires "budgets.colour"`},
		{head + "requires: [sparkle]\n", 0, `p.yaml:3:12: the document requires "sparkle"`, `p.yaml:3:12: the document requires "sparkle"`},
		{head + "requires: []\n", 0, "p.yaml:3:11: requires is empty", "p.yaml:3:11: requires is empty"},
		{head + "requires: [rollout.canary.x]\n", 0, `p.yaml:3:12: the document requires "rollout.canary.x"`, `p.yaml:3:12: the document requires`},
		{head + "default: maybe\n", 0, "p.yaml:3:10: default cannot be", "p.yaml:3:10: default cannot be"}, // not a field, but a value
	} {
		p, err := ParseNewer("p.yaml", []byte(test.doc))
		if (err == nil) != (test.err == "") || err != nil && !strings.HasPrefix(err.Error(), test.err) {
			t.Errorf("%s\n%v, want %q", test.doc, err, test.err)
		} else if err == nil && len(p.Ignored()) != test.ignored {
			t.Errorf("%s\nignores %q, want %d", test.doc, p.Ignored(), test.ignored)
		}
		p, err = Parse("p.yaml", []byte(test.doc))
		if (err == nil) != (test.strict == "") || err != nil && !strings.Contains(err.Error(), test.strict) {
			t.Errorf("%s\n%v, want %q", test.doc, err, test.strict)
		} else if err == nil && p.Ignored() != nil {
			t.Errorf("%s\nignores %q", test.doc, p.Ignored())
		}
	}
	// What is passed over is part of the document all the same: all versions know one hash.
	a, _ := ParseNewer("p.yaml", []byte(head+budget))
	if b, err := ParseNewer("other", a.Source()); err != nil || b.Hash() != a.Hash() {
		t.Errorf("%v", err)
	}
}
