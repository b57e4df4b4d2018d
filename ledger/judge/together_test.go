package judge

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestSlotsComeBackOnce: of ten slots six were in use when a generation ended. When their calls have ended, its heir has them again and
// may use them; until then, and beyond what came back, it may not.
func TestSlotsComeBackOnce(t *testing.T) {
	old, heir := ledger.Holder{Node: "n1", Gen: 1}, ledger.Holder{Node: "n1", Gen: 2}
	for _, c := range []struct {
		name  string
		back  ledger.Tokens // what lay below the held mark of seven: the six, and one
		spent ledger.Tokens // what the heir uses
		want  bool
	}{
		{"before they come back the heir uses what is free", 0, 3, true},
		{"before they come back it uses more", 0, 4, false},
		{"afterwards it uses all", 7, 10, true},
		{"afterwards it uses more than all", 7, 11, false},
	} {
		first := NewBook(old, "seats")
		first.There, first.Shares, first.Given = true, ledger.TotalShares, ledger.TotalShares
		final := ledger.State{Genesis: ledger.TotalShares, Base: 10, Reserved: 6, Mark: 7, Held: 7}
		first.Uses = []Use{{Last: final, Used: 6, Limit: 10}}
		first.Final = &Final{State: &final}
		next := NewBook(heir, "seats")
		next.There, next.Shares = true, ledger.TotalShares
		next.Dues = []Due{{From: old, Due: ledger.Due{Shares: ledger.TotalShares, Tokens: 3}}}
		came := ledger.Tokens(3)
		if c.back > 0 {
			first.Uses[0].Used = 0 // their callers have settled
			next.Dues = append(next.Dues, Due{From: old, To: old, Due: ledger.Due{Tokens: c.back}})
			came += c.back
		}
		next.Uses = []Use{{Last: ledger.State{SharesIn: ledger.TotalShares, In: max(came, c.spent), Spent: c.spent}, Used: c.spent, Limit: 10}}
		if err := Together([]*Book{first, next}, ledger.Slots, ledger.Hard); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
