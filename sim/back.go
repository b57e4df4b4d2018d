package sim

import (
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// What the figures dead, stuck, frozen and back are taken from: the generations that died, or left, for good, with what they
// had, and when that was in use again.

// ended is a generation that died or left for good.
type ended struct {
	of   ledger.Holder
	at   micros
	back bool // all it had is in use again
}

// ends notes that a node's generation will not be back.
func (m *measure) ends(n *node) {
	if slices.ContainsFunc(m.ended, func(x ended) bool { return x.of == n.self }) {
		return // it left before it died
	}
	m.ended = append(m.ended, ended{of: n.self, at: m.w.now})
	m.endedShares += m.w.audit.owns(n.self)
}

// owns is what a generation has on disk of the shares of all instances; that of a claimed one is what its final records show.
func (a *audit) owns(of ledger.Holder) (sum float64) {
	h, ok := a.w.pool.holders[of]
	if !ok {
		return 0
	}
	for in := range a.w.pool.ids {
		switch s := a.sides[sideKey{int32(in), h}]; {
		case s == nil:
		case s.claimed && s.final != nil:
			sum += float64(s.final.Shares())
		case !s.claimed:
			sum += float64(s.durable.Shares())
		}
	}
	return sum
}

// lost reports whether nobody can claim a generation any more: too few of those who guarded it are left.
func (w *world) lost(of ledger.Holder) bool {
	set, have := w.audit.sets[of], 0
	for _, g := range w.guardians(set) {
		if g == nil || g.gone && !g.up {
			continue
		}
		if d := g.ward(of); d != nil && d.Version > 0 {
			have++
		}
	}
	return len(set) == 0 || have < guardian.Majority(len(set))
}

// returned looks which of the generations that have ended left nothing behind by now: an heir that lives was credited all
// they owned, and nobody who lives has anything open with them.
func (m *measure) returned() {
	w := m.w
	if m.backAll() {
		return
	}
	open := map[ledger.Holder]bool{}
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		n.core.Replica.EachAccount(func(acc *ledger.Account) {
			n.core.Replica.EachEntry(acc.ID(), func(peer ledger.Holder, e ledger.Entry) {
				if !e.Closed && w.audit.claims[peer] != nil {
					open[peer] = true
				}
			})
		})
	}
	for i := range m.ended {
		x := &m.ended[i]
		if x.back || w.audit.claims[x.of] == nil || open[x.of] || !w.credited(x.of) {
			continue
		}
		x.back = true
		m.back = max(m.back, w.now-x.at)
	}
}

func (m *measure) backAll() bool {
	for i := range m.ended {
		if !m.ended[i].back {
			return false
		}
	}
	return true
}

// credited reports whether an heir that lives was credited all that a claimed generation owned.
func (w *world) credited(of ledger.Holder) bool {
	heir := w.audit.heir(of)
	if n := w.byName[heir.Node]; !n.lives(heir) {
		return false
	}
	h, ok := w.pool.holders[of]
	if !ok {
		return true
	}
	for in := range w.pool.ids {
		if s := w.audit.sides[sideKey{int32(in), h}]; s != nil && s.claimed {
			var none ledger.Shares
			if w.inherited(int32(in), h, &none) != "" {
				return false
			}
		}
	}
	return true
}

// supply fills in what became of the supply of those that ended.
func (m *measure) supply(s *result.System) {
	w := m.w
	all := float64(len(w.pool.ids)) * float64(ledger.TotalShares)
	if all == 0 {
		return
	}
	for _, n := range w.nodes {
		if n.up && w.frozen(n) {
			s.Frozen += w.audit.owns(n.self) / all
		}
	}
	if len(m.ended) == 0 {
		return
	}
	stuck, some, never := 0.0, false, false
	for i := range m.ended {
		x := &m.ended[i]
		switch last := w.audit.heir(x.of); {
		case x.back:
			some = true
		case !w.byName[last.Node].lives(last) && w.lost(last):
			stuck += w.audit.owns(x.of)
		default:
			never = true
		}
	}
	s.Dead = m.endedShares / all
	if m.endedShares > 0 {
		s.Stuck = stuck / m.endedShares
	}
	switch {
	case never:
		s.Back = math.Inf(1)
	case some:
		s.Back = float64(m.back) / float64(second)
	}
}
