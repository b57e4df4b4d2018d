package ledger

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// A generation whose guardians do not answer, a majority of them, is alone: what it gives is told to nobody, since nobody holds it, and of
// a stock nothing that comes can be used. So it gives nothing, keeps no asks, and says so in its rows, by which peers neither ask it nor give
// it anything. Without that, shares that drifted to it, and on from it, were with nobody. What it may use it goes on using: below its held
// marks, and of a rate until its lease ends; until then it borrows, too.

// aloneAfter is for how long nothing more may be held of what waits for it.
const aloneAfter = 3000 * time.Millisecond

// lookAround notes, once a second and when more is held, whether enough guardians answer.
func (r *Replica) lookAround() {
	g := &r.guards
	if held := r.guard.Held(); held != g.seen || held == r.guard.Version() {
		g.seen, g.progress = held, r.elapsed
	}
	alone := r.bound && !g.over && (r.elapsed-g.progress >= aloneAfter || r.fewGuardians())
	if alone == g.alone {
		return
	}
	g.alone = alone
	for _, in := range r.order {
		in.tellAt = 0 // its row says so
		r.activate(in)
		if alone {
			r.refuseHeld(in)
		}
	}
}

// fewGuardians reports whether the failure detector sees less than a majority of this generation's guardians. Where operators have vouched
// for the death of some, those that are left decide.
func (r *Replica) fewGuardians() bool {
	there, set := 0, r.guard.Set()
	for _, g := range set {
		if i, ok := r.peer(g.Node); ok && r.peers[i].Alive && r.peers[i].directory() == g {
			there++
		}
	}
	return there < guardian.Majority(len(set)) && !r.guard.Lost()
}

// refuseHeld has those ask others whose asks wait here.
func (r *Replica) refuseHeld(in *instance) {
	for _, h := range in.held {
		r.send(h.ask.From.Node, &Refuse{ID: h.ask.ID, From: r.self, Instance: in.id, Donors: r.hints(in, h.ask.From)})
	}
	in.held = nil
	if a := in.account; a != nil {
		a.mu.Lock()
		a.aside = 0
		a.mu.Unlock()
	}
}

// inVain reports whether nothing that came to an account now could be used: of a rate without a lease, and of a stock while what comes is
// not held, but for a soft one that goes on without a lease.
func (r *Replica) inVain(in *instance) bool {
	a := in.account
	a.mu.Lock()
	defer a.mu.Unlock()
	over := a.last >= a.leaseEnd
	switch {
	case a.spec.Ceiling == Observe:
		return false
	case a.spec.Kind == Rate:
		return over
	}
	return r.guards.alone && !(over && a.spec.Ceiling == Soft)
}
