package ledger

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// What a replica tells people and metrics of its part in guarding. Nothing depends on it.

// Guarding is how this generation is guarded, and what it guards.
type Guarding struct {
	Guardians []guardian.Standing // none while it has no guardians; then all below but Wards and Claims is empty
	Version   uint64              // of its durable records
	Held      uint64              // the version that a majority of guardians has stored
	Lease     guardian.Lease
	Moving    bool        // it is moving on to the next generation, as a guardian has failed
	Retired   bool        // it was claimed
	Wards     []WardState // that this node guards, and those that it guarded until they were claimed
	Counts    guardian.Counts
	Gains     Gains
}

// WardState is what a guardian knows of one ward.
type WardState struct {
	guardian.WardState
	Alive bool // the ward's node is live, in that generation
}

// Gains is what came back to this node since it started (see Follow). All of it only grows.
type Gains struct {
	Credits uint64 // as an heir: of one account or of what was on one way
	Tokens  Tokens // in them
	Shares  Shares
	Returns uint64 // gifts to claimed generations that were taken back, one for each account
	Back    Tokens // in them
	BackOf  Shares
}

// Guarding tells how this generation is guarded, and what it guards.
func (r *Replica) Guarding() Guarding {
	g := Guarding{
		Guardians: r.guard.Standings(r.elapsed), Version: r.guard.Version(), Held: r.guard.Held(), Lease: r.guard.LeaseState(r.elapsed),
		Moving: r.guards.moving, Retired: r.guards.over, Counts: r.guard.Counts(), Gains: r.guards.gains,
	}
	for _, w := range r.guard.WardStates(r.elapsed) {
		_, alive := r.alive(w.Of)
		g.Wards = append(g.Wards, WardState{w, alive})
	}
	return g
}

// StuckWhy says why what a dead generation had is not in use again.
type StuckWhy uint8

const (
	StuckUnguarded StuckWhy = iota + 1 // this node does not guard it: others do, or nobody, and then it comes back with its node, or by an operator's word
	StuckLease                         // this node guards it, and a lease that it has acknowledged runs for Left
	StuckOwnLease                      // this node could claim it, but has no lease itself: it does not reach its own guardians
	StuckClaim                         // its claim is begun, and too few of its guardians have answered
	StuckHeir                          // it was claimed, and its heir is not live
)

func (w StuckWhy) String() string {
	switch w {
	case StuckUnguarded:
		return "unguarded"
	case StuckLease:
		return "lease"
	case StuckOwnLease:
		return "own lease"
	case StuckClaim:
		return "claim"
	case StuckHeir:
		return "heir"
	}
	return "unknown"
}

// StuckRights is what one generation had of one instance, by its last row, while it is neither live nor in use again.
type StuckRights struct {
	Instance InstanceID
	Holder   Holder
	Why      StuckWhy
	Left     time.Duration // StuckLease: until it may be claimed
	Tokens   Tokens        // of the present window
	Shares   Shares
}

// EachStuck calls f with what dead generations have, by instance in order of first sight, then by holder.
func (r *Replica) EachStuck(f func(StuckRights)) {
	left := map[Holder]StuckRights{} // why and for how long, once for all instances
	for _, in := range r.order {
		window, known := Window(0), in.account != nil
		if known {
			window = in.account.window()
		}
		peers := r.peers // sorted by holder, as rows are
		for _, k := range in.rows {
			for len(peers) > 0 && peers[0].Holder.Compare(k.Holder) < 0 {
				peers = peers[1:]
			}
			if len(peers) > 0 && peers[0].Holder == k.Holder && peers[0].Alive {
				continue
			}
			s, ok := left[k.Holder]
			if !ok {
				s = r.stuck(k.Holder)
				left[k.Holder] = s
			}
			if s.Why == 0 {
				continue
			}
			s.Instance, s.Shares = in.id, k.Shares
			if !known || k.Window == window {
				s.Tokens = max(0, k.Balance())
			}
			if s.Tokens > 0 || s.Shares > 0 {
				f(s)
			}
		}
	}
}

// stuck says why what a generation had that is not live is not in use again; Why is 0 if it is.
func (r *Replica) stuck(h Holder) StuckRights {
	s := StuckRights{Holder: h, Why: StuckUnguarded}
	if heir := r.guard.Heir(h); heir != h {
		if s.Why = StuckHeir; heir == r.self {
			s.Why = 0
		} else if _, ok := r.alive(heir); ok {
			s.Why = 0
		}
		return s
	}
	for _, w := range r.guard.WardStates(r.elapsed) {
		if w.Of != h || w.Version == 0 {
			continue
		}
		switch {
		case w.Promised != (guardian.Ballot{}):
			s.Why = StuckClaim
		case w.Left > 0:
			s.Why, s.Left = StuckLease, w.Left
		case !r.guard.Fresh(r.elapsed):
			s.Why = StuckOwnLease
		default:
			s.Why = StuckClaim
		}
	}
	return s
}

// reclaimed counts what this node was credited as an heir.
func (r *Replica) reclaimed(in *instance, d *dueChange) {
	g := &r.guards.gains
	g.Credits++
	g.Tokens += d.Tokens
	g.Shares += d.Shares
	r.event(Event{Kind: Reclaimed, Instance: in.id, Peer: d.key.from, Tokens: d.Tokens, Shares: d.Shares})
}

// tookBack counts what this node took back of what it had given.
func (r *Replica) tookBack(in *instance, e *edge) {
	if e.Back <= 0 && e.SharesBack <= 0 {
		return
	}
	g := &r.guards.gains
	g.Returns++
	g.Back += e.Back
	g.BackOf += e.SharesBack
	r.event(Event{Kind: TookBack, Instance: in.id, Peer: e.peer, Tokens: e.Back, Shares: e.SharesBack})
}
