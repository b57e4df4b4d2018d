package ledger

// What grants and slots issue. They go round the founders' seats, token by token, which leaves none out, and which is
// monotone: while nodes disagree about the limit the larger one holds.
//
// A seat that passes on takes along, for every instance used under it, its level: the limit up to which its part was
// issued when it left. The new holder issues what the present limit gives the seat beyond that, or less than nothing
// if the limit has fallen. What was issued before stays with the account that issued it (Kept). So for any limit, what
// all accounts may issue for it adds up to it; and as a level is never above the largest limit that was in force, no
// account counts on more than its seats' parts of that.

// unknownLevel is the level of an instance that is used, we do not know up to which limit: its seat issues no more.
const unknownLevel Tokens = -1

// legacyLevel stands for a record that was written before there were levels: 0 if this node ran the genesis itself,
// unknown otherwise.
const legacyLevel Tokens = -2

// seatPart is seat i's part of a limit.
func seatPart(i, seats int, limit Tokens) Tokens {
	n := limit / Tokens(seats)
	if Tokens(i) < limit%Tokens(seats) {
		n++
	}
	return n
}

// bySeat is what seat i issues under the limit beyond its level.
func (a *Account) bySeat(i int, limit Tokens) Tokens {
	level := Tokens(0)
	if a.levels != nil {
		level = a.levels[i]
	}
	if level < 0 {
		return 0
	}
	return seatPart(i, a.seats, limit) - seatPart(i, a.seats, level)
}

// bySeats is what the account issues under the limit.
func (a *Account) bySeats(s *State, limit Tokens) Tokens {
	n := s.Kept
	for i := range a.seats {
		if s.Seats&(1<<i) != 0 {
			n += a.bySeat(i, limit)
		}
	}
	return n
}

// yield takes seat i from the account, which keeps what it has issued, and returns the level at which the seat
// passes on. Where a lower limit could not take back all, that is the least one which covers what is left.
func (a *Account) yield(s *State, i int, limit Tokens) (level Tokens) {
	level = limit
	if net := s.Base - s.Cut; a.bySeats(s, level) < net {
		for most := MaxTokens; level < most; {
			if mid := level + (most-level)/2; a.bySeats(s, mid) < net {
				level = mid + 1
			} else {
				most = mid
			}
		}
	}
	s.Kept += a.bySeat(i, level)
	s.Seats &^= 1 << i
	if a.levels != nil && a.levels[i] < 0 {
		return unknownLevel
	}
	return level
}

// setLevels takes over the levels of the seats held here.
func (r *Replica) setLevels(a *Account, h uint64) {
	a.levels = nil
	for i, used := range r.seats.used {
		if level := used[h]; level != 0 {
			if a.levels == nil {
				a.levels = make([]Tokens, a.seats)
			}
			a.levels[i] = max(level, unknownLevel)
		}
	}
}

// adopt gives an account that is open what the seats bring that came since: their founding shares if nobody has used
// the instance under them, and the right to issue beyond their levels.
func (r *Replica) adopt(in *instance) {
	a := in.account
	a.mu.Lock()
	h := hashID(in.id)
	n, by, err := r.genesis(a.last, in, &a.spec, a.s.Seats, true)
	r.setLevels(a, h)
	a.mu.Unlock()
	if err == nil && by != 0 { // a seat that is used up brings nothing
		in.founding, in.foundingBy = n, by
		r.found(in)
	}
}

// found queues what seats bring to an account. It is kept until it is durable: genesis is decided once.
func (r *Replica) found(in *instance) {
	n, by, at, a := in.founding, in.foundingBy, in.foundingAt, in.account
	r.grow(in, change{
		apply: func(s *State, _ *Entry) {
			s.Genesis += n
			s.Seats |= by
			if s.Issues && a.spec.Kind == Windowed {
				s.Free += n - at.shares
				s.arrive(at.shares, at.first, true)
			}
		},
		then: func() { in.founding, in.foundingBy = 0, 0 },
	})
}
