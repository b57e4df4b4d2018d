package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestHandingOn: to whom everything is handed on when peers leave, too, go on as other generations, or do not answer in time.
func TestHandingOn(t *testing.T) {
	for _, c := range []struct {
		name  string
		peers string // that stay, nearest first, at each look at them: names and generations; ! has confirmed when it was asked to take over
		fails string // whom nothing can be handed on to
		tries int    // after which the time is over
		want  string // who was asked, and how it ended
	}{
		{"nobody is there", "", "", 9, "0"},
		{"the nearest takes it", "a1! b1", "", 9, "a1 2"},
		{"the nearest leaves, too, the next takes it", "a1 b1! | b1!", "", 9, "a1 b1 2"},
		{"two leave, too", "a1 b1 c1! | b1 c1! | c1!", "", 9, "a1 b1 c1 2"},
		{"the nearest goes on as another generation", "a1 b1 | a2! b1", "", 9, "a1 a2 2"},
		{"a whole swarm is stopped", "a1 b1 | b1 | ", "", 9, "a1 b1 4"},
		{"the only one is silent", "a1 | a1", "", 1, "a1 3"},
		{"the nearest leaves when the time is over", "a1 b1! | b1!", "", 1, "a1 4"},
		{"it cannot begin", "a1", "a1", 9, "a1 1"},
		{"it cannot begin with the next", "a1 b1 | b1", "b1", 9, "a1 b1 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			looks, asked := strings.Split(c.peers, "|"), []string{}
			there := func() []string { return strings.Fields(looks[min(len(asked), len(looks)-1)]) }
			name := func(h ledger.Holder) string { return fmt.Sprint(h.Node, h.Gen) }
			h := handing{
				heir: func() (h ledger.Holder, ok bool) {
					if ps := there(); len(ps) > 0 {
						return ledger.Holder{Node: ps[0][:1], Gen: uint64(ps[0][1] - '0')}, true
					}
					return h, false
				},
				leave: func(to ledger.Holder) error {
					confirms := slices.Contains(there(), name(to)+"!")
					asked = append(asked, name(to))
					if confirms {
						looks = []string{strings.Join(append(there(), "confirmed"), " ")}
					}
					if name(to) == c.fails {
						return errors.New("the disk is full")
					}
					return nil
				},
				handed: func(ledger.Holder) bool { return slices.Contains(there(), "confirmed") },
				over:   func() bool { return len(asked) >= c.tries },
				stays: func(h ledger.Holder) bool {
					return slices.ContainsFunc(there(), func(p string) bool { return strings.TrimSuffix(p, "!") == name(h) })
				},
			}
			_, how, err := h.on()
			if got := strings.Join(append(asked, fmt.Sprint(int(how))), " "); got != c.want {
				t.Errorf("%s, not %s", got, c.want)
			}
			if (err != nil) != (how == notBegun) {
				t.Errorf("outcome %d with the error %v", how, err)
			}
		})
	}
}
