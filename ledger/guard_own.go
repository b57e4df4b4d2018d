package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Guards is what the policy says about guarding.
type Guards struct {
	Guardians int    // 3 or 5; 0 for none. Which a generation has is never changed
	Lease     Millis // D: how long a node mints without word from its guardians
	Autonomy  Millis // how long it spends stock
}

// DefaultGuards is what holds when the policy does not say.
var DefaultGuards = Guards{Guardians: 3, Lease: 600_000, Autonomy: 300_000}

// fewestMembers is how many live members there must be for a generation to get guardians.
const fewestMembers = 4

// guards is a replica's side of having guardians.
type guards struct {
	policy      Guards
	held        uint64      // the version that is held
	marks       []*instance // whose held marks wait to be held
	told        Instant     // the end of the lease, as accounts know it
	finals      map[Holder]*final
	parts       map[Holder]*final // of those whose records are not here in full: what they show to this one
	failed      time.Duration     // since when a guardian has failed; 0 while none has
	wholeCopies int               // see SetWhole
	alone       bool              // too few guardians answer
	seen        uint64            // the version that was held when it was looked last
	progress    time.Duration     // when more was held than before, or all; by the clock of leases
	moving      bool              // to the next generation
	released    bool              // a ward has given its lease up since the last tick
	tells       []telling         // decisions that everybody is told
	over        bool              // this generation was claimed
	left        bool              // an earlier life of it left for good
	news        bool              // something that was decided may not be booked yet
	gains       Gains
	gone        map[Holder]gone // generations that are said to be claimed
	moved       map[Holder]gone // those dealt with whose nodes go on as others: of their claims nothing may have been said
	places      uint64          // when it was looked for those
}

// SetGuards takes over what the policy says. Guardians are named, once for this generation, as soon as there are four
// live members; from then on what the policy says of their number is for the next generation.
func (r *Replica) SetGuards(now Instant, g Guards) {
	r.guards.policy = g
	r.guard.SetLease(time.Duration(g.Lease) * time.Millisecond)
	if r.guard.Guarded() {
		r.setAutonomy()
	}
}

// setAutonomy tells all accounts how far their held marks run ahead. A generation with guardians always has held marks.
func (r *Replica) setAutonomy() {
	for _, in := range r.order {
		if a := in.account; a != nil {
			a.mu.Lock()
			a.autonomy = r.autonomy()
			a.mu.Unlock()
		}
	}
}

func (r *Replica) autonomy() Millis {
	if !r.guard.Guarded() {
		return 0
	}
	return max(1, r.guards.policy.Autonomy)
}

// bind gives a new account the bounds that guardians set.
func (r *Replica) bind(a *Account) {
	a.autonomy = r.autonomy()
	a.held, a.heldTill, a.leaseEnd = noBound, maxInstant, maxInstant
	if r.bound {
		a.held, a.heldTill, a.leaseEnd = 0, minInstant, r.guards.told
		if !a.heldBinds() {
			a.held, a.heldTill = noBound, maxInstant
		}
	}
}

// guardTick names guardians, renews the lease, and takes over what is held now.
func (r *Replica) guardTick(now Instant, slow bool) {
	if slow && r.guards.policy.Guardians > 0 && !r.guard.Guarded() && r.live >= fewestMembers && !r.charter.ID.IsZero() && r.heir.IsZero() {
		r.nameGuardians()
	}
	if slow {
		r.outlive(now)
		r.inquire(now)
	}
	if slow || r.guards.released {
		r.guards.released = false
		r.claimWards()
	}
	if slow || r.guards.moving { // calls wait meanwhile
		r.moveOn(now)
	}
	r.goOnTelling()
	r.guard.Tick(r.elapsed)
	r.takeHeld(now)
	r.wordTick(now)
	if r.guards.news && !r.guards.over {
		r.guards.news = r.inherit(now)
	}
}

// directory names a peer by its data directory, as guardians are.
func (p *Peer) directory() Holder {
	if p.Directory != 0 {
		return Holder{Node: p.Holder.Node, Gen: p.Directory}
	}
	return p.Holder
}

