package policy

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestGuarantee: the calls of a tenant with a floor draw on its meter too, which keeps nothing back; others do not, and have
// plans of their own.
func TestGuarantee(t *testing.T) {
	p, err := Parse("p.yaml", files(t, "testdata/good/guarantee.yaml")["testdata/good/guarantee.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tenant string
		draws  []string
		floors []float64 // tokens per second, 0 for none
	}{
		{"search", []string{"gpu-pool", "tenant-day", "gpu-pool:search"}, []float64{10_000, 10e6 * 0.2 / 86400, 0}},
		{"ads", []string{"gpu-pool", "tenant-day", "gpu-pool:ads"}, []float64{6250, 10e6 * 0.2 / 86400, 0}},
		{"other", []string{"gpu-pool", "tenant-day"}, []float64{0, 10e6 * 0.2 / 86400}},
	} {
		call := &Call{Tenant: c.tenant, PromptTokens: 100}
		plan, err := p.Match(call)
		if err != nil || len(plan.Draws) != len(c.draws) {
			t.Fatalf("%s: %v, %+v", c.tenant, err, plan)
		}
		for i := range plan.Draws {
			d := &plan.Draws[i]
			got := 0.0
			if d.Floor != nil {
				got = d.Budget.FloorRate(d.Floor, 0)
			}
			if n, _ := d.Amount(call); d.Budget.Name != c.draws[i] || got != c.floors[i] || n != 100 {
				t.Errorf("%s draws %d on %s with a floor of %v, want %s and %v", c.tenant, n, d.Budget.Name, got, c.draws[i], c.floors[i])
			}
		}
		if k, ok := p.Key(call); !ok || k.Tenant != c.tenant {
			t.Errorf("a plan for all tenants: %+v", k)
		}
	}
	m, ok := p.Budget("gpu-pool:search")
	if s := m.Spec; !ok || m.Meters == nil || s.Ceiling != ledger.Observe || s.Per != 10_000 || s.Amount != 20_000 {
		t.Errorf("the meter is %+v", m)
	}
}

// TestCheckGuarantee: floors that leave nothing to others, or that do nothing.
func TestCheckGuarantee(t *testing.T) {
	const fixed, moves, hybrid = "", ", price: {mode: dynamic, base: 1, max: 8}", ", price: {mode: hybrid, base: 1, max: 8}"
	for _, tt := range []struct{ budget, price, want string }{
		{"guarantee: {a: 20%, b: 30%}", fixed, ""},
		{"guarantee: {a: 20%, b: 30%}", hybrid, ""},
		{"guarantee: {a: 60%, b: 35%}", fixed, `p.yaml:5:5: warning: budget "b": its guarantees come to 95% of the supply, so while those tenants want it others get 5%`},
		{"guarantee: {a: 85%}", hybrid, `p.yaml:5:5: warning: budget "b": guarantees of 85% of the supply pay the base price, so no price can bring use down to the target of 80%`},
		{"guarantee: {a: 20%}", moves, `p.yaml:5:5: warning: budget "b": what is guaranteed buys less while the price is up: write mode: hybrid, then it is paid at the base price`},
		{"guarantee: {a: 0.0001%}", fixed, `p.yaml:5:5: warning: budget "b": a guarantee of 0.0001% comes to less than one token`},
		{"per: [tenant], guarantee: 20%", hybrid, ""},
		{"per: [tenant], guarantee: 20%", fixed, `p.yaml:5:5: warning: budget "b": each tenant has an instance of its own that no other can take from, so without a hybrid price its guarantee does nothing`},
	} {
		p := mustParse(t, head+"tokens: {c: {unit: token}}\nbudgets:\n  - {name: b, token: c, supply: {rate: 100k/s, burst: 100k}, "+tt.budget+tt.price+"}\nrules: [{draw: [b]}]\n")
		got := ""
		for _, w := range Check(p) {
			got += w.String()
		}
		if got != tt.want {
			t.Errorf("%s%s:\ngot  %s\nwant %s", tt.budget, tt.price, got, tt.want)
		}
	}
}
