package placement

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

// What is asked for ahead of calls does not begin to be wanted by time alone, while rights accrue and demand fades: ticks in which
// nothing else happens are passed over by who drives many replicas (ledger.Replica.Due).
func TestAheadDoesNotRiseByItself(t *testing.T) {
	none := 0
	rapid.Check(t, func(t *rapid.T) {
		v := ledger.View{
			Spec: ledger.Spec{
				Kind: rapid.SampledFrom([]ledger.Kind{ledger.Rate, ledger.Windowed, ledger.Grant, ledger.Slots}).Draw(t, "kind"), Amount: 100_000,
				Per: ledger.Tokens(rapid.IntRange(0, 100_000).Draw(t, "per")), PerMillis: 1000, Lend: ledger.Millis(rapid.IntRange(100, 30_000).Draw(t, "lend")),
			},
			Share:    ledger.Shares(rapid.Int64Range(0, int64(ledger.TotalShares)).Draw(t, "share")),
			Borrowed: ledger.Tokens(rapid.IntRange(0, 5_000).Draw(t, "borrowed")),
			MeanCall: ledger.Tokens(rapid.IntRange(0, 5_000).Draw(t, "mean")),
			Demand:   rapid.Float64Range(0, 20_000).Draw(t, "demand"),
			Reserved: ledger.Tokens(rapid.IntRange(0, 100).Draw(t, "reserved")),
		}
		most := ledger.Worth(v.Share, v.Spec.Amount)
		own := ledger.Tokens(rapid.Int64Range(0, int64(most)).Draw(t, "own"))
		v.Rights = own + v.Borrowed
		if (Strategy{}).Ahead(&v) > 0 {
			return
		}
		none++
		for range 50 {
			v.Demand *= rapid.Float64Range(0.5, 1).Draw(t, "fades")
			if v.Spec.Kind == ledger.Rate { // others do not accrue
				own = min(most, own+ledger.Tokens(rapid.IntRange(0, 500).Draw(t, "accrues")))
				v.Rights = own + v.Borrowed
			}
			if n := (Strategy{}).Ahead(&v); n > 0 {
				t.Fatalf("%d are asked for ahead, by time alone: %+v", n, v)
			}
		}
	})
	if none == 0 {
		t.Error("something was always asked for")
	}
}
