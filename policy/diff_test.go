package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	const old = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 60s}, {name: batch}]
budgets:
  - {name: pool, token: compute, supply: {rate: 50000/s, burst: 100000}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 10M}}
rules:
  - {name: a, draw: [pool, day]}
  - {draw: [pool]}
`
	for _, test := range []struct{ from, to, want string }{
		{"revision: 1", "revision: 2", "revision: 1 -> 2"},
		{"amount: 10M", "amount: 12M", "budgets.day.supply.amount: 10M -> 12M"},
		{"amount: 10M", "amount: 10_000_000", ""},
		{"60s", "1m", ""},
		{"50000/s", "50k/s", ""},
		{"50000/s", "50000/m", "budgets.pool.supply.rate: 50000/s -> 50000/m"},
		{"burst: 100000}", "burst: 100000}, price: {base: 2}", "budgets.pool.price.base:  -> 2"},
		{"draw: [pool, day]", "draw: [day]", "rules.a.draw: pool, day -> day"},
		{"  - {draw: [pool]}\n", "", "rules.2.draw: pool -> "},
		{"per: [tenant], ", "", "budgets.day.per: tenant -> "},
		{"[{name: standard, latency_budget: 60s}, {name: batch}]", "[{name: batch}, {name: standard, latency_budget: 60s}]", "classes (order): standard, batch -> batch, standard"},
	} {
		parse := func(src string) *Policy {
			p, err := Parse("p.yaml", []byte(src))
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		var got []string
		for _, c := range Diff(parse(old), parse(strings.Replace(old, test.from, test.to, 1))) {
			got = append(got, fmt.Sprintf("%s: %s -> %s", c.Where, c.Old, c.New))
		}
		if s := strings.Join(got, "; "); s != test.want {
			t.Errorf("%s: %s, want %s", test.to, s, test.want)
		}
	}
	if d := Diff(Default(), Default()); len(d) != 0 {
		t.Errorf("%v", d)
	}
}
