package sim

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

func traceHash(h uint64) string { return fmt.Sprintf("%016x", h) }

// atRest judges the swarm when all faults are over, no calls have arrived for Scenario.Rest, and nothing may be stuck.
func (w *world) atRest() {
	w.catchUp()
	for _, n := range w.nodes {
		switch {
		case n.gone && !n.up:
			continue
		case !n.up || n.paused:
			w.fail("every node is back after the faults", "%s is not", n.name)
			return
		case len(n.waiting) > 0:
			w.fail("queues drain", "%d calls wait at %s", len(n.waiting), n.name)
		case n.core.Replica.Conservation() != 0:
			w.fail("the equations of accounts close", "%s is off by %d", n.name, n.core.Replica.Conservation())
		}
		for _, h := range n.core.Replica.Stuck() {
			if p := w.byName[h.Node]; p.lives(h) && !w.frozen(n) && !w.frozen(p) && !w.links.unlucky(n, p) {
				w.fail("nothing that was given is stuck", "%s does not acknowledge what %s gave it", p.name, n.name)
			}
		}
		w.audit.sweep(n)
	}
	w.audit.shares()
}

// lives reports whether the holder is this node's present generation, and runs. One that has ended keeps what it was
// given, until guardians give it back.
func (n *node) lives(h ledger.Holder) bool { return n.up && n.self == h }

// stir is a sign that the swarm is not at rest.
type stir struct {
	at        micros
	what, who string
}

func (w *world) stir(what, who string) { w.stirred = stir{w.now, what, who} }

const (
	isBack  = "what the dead had is in use again"
	knowsIt = "whoever was claimed knows it in the end"
)

const (
	stillStep = 5 * second
	// stillMost is how long after the last call the swarm may take until nothing moves any more.
	stillMost = 120 * second
	// quiet is how long nobody may have had anything to tell when the swarm is at rest: four rounds of drift. It is less
	// where one row of every account is told in less (told).
	quiet = 20 * second
	// longestCall is how long after the scenario's end calls are waited for.
	longestCall = 600 * second
)

// untilStill lets the world go on without load until nothing moves: no call runs, nobody has had anything to tell
// for a while, but that a window has turned or rights have decayed, and everybody knows exactly the same. It has as long as it takes to tell it, or
// Scenario.Settle if that is less: then what does not hold yet is not judged.
func (w *world) untilStill(o Options) {
	for limit := max(w.end, min(w.lastEnd, w.end+longestCall)) + stillMost + w.told(); w.goesOn(); {
		w.until(w.now+stillStep, o)
		w.catchUp()
		invariant, detail := w.unrest()
		if invariant == "" {
			w.closes()
			w.together()
			return
		}
		switch s := w.sc.Settle; {
		case !w.goesOn():
		case s > 0 && w.now >= w.end+span(s):
			w.unsettled = fmt.Sprintf("%s: not after %v; %s", invariant, s, detail)
			return
		case w.now >= w.deadline(limit, invariant):
			w.fail(invariant, "%s", detail)
		}
	}
}

// deadline is until when a promise about a swarm at rest may wait. Leases have to end before anything comes back, and what
// has come back then is credited and told like all else.
func (w *world) deadline(limit micros, invariant string) micros {
	claims := w.claims()
	if invariant == isBack || invariant == knowsIt {
		return limit + claims
	}
	return max(limit, min(w.audit.decided, limit+claims)+stillMost+w.told())
}

// unrest names the first of the promises about a swarm at rest that does not hold yet.
func (w *world) unrest() (invariant, detail string) {
	if w.calls > 0 && w.lastEnd <= w.end+longestCall {
		return "every call ends", fmt.Sprintf("%d calls neither wait nor run nor have ended", w.calls)
	}
	if s := &w.stirred; s.at > w.now-min(quiet, w.told()) {
		return "the swarm comes to rest", fmt.Sprintf("%s: a %s after %d s", s.who, s.what, s.at/second)
	}
	if detail = w.astray(); detail != "" {
		return isBack, detail
	}
	for _, n := range w.nodes {
		if n.up && w.audit.claims[n.self] != nil {
			g := n.core.Replica.Guarding()
			return knowsIt, fmt.Sprintf("%s runs as %v, which was claimed by %v; its guardians are %+v, version %d, held %d, refusals %d", n.name, n.self, w.audit.claims[n.self].value, g.Guardians, g.Version, g.Held, n.core.Replica.Refusals())
		}
	}
	if detail = w.underway(); detail != "" {
		return "what was given has come", detail
	}
	if detail = w.divided(); detail != "" {
		return "one revision is in force in the end", detail
	}
	if detail = w.disagree(); detail != "" {
		return "every node knows the same in the end", detail
	}
	return "", ""
}

