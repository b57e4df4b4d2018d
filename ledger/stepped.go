package ledger

// Stepped says that the clock was put forward by so much, which was no time in which calls could run. Slots that calls have,
// and those that a crash left reserved, come back so much later: else a step would give them to the next calls while
// the first still run. It is an input of the batch; call it before the next Tick.
func (r *Replica) Stepped(by Millis) {
	if by <= 0 {
		return
	}
	for _, in := range r.order {
		a := in.account
		if a == nil {
			continue
		}
		a.mu.Lock()
		if a.spec.Kind != Slots || a.s.used() == 0 {
			a.mu.Unlock()
			continue
		}
		if a.phantom > 0 {
			a.phantomUntil += Instant(by)
		}
		till, guarded := a.s.MarkTill+Instant(by), a.autonomy > 0
		a.mu.Unlock()
		r.grow(in, change{apply: func(s *State, _ *Entry) {
			s.MarkTill = max(s.MarkTill, till)
			if guarded {
				s.HeldTill = max(s.HeldTill, till)
			}
		}})
	}
}
