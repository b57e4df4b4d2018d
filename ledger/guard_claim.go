package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// claimRank is how much later each next guardian of a ward begins to claim it, so that they do not outbid each other.
const claimRank = 2000 * time.Millisecond

// claimWards begins to claim wards whose lease is over and whose node is dead, or has become another generation, or that
// have given their lease up.
func (r *Replica) claimWards() {
	if !r.heir.IsZero() {
		return
	}
	for _, c := range r.guard.Claimable(r.elapsed) {
		_, alive := r.alive(c.Of)
		if alive && !c.Released || c.Since < time.Duration(c.Rank)*claimRank || !r.guard.Fresh(r.elapsed) && !c.Accepted {
			continue
		}
		if err := r.guard.Claim(r.elapsed, c.Of, r.self); err != nil {
			panic(fmt.Sprintf("BUG: %v", err)) // a ward with a version, for ourselves
		}
	}
}

// moveOn has this generation follow by the next one when guardians refuse it, which a claim makes them do, or when one of
// them has failed: its node has another data directory, or was away for a whole lease. What is unspent is noted first,
// so that nothing of it stays behind. One that left in order and is started again moves on at once.
func (r *Replica) moveOn(now Instant) {
	if !r.bound || r.guards.over {
		return
	}
	if r.guard.Refusals() > 0 || r.guards.left {
		r.next()
		return
	}
	if !r.guards.moving && !r.guardianFailed() {
		return
	}
	r.guards.moving = true
	if r.Rest() && len(r.batch.dirty) == 0 && r.guard.Held() == r.guard.Version() {
		r.next()
	}
}

// guardianFailed reports whether a guardian has failed for good, or so many are about to leave that a majority would not stay.
// Where there are too few members for others, the next generation has none. It is for while a majority can still decide:
// without one, this node goes on with what is held.
func (r *Replica) guardianFailed() bool {
	if !r.heir.IsZero() {
		return false
	}
	set := r.guard.Set()
	lost, away, there, rest := false, false, 0, 0
	for _, g := range set {
		if !r.guard.Gone(g) {
			rest++
		}
		switch i, ok := r.peer(g.Node); {
		case !ok || !r.peers[i].Alive:
			away = true
		case r.peers[i].Holder.Gen != 0 && r.peers[i].directory() != g:
			lost = true
		default:
			there++
		}
	}
	if !away {
		r.guards.failed = 0
	} else if r.guards.failed == 0 {
		r.guards.failed = max(1, r.elapsed)
	}
	if r.guard.Lost() {
		return there >= rest // by an operator's word those that are left decide
	}
	if there < guardian.Majority(len(set)) {
		return false
	}
	return lost || r.staying(set, "") < guardian.Majority(len(set)) ||
		away && r.elapsed-r.guards.failed >= time.Duration(r.guards.policy.Lease)*time.Millisecond
}

// staying counts the guardians of a set that are there and not about to leave, beside one.
func (r *Replica) staying(set []Holder, beside string) (n int) {
	for _, g := range set {
		if i, ok := r.peer(g.Node); ok && g.Node != beside {
			if p := &r.peers[i]; p.Alive && !p.Passing && p.directory() == g {
				n++
			}
		}
	}
	return n
}

// WardsToMove counts the live wards that would be left without a majority of their guardians if this node left now: they
// see that it is about to (Peer.Passing) and move on to a next generation, with other guardians. Whoever leaves in order waits
// for them, within reason.
func (r *Replica) WardsToMove() (n int) {
	for _, w := range r.guard.Wards() {
		if p, alive := r.alive(w.Of); alive && !p.Passing && r.staying(w.Set, r.self.Node) < guardian.Majority(len(w.Set)) {
			n++
		}
	}
	return n
}

// Left reports that an earlier life of this generation left in order: it rests until the next one follows.
func (r *Replica) Left() bool { return r.guards.left }

// Noted reports whether guardians hold all that is durable here; true without guardians.
func (r *Replica) Noted() bool { return !r.bound || r.guard.Held() >= r.guard.Version() }

// next claims this generation for the next one.
func (r *Replica) next() {
	if err := r.NextGeneration(); err != nil {
		panic(fmt.Sprintf("BUG: %v", err)) // a guarded generation, for its next one
	}
}

// NextGeneration has this generation claimed for this node's next one: because guardians refuse it or have failed, or
// because too few members are left. It owns nothing once that is decided, see Retired.
func (r *Replica) NextGeneration() error {
	return r.guard.Claim(r.elapsed, r.self, Holder{Node: r.self.Node, Gen: r.self.Gen + 1})
}