// told is how long it takes at the least to tell everybody of a row: a comparison of digests for what was lost on the way,
// and the time that gossip's ceiling needs for one row of every account.
func (w *world) told() micros {
	const rowBytes, copies = 160, promise.Fanout * promise.Waves
	rows := float64(len(w.pool.ids) * len(w.nodes))
	return 10*second + micros(rows*rowBytes*copies/float64(w.pool.rate)*float64(second))
}

// ended reports whether the life of an instance is over by all clocks, or is about to be.
func (w *world) ended(id ledger.InstanceID) bool {
	_, ends, mortal := id.Life()
	return mortal && scenario.Epoch+ledger.Instant((w.now+w.told())/1000) >= ends
}

// underway finds something that one live generation has given to another and that is not there.
func (w *world) underway() (detail string) {
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		n.core.Replica.EachAccount(func(acc *ledger.Account) {
			id := acc.ID()
			if w.ended(id) {
				return // nobody tells or asks any more
			}
			live, _, _, _ := acc.Peek()
			n.core.Replica.EachEntry(id, func(peer ledger.Holder, gave ledger.Entry) {
				p := w.byName[peer.Node]
				if detail != "" || !p.lives(peer) || w.frozen(n) || w.frozen(p) {
					return
				}
				got := p.core.Replica.Entry(id, n.self)
				if gave.SharesOut != got.SharesIn || gave.SharesOut != gave.AckedShares ||
					gave.Window == live.Window && gave.Out > 0 && (got.Window != gave.Window || gave.Out != got.In || gave.Out != gave.AckedOut) {
					detail = fmt.Sprintf("%s gave %s of %s %+v, which has %+v", n.name, p.name, id.Name(), gave, got)
				}
			})
		})
	}
	return detail
}

// disagree finds a node that does not know the newest row of an account, or a row that does not say what its account is.
func (w *world) disagree() string {
	for in, id := range w.pool.ids {
		in := int32(in)
		if w.ended(id) {
			continue // some have forgotten it
		}
		for h := range w.pool.recent[in] {
			x := w.pool.latest(in, int32(h))
			if x == nil {
				continue
			}
			if w.audit.claims[x.row.Holder] != nil {
				continue // it says nothing that matters
			}
			origin := w.nodes[x.origin]
			newest := uint32(x.row.Version)
			if !origin.lives(x.row.Holder) { // what it told last may have reached nobody
				newest = 0
				for _, n := range w.nodes {
					if n.up {
						newest = max(newest, n.version(in, int32(h)))
					}
				}
			}
			if x.byTime && x.born > w.now-w.told() { // then the last one that all can have heard of
				newest = 0
				for _, y := range w.pool.recent[in][h].news {
					if y != nil && y.born <= w.now-w.told() {
						newest = max(newest, uint32(y.row.Version))
					}
				}
			}
			for _, n := range w.nodes {
				if n.up && n != origin && n.version(in, int32(h)) < newest {
					return fmt.Sprintf("%s knows version %d of the row of %s for %s, not %d", n.name, n.version(in, int32(h)), origin.name, id.Name(), newest)
				}
			}
			if acc := origin.core.Replica.Account(id); acc != nil && origin.lives(x.row.Holder) {
				live, spec, _, ready := acc.Peek()
				if !ready {
					return fmt.Sprintf("%s has told a row for %s, and its account is not durable", origin.name, id.Name())
				}
				if live.Window == x.row.Window && !says(&x.row.Row, &live, &spec) {
					return fmt.Sprintf("the last row of %s for %s says %+v; its account is %+v", origin.name, id.Name(), x.row.Row, live)
				}
			}
		}
	}
	return ""
}

// says reports whether a row says what an account is, with what it has taken over. What a rate accrues, and what decays,
// goes on all the time.
func says(r *ledger.Row, s *ledger.State, spec *ledger.Spec) bool {
	t := &s.Taken
	return r.Shares == s.Shares() && r.In == max(0, s.In+t.In) && r.Out == max(0, s.Out+t.Out) && r.Spent == max(0, s.Spent+t.Spent) &&
		r.Reserved == s.Reserved && r.Debt == s.Debt && r.Minted == s.Minted && r.Inherited == t.Minted && r.Overdrawn == s.Overdrawn &&
		(spec.Kind == ledger.Rate || r.Issued == s.Issued()+t.Issued && (spec.HalfLife > 0 || r.Lapsed == s.Lapsed+t.Lapsed)) &&
		r.Burned == s.Burned+s.Cut+t.Burned
}
