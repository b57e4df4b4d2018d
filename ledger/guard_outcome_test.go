package ledger_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// TestOutcome: those who had dealt with the dead settle with it by what concerns them, and hear of nothing that concerns others. Only its
// heir, its guardians and, if there are to be, the first few of the others have all of its records.
func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		name string
		few  bool
	}{{"a few copies for a later word", false}, {"none", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := guardedWorld(t, 16, 1, Spec{Kind: Grant, Amount: 10_000})
			w.few = c.few
			for _, x := range w.nodes {
				if c.few {
					x.r.SetWhole(0)
				}
			}
			dead, first := w.nodes[15], w.nodes[0]
			first.r.GiveRights(first.clock(), w.ids[0], dead.self, 3000, first.clock())
			w.rounds(20, 100)
			for _, x := range w.nodes[1:15] { // each has an entry with it, and something on the way from it
				dead.r.GiveRights(dead.clock(), w.ids[0], x.self, 100, dead.clock())
			}
			w.rounds(20, 100)
			for _, x := range w.nodes[1:15] {
				x.r.GiveRights(x.clock(), w.ids[0], dead.self, 40, x.clock())
			}
			var before []Holder
			for _, x := range w.nodes[1:15] {
				before = append(before, x.self)
			}
			dead.crash()
			whole, parts, went := 0, 0, false
			for range 60 {
				w.now += 1000
				for _, p := range w.nodes {
					if p.r != nil {
						p.r.Tick(p.clock())
						p.batch(commit, nil)
					}
				}
				w.settleBut(func(p packet) bool {
					switch m, _ := Decode(p.bytes); m := m.(type) {
					case *guardian.Decided:
						if m.Of == dead.self && len(m.Records) > 0 {
							whole++
						}
					case *guardian.Outcome:
						parts++
						others := slices.ContainsFunc(m.Records, func(r guardian.Record) bool {
							return strings.HasPrefix(r.Key, KeyEntry) && !slices.ContainsFunc(m.About, func(h Holder) bool { return strings.Contains(r.Key, "\x00"+h.Node+"\x00") })
						})
						went = went || len(m.About) > 1
						if others || m.To != w.nodes[p.to].self {
							t.Errorf("%v is told %v", w.nodes[p.to].self, m)
						}
					}
					return false
				})
			}
			if c.few && whole > 1 || !c.few && whole < 5 || parts < 3 || !went { // the heir tells one guardian
				t.Errorf("%d got all records, %d what concerns them; one that went on what concerns the generation before: %v", whole, parts, went)
			}
			settled, moved := 0, 0
			for i, x := range w.nodes[1:15] {
				if x.self != before[i] { // the dead was one of its guardians
					if own := w.own(x); own.Balance() < 100 { // what of it was on its way to the dead comes to it, too
						t.Errorf("%v has %d, and not the 100 that it was given", x.self, own.Balance())
					}
					moved++
					continue
				}
				settled++
				if own := w.own(x); !x.r.Folded(dead.self) || own.In < own.Out {
					t.Errorf("%v has not settled with it (folded: %v): %d came, %d given", x.self, x.r.Folded(dead.self), own.In, own.Out)
				}
			}
			if settled < 8 || moved == 0 {
				t.Errorf("only %d have, %d went on", settled, moved)
			}
		})
	}
}