// Release gives the lease of this generation up for good, so that a guardian claims it at once: the end of leaving.
func (r *Replica) Release() { r.guard.Release() }

// Refusals counts this generation's guardians that take no more notes of it, as it is being claimed.
func (r *Replica) Refusals() int { return r.guard.Refusals() }

// Retired reports that this generation was claimed: it acts no more. heir is who owns what it had; if that is this node's
// next generation, a new replica on the same records goes on, see Succeed.
func (r *Replica) Retired() (heir Holder, ok bool) {
	v, _ := r.guard.Decision(r.self)
	return v.Heir, r.guards.over
}

// interested reports whether it matters here what was decided of a generation.
func (r *Replica) interested(of Holder) bool {
	if r.seated(of) {
		return true
	}
	for _, d := range r.guard.Decisions() {
		if v, _ := r.guard.Decision(d); v.Heir == of {
			return true
		}
		f := r.final(d)
		if f == nil || r.guard.Heir(d) != r.self {
			continue
		}
		for _, a := range f.accounts { // what is on its way between the two
			if e, ok := a.entries[of]; ok && !e.Closed {
				return true
			}
		}
	}
	for _, p := range r.seats.pass {
		if p.To == of {
			return true
		}
	}
	return slices.ContainsFunc(r.order, func(in *instance) bool {
		e := in.edges[of]
		return e != nil && !e.Closed
	})
}

// learnRetired compares what a peer knows to be claimed: this node asks for what matters to it, and tells the peer of
// what it is the heir of, or of gifts that it may never have heard of.
func (r *Replica) learnRetired(now Instant, m *Digest) {
	for _, g := range m.Gone {
		r.hear(now, g)
	}
	for _, of := range m.Retired {
		r.hear(now, Gone{Holder: of, Age: goneTold})
		r.askWhat(of, m.From)
	}
	for _, h := range m.Buried {
		if _, alive := r.alive(h); !alive {
			r.bury(h)
		}
	}
	for _, of := range r.guard.Decisions() {
		if slices.Contains(m.Retired, of) {
			continue
		}
		if f := r.final(of); r.guard.Heir(of) == m.From {
			r.guard.Tell(of, m.From)
		} else if f != nil && f.with[m.From] {
			r.tellPart(of, m.From, []Holder{m.From})
		}
	}
}

// tellRetired tells a generation that acts though it is another's.
func (r *Replica) tellRetired(h Holder) {
	if _, claimed := r.guard.Decision(h); claimed {
		r.guard.Tell(h, h)
	}
}

// decided takes over what a batch made known to be decided. The heir tells those whom it concerns.
func (r *Replica) decided(now Instant, hs []Holder) {
	r.guards.news = true
	for _, of := range hs {
		v, _ := r.guard.Decision(of)
		r.hear(now, Gone{Holder: of, Heir: v.Heir})
		f := r.final(of)
		if s := r.shown(of, r.self); s != nil && s.said != nil {
			r.event(Event{Kind: Vouched, Peer: of, Said: s.said})
		}
		if f != nil && f.heir == r.self {
			r.tellAll(of)
			for i := range r.peers {
				p := &r.peers[i]
				switch {
				case !p.Alive || !f.with[p.Holder] && !f.word && p.Holder != of: // a leaver waits for it
				case !f.word && slices.Contains(r.guard.WardSet(of), p.directory()):
					r.guard.Say(of, p.Holder) // it has the records, or gets them
				case p.Holder == of:
					r.guard.Tell(of, p.Holder)
				default:
					r.tellPart(of, p.Holder, []Holder{p.Holder})
				}
			}
		}
	}
	if _, r.guards.over = r.guard.Decision(r.self); r.guards.over {
		for _, in := range r.order {
			if in.account != nil {
				in.account.mu.Lock()
				in.account.retired = true
				in.account.mu.Unlock()
			}
		}
	}
}

// Wards lists the generations that this node keeps copies of, for people.
func (r *Replica) Wards() []guardian.Ward { return r.guard.Wards() }

// loadDue reads what was credited to this node as an heir.
func (r *Replica) loadDue(w Write) error {
	key, ok := strings.CutPrefix(w.Key, keyDue)
	if !ok {
		return nil
	}
	id, k, err := splitDueKey(key)
	if err != nil {
		return err
	}
	d, err := decodeDue(w.Value)
	if err != nil {
		return err
	}
	in, ok := r.instances[id]
	if !ok {
		return fmt.Errorf("%w: a credit of an account that is not there", ErrWire)
	}
	if in.dues == nil {
		in.dues = map[dueKey]Due{}
	}
	in.dues[k] = d
	return nil
}
