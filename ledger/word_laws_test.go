package ledger_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"pgregory.net/rapid"
)

// hearWord tells a node that comes back what an operator said of it: the first thing that it hears.
func (n *wnode) hearWord() {
	for _, p := range n.w.nodes {
		if p == n {
			continue
		}
		g := n.w.model.disk(p).Guards()
		if w := g.Ward(n.self); w.Decided && w.Value.IsWord() && w.Version == w.Value.Version {
			records := g.Copies(n.self)
			slices.SortFunc(records, func(a, b guardian.Record) int { return strings.Compare(a.Key, b.Key) })
			if err := n.r.Receive(n.clock(), &guardian.Decided{Of: n.self, To: n.self, From: p.self, Value: *w.Value, Records: records}); err != nil {
				n.w.fatalf("%v does not hear that it is over: %v", n.self, err)
			}
			n.batch(commit, nil)
			return
		}
	}
}

// unspent is what an operator may truthfully say that a dead node had: of the window that all clocks show.
func (w *world) unspent(dead *wnode, id InstanceID) Tokens {
	uses := w.model.find(dead.self, id).Uses
	if len(uses) == 0 {
		return 0
	}
	last, spec := uses[len(uses)-1], w.specs[id][0]
	if spec.Kind == Rate || spec.Ceiling == Observe {
		return 0
	}
	if spec.Kind == Windowed {
		for _, n := range w.nodes {
			for _, s := range w.specs[id] {
				if at, _, _ := s.Calendar.At(w.now + Instant(n.off)); at != last.Window {
					return 0
				}
			}
		}
	}
	n := last.Last.Balance()
	for _, b := range w.model.of(id) { // an earlier word may have brought some of it back already
		for _, d := range b.Dues {
			if d.From == dead.self && d.Window == last.Window {
				n -= d.Tokens
			}
		}
	}
	return max(0, min(n, spec.Amount))
}

// TestWordLaws: operators vouch for nodes that are dead, while all else that can happen does. What comes back is never
// more than there was, nothing comes back twice, and in the end all of it is there.
func TestWordLaws(t *testing.T) {
	given := 0
	rapid.Check(t, func(t *rapid.T) {
		all := testSpecs()
		names := []string{"grant", "window", "window-cal", "window-few", "slots", "rate", "grant-rots"}
		names = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 2, 2, rapid.ID[string]).Draw(t, "budgets")
		n := rapid.IntRange(2, 4).Draw(t, "nodes")
		w := newWorld(n, rapid.IntRange(1, n).Draw(t, "founders"), 1, map[string][]Spec{names[0]: all[names[0]], names[1]: all[names[1]]})
		w.fatalf, w.logf, w.honest = t.Fatalf, t.Logf, true
		acts := w.actions(false)
		acts["vouch"] = func(t *rapid.T) {
			x := w.anyUp(t)
			word := Word{Why: "law"}
			var dead *wnode
			for _, p := range w.nodes {
				if p.r == nil {
					word.Nodes = append(word.Nodes, p.self.Node)
					if dead == nil || p.self.Compare(dead.self) < 0 {
						dead = p // who the stock is credited for
					}
				}
			}
			if dead == nil {
				t.Skip("all are up")
			}
			for _, id := range w.ids {
				if most := w.unspent(dead, id); most > 0 {
					word.Stock = append(word.Stock, Stated{id, Tokens(rapid.Int64Range(0, int64(most)).Draw(t, "stated"))})
				}
			}
			if err := x.r.Vouch(x.clock(), word); err != nil {
				t.Logf("no word: %v", err)
				return
			}
			for range rapid.IntRange(0, 12).Draw(t, "rounds") {
				w.round(60)
			}
			if x.r == nil {
				return
			}
			if v, ok := x.r.Vouching(); ok && v.Given {
				given++
			} else if rapid.Bool().Draw(t, "given up") {
				x.r.Unvouch(errors.New("given up"))
			}
		}
		acts["vouch2"], acts["crash2"] = acts["vouch"], acts["crash"]
		for range 3 {
			t.Repeat(acts)
		}
		w.heal(0)
		w.ownedWhole(t)
	})
	t.Logf("%d words were given", given)
}

// ownedWhole checks that all shares are there, once every node has opened its accounts.
func (w *world) ownedWhole(t *rapid.T) {
	for range 100 {
		w.round(100)
	}
	for _, id := range w.ids {
		var owned Shares
		for _, n := range w.nodes {
			s := n.r.Account(id).State(n.clock())
			owned += s.Shares()
		}
		if owned != TotalShares {
			t.Fatalf("%s: %d shares of all are owned", id, owned)
		}
	}
}
