package placement

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestAlonePeers: a peer that is alone is asked for nothing and given nothing, whatever its row shows; another like it is.
func TestAlonePeers(t *testing.T) {
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 1_000_000, Per: 1_000_000, PerMillis: 1000, Lend: 10_000}
	const all = ledger.TotalShares
	own := func(v *ledger.View, share ledger.Shares) {
		v.Spec, v.Share, v.Demand, v.MeanCall = rate, share, 1000, 1000
	}
	for _, c := range []struct {
		name string
		peer func(r *ledger.Row)
		self func(v *ledger.View)
		gets func(v *ledger.View) bool
	}{
		{"asks for surplus", func(r *ledger.Row) { r.Surplus, r.Issued = 5000, 5000 }, func(v *ledger.View) {}, func(v *ledger.View) bool {
			picks, _ := Strategy{}.Donors(v, 100, 1)
			return len(picks) > 0
		}},
		{"shares drift", func(r *ledger.Row) { r.Demand = 500_000 }, func(v *ledger.View) { own(v, all) }, func(v *ledger.View) bool {
			i, _ := Strategy{}.Drift(v)
			return i >= 0
		}},
		{"who serves many is relieved", func(r *ledger.Row) {}, func(v *ledger.View) { own(v, all); v.Lending = 100_000 }, func(v *ledger.View) bool {
			i, _ := Strategy{}.Drift(v)
			return i >= 0
		}},
		{"useless shares go to who has most", func(r *ledger.Row) { r.Shares, r.Demand = all/2, 900_000 }, func(v *ledger.View) { own(v, all/2000); v.Demand, v.Members = 0, 1000 }, func(v *ledger.View) bool {
			i, _ := Strategy{}.Drift(v)
			return i >= 0
		}},
		{"shares go with rights", func(r *ledger.Row) { r.Demand = 500_000 }, func(v *ledger.View) { own(v, all) }, func(v *ledger.View) bool {
			return Strategy{}.Along(v, 0, &ledger.Ask{From: v.Peers[0].Holder, Need: 100, Demand: 500_000}) > 0
		}},
		{"borrowed rights are offered", func(r *ledger.Row) { r.Shares = all / 2 }, func(v *ledger.View) { own(v, 0); v.Rights, v.Borrowed = 50_000, 50_000 }, func(v *ledger.View) bool {
			i, _ := Strategy{}.Return(v)
			return i >= 0
		}},
	} {
		for _, alone := range []bool{false, true} {
			p := peer("a", 0, 0)
			c.peer(p.Row)
			p.Row.Alone = alone
			v := grant(p)
			c.self(v)
			if got := c.gets(v); got == alone {
				t.Errorf("%s, alone %v: %v", c.name, alone, got)
			}
		}
	}
}
