package ledger

// Rest ends all reserving, giving and overdrawing here, because the node is about to end, and brings the
// marks down to what is used, and debt to the disk: a clean stop loses nothing of what a crash would. It reports whether that is in
// this batch for all accounts; while it is not, because they wait for the disk, call it again after a Commit.
func (r *Replica) Rest() (done bool) {
	done, r.resting = true, true
	for _, in := range r.order {
		a := in.account
		if a == nil {
			continue
		}
		a.mu.Lock()
		a.resting = true
		ahead := a.s.Mark > a.s.used() || a.s.Held > a.s.used() || a.s.Debt > in.owes
		if len(in.changes) > 0 {
			done = false // which may raise them: rights that came since the last Commit bring their marks with them
		} else if !in.dirty && ahead {
			a.s.Mark = min(a.s.Mark, a.s.used())
			a.s.Held = min(a.s.Held, a.s.used())
			a.lowerHeld()
			r.mark(in)
		} else if ahead {
			done = false
		}
		a.mu.Unlock()
	}
	return done
}
