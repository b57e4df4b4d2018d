package ledger_test

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestUsed: of stock that is what was spent and reserved in the window that counts; of a bucket what it lacks of what those hold that have opened it, which
// borrowed rights may more than fill.
func TestUsed(t *testing.T) {
	row := func(w ledger.Window, issued, spent, reserved, minted ledger.Tokens) ledger.Known {
		return ledger.Known{Row: ledger.Row{Window: w, Issued: issued, Spent: spent, Reserved: reserved, Minted: minted, Shares: ledger.TotalShares / 2}}
	}
	for _, tt := range []struct {
		name string
		kind ledger.Kind
		rows []ledger.Known
		want int64
	}{
		{"nobody has used it", ledger.Rate, nil, 0},
		{"one of two founders has used it, and it is full again", ledger.Rate, []ledger.Known{row(0, 1500, 1000, 0, 0)}, 0},
		{"and has calls that run", ledger.Rate, []ledger.Known{row(0, 1500, 1000, 100, 0)}, 100_000},
		{"a grant", ledger.Grant, []ledger.Known{row(0, 600, 300, 100, 0), row(0, 400, 100, 0, 0)}, 500_000},
		{"a grant with a top-up", ledger.Grant, []ledger.Known{row(0, 2000, 300, 200, 1000)}, 250_000},
		{"a window of which a row is older", ledger.Windowed, []ledger.Known{row(1, 600, 300, 100, 0), row(2, 400, 100, 0, 0)}, 100_000},
		{"a full bucket", ledger.Rate, []ledger.Known{row(0, 5600, 5000, 0, 0), row(0, 900, 500, 0, 0)}, 0},
		{"a bucket with calls that run", ledger.Rate, []ledger.Known{row(0, 6000, 5000, 600, 0), row(0, 900, 500, 100, 0)}, 300_000},
		{"more than full", ledger.Rate, []ledger.Known{row(0, 6600, 5000, 0, 0), row(0, 500, 0, 0, 0)}, 0},
		{"below nothing", ledger.Rate, []ledger.Known{row(0, 5000, 5200, 0, 0), row(0, 500, 0, 0, 0)}, 500_000},
		{"slots", ledger.Slots, []ledger.Known{row(0, 500, 0, 300, 0), row(0, 500, 0, 0, 0)}, 300_000},
	} {
		if got := ledger.UsedPPM(&ledger.Spec{Kind: tt.kind, Amount: 1000}, tt.rows); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
