package ledger

import (
	"errors"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// How a replica drives its part in guarding (package guardian), in the same batches as all else. What guardians keep of
// this generation mirrors its disk, key by key.

// Elapsed tells the time of the clock that counts how long the machine was suspended (CLOCK_BOOTTIME), by which leases
// run. Drivers tell it before every Load, Receive, Tick and Commit; it never goes back within one life.
func (r *Replica) Elapsed(clock time.Duration) { r.elapsed = max(r.elapsed, clock) }

// mirrored reports whether guardians keep copies of a record: of all that says what this generation owns.
func mirrored(key string) bool {
	for _, prefix := range []string{keyAccount, keyEntry, keyPast, keyDue, keyUsed, keySeat, keyPass, keyFloor} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// copies are the records that guardians keep of those that are written.
func copies(ws []Write) (rs []guardian.Record) {
	for _, w := range ws {
		if mirrored(w.Key) {
			rs = append(rs, guardian.Record(w))
		}
	}
	return rs
}

// guardWrites adds to a batch what it makes durable about guarding.
func (r *Replica) guardWrites(ws []Write) []Write {
	if r.guard.Guarded() {
		r.guard.Put(copies(ws)...)
		if !r.batch.urgent {
			r.guard.Later()
		}
	}
	for _, w := range r.guard.Writes() {
		ws = append(ws, guardWrite(&w))
	}
	return ws
}

// guardCommit tells what the batch has made durable about guarding.
func (r *Replica) guardCommit(now Instant) {
	if r.guard.Guarded() && !r.bound {
		r.bound = true
		r.guards.held = r.guard.Held()
		for _, in := range r.order {
			if in.account != nil {
				in.account.mu.Lock()
				in.account.heldNow()
				in.account.leaseEnd = minInstant
				in.account.mu.Unlock()
			}
		}
		for _, x := range r.unacked {
			x.e.holds(r.guards.held)
		}
	}
	fx := r.guard.Commit(r.elapsed)
	for _, s := range fx.Sends {
		r.send(s.To.Node, s.Message)
	}
	r.wordsCommit(fx.Decided)
	if len(fx.Decided) > 0 {
		r.decided(now, fx.Decided)
	}
}

// receiveGuard takes what guardians, wards and claimants tell. A directory that was rolled back has forgotten promises,
// too: what is fenced answers nobody.
func (r *Replica) receiveGuard(now Instant, m any) error {
	if r.fenced {
		return ErrFenced
	}
	switch m := m.(type) { // no claim comes to its end beside a word
	case *guardian.Prepare:
		if r.isShut(m.Of) {
			return nil
		}
	case *guardian.Accept:
		if r.isShut(m.Of) {
			return nil
		}
	case *guardian.Decided:
		if !r.heardOf(now, m) {
			return nil
		}
	case *guardian.Outcome:
		r.hear(now, Gone{Holder: m.Of, Heir: m.Value.Heir})
		if m.To != r.self {
			return nil // it concerns another generation of this node
		}
	case *guardian.Query:
		if r.query(m) {
			return nil
		}
	}
	if _, ok := m.(*guardian.Release); ok {
		r.guards.released = true // a leaver waits for the claim, within reason
	}
	err := r.guard.Receive(r.elapsed, m)
	r.takeHeld(now)
	if o, ok := m.(*guardian.Outcome); ok && err == nil {
		r.keepPart(o)
	}
	if errors.Is(err, guardian.ErrRolledBack) {
		r.fence()
	}
	return err
}