// nameGuardians chooses this generation's guardians. All that it owns is written with them, in its first version.
func (r *Replica) nameGuardians() {
	cs := r.scratch.candidates[:0]
	for _, p := range r.peers {
		if p.Alive && !p.Passing && p.Holder.Gen != 0 && p.Holder.Node != r.self.Node && !r.guard.Gone(p.directory()) {
			cs = append(cs, guardian.Candidate{Holder: p.directory(), Zone: p.Zone, Host: p.Host})
		}
	}
	r.scratch.candidates = cs
	set := guardian.Choose(cs, r.guards.policy.Guardians, r.cfg.Zone, r.cfg.Host, r.dice)
	if set == nil || r.guard.Guard(set, nil) != nil {
		return
	}
	for _, in := range r.order {
		if in.parked != nil {
			r.meta(keyAccount+string(in.id), encodeState(in.parked))
		}
		for _, e := range in.sortedEdges() {
			r.markEdge(in, e)
		}
		for _, k := range in.sortedDues() {
			if d := in.dues[k]; d != (Due{}) { // else it is in this batch anyway
				r.meta(dueRecordKey(in.id, k), encodeDue(&d))
			}
		}
		a := in.account
		if a == nil {
			continue
		}
		a.mu.Lock()
		a.autonomy = r.autonomy()
		if a.heldBinds() {
			a.s.Held = min(max(a.s.Mark, a.s.used())+a.span(), a.mostMark(&a.s))
			a.s.HeldTill = a.s.MarkTill
		}
		a.mu.Unlock()
		r.mark(in)
	}
	for _, node := range slices.Sorted(maps.Keys(r.past)) {
		r.meta(keyPast+node, encodePast(r.past[node]))
	}
	if r.mortal.floor > 0 {
		r.meta(keyFloor, encodeFloor(r.mortal.floor))
	}
	for i := range r.seats.of {
		r.meta(seatKey(i), encodeSeat(&r.seats.of[i]))
		hs := make([]uint64, 0, len(r.seats.used[i]))
		for h := range r.seats.used[i] {
			hs = append(hs, h)
		}
		slices.Sort(hs)
		for _, h := range hs {
			r.use(i, h, r.seats.used[i][h])
		}
		if p := r.seats.pass[i]; p != nil {
			r.meta(passKey(i), encodeMessage(p))
		}
	}
}

// takeHeld takes over what guardians hold by now: marks become usable, gifts are told, the lease goes on.
func (r *Replica) takeHeld(now Instant) {
	if !r.bound {
		return
	}
	r.takeLease(now)
	held := r.guard.Held()
	if held == r.guards.held {
		return
	}
	r.guards.held = held
	if r.guards.alone {
		r.lookAround()
	}
	r.guards.marks = slices.DeleteFunc(r.guards.marks, func(in *instance) bool {
		if in.noted > held {
			return false
		}
		in.waitsHeld = false
		a := in.account
		a.mu.Lock()
		a.heldNow()
		a.payDebt()
		a.touch()
		a.mu.Unlock()
		r.batch.grown = append(r.batch.grown, a)
		return true
	})
	for _, x := range r.unacked {
		if x.e.holds(held) {
			r.tell(now, x.in, x.e, x.e.guards.held.ask)
			if x.e.ask == x.e.guards.held.ask {
				x.e.ask = 0
			}
		}
	}
}

// leaseJitter is how much two clocks of one machine may differ between two readings, far below any margin.
const leaseJitter = 100

// takeLease tells the accounts of rates how long they may mint and spend, by the clock that they know.
func (r *Replica) takeLease(now Instant) {
	end := minInstant
	if at, ok := r.guard.Lease(); ok {
		end = now + Instant((at-r.elapsed)/time.Millisecond)
	}
	if d := end - r.guards.told; -leaseJitter < d && d < leaseJitter {
		return
	}
	r.guards.told = end
	for _, in := range r.order {
		a := in.account
		if a == nil {
			continue
		}
		a.mu.Lock()
		if a.spec.Kind == Rate {
			a.advance(now) // nothing accrued since the last one ended
			if a.last >= a.leaseEnd && a.last < end {
				r.activate(in) // its row shows what it can give again
			}
			r.batch.grown = append(r.batch.grown, a)
		}
		a.leaseEnd = end
		a.mu.Unlock()
	}
}

// Guardians lists this generation's guardians; none if it has none.
func (r *Replica) Guardians() []Holder { return r.guard.Set() }
