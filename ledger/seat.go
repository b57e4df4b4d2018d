package ledger

import (
	"fmt"
	"slices"
)

// Found makes the charter this node's own. It is durable with the next batch. A charter never changes.
func (r *Replica) Found(c Charter) error {
	if err := c.shape(); err != nil {
		return err
	}
	switch r.charter.ID {
	case c.ID:
		return nil
	case CharterID{}:
	default:
		return fmt.Errorf("this node belongs to charter %v and cannot join charter %v: use an empty data directory to join that cluster", r.charter.ID, c.ID)
	}
	r.charter = c
	r.seatAll()
	r.meta(keyCharter, encodeCharter(&c))
	return nil
}

func (r *Replica) seatAll() {
	n := len(r.charter.Founders)
	r.seats = seats{of: make([]Seat, n), used: make([]map[uint64]bool, n), pass: map[int]*SeatPass{}, told: map[int]Instant{}}
	for i, f := range r.charter.Founders {
		r.seats.of[i] = Seat{Index: i, Holder: f}
		if f == r.self {
			r.seats.used[i] = map[uint64]bool{}
		}
	}
}

// Ballot returns the vote that this node has cast, or nil.
func (r *Replica) Ballot() *Ballot { return r.ballot }

// Vote casts this node's one vote for a charter, durably with the next batch, and returns the vote that
// stands: the earlier one if there was one.
func (r *Replica) Vote(c Charter) (Ballot, error) {
	if err := c.shape(); err != nil {
		return Ballot{}, err
	}
	if r.ballot == nil && r.charter.ID.IsZero() {
		r.ballot = &Ballot{Charter: c, Voter: r.self}
		r.meta(keyBallot, encodeCharter(&c))
	}
	if r.ballot == nil {
		return Ballot{Charter: r.charter, Voter: r.self}, nil
	}
	return *r.ballot, nil
}

// Seats lists who holds the founders' seats, as far as this node knows.
func (r *Replica) Seats() []Seat { return slices.Clone(r.seats.of) }

// learnSeats takes over later hand-overs. Only the holder of a seat passes it on, so the higher serial is
// the truth; the seat that this node holds changes only by its own doing.
func (r *Replica) learnSeats(ss []Seat) {
	for _, s := range ss {
		if s.Index < 0 || s.Index >= len(r.seats.of) {
			continue
		}
		have := &r.seats.of[s.Index]
		if s.Serial > have.Serial && have.Holder != r.self && s.Holder != r.self {
			*have = s
		}
	}
}

// Leave hands everything on to a peer: rights, shares and seats. What is reserved stays, and is charged in
// full unless it is settled before. Handed reports when the peer has acknowledged all.
func (r *Replica) Leave(now Instant, to Holder) error {
	if _, ok := r.alive(to); !ok || to == r.self {
		return fmt.Errorf("cannot hand rights on to %v: it is not a live peer", to)
	}
	for _, in := range r.order {
		a := in.account
		if a == nil || in.dirty || !a.started() {
			continue
		}
		e := r.edge(in, to)
		a.mu.Lock()
		a.advance(now)
		shares := a.giveShares(e, a.s.Shares(), now)
		rights := Tokens(0)
		if a.spec.Kind != Rate { // a rate moves by its shares; lent rights would only lapse
			rights = a.giveRights(e, a.givable(), now)
		}
		a.touch()
		a.mu.Unlock()
		if shares > 0 || rights > 0 {
			r.mark(in)
			r.markEdge(in, e)
			e.tries = 0
			r.tell(now, in, e, 0)
		}
	}
	for i := range r.seats.of {
		if r.seats.of[i].Holder == r.self {
			r.passSeat(now, i, to)
		}
	}
	return nil
}

// Handed reports whether nothing that was given away waits for an acknowledgement.
func (r *Replica) Handed() bool {
	for _, x := range r.unacked {
		if x.e.open(x.in.account.window()) {
			return false
		}
	}
	return len(r.seats.pass) == 0
}

func (r *Replica) passSeat(now Instant, i int, to Holder) {
	used := make([]uint64, 0, len(r.seats.used[i]))
	for h := range r.seats.used[i] {
		used = append(used, h)
	}
	slices.Sort(used)
	s := &r.seats.of[i]
	s.Serial++
	s.Holder = to
	p := &SeatPass{Seat: *s, From: r.self, To: to, Used: used, Charter: r.charter.ID}
	r.seats.used[i] = nil
	r.seats.pass[i] = p
	r.seats.told[i] = now
	r.meta(seatKey(i), encodeSeat(s))
	r.meta(passKey(i), encodeMessage(p))
	r.send(to.Node, p)
}

// repeatSeats tells hand-overs again that were not acknowledged.
func (r *Replica) repeatSeats(now Instant) {
	for i := range r.seats.of {
		p, ok := r.seats.pass[i]
		if !ok || now < r.seats.told[i]+firstRepeat {
			continue
		}
		if _, ok := r.alive(p.To); ok {
			r.seats.told[i] = now
			r.send(p.To.Node, p)
		}
	}
}

func (r *Replica) receiveSeat(m *SeatPass) error {
	i := m.Seat.Index
	if m.Charter != r.charter.ID || i < 0 || i >= len(r.seats.of) || m.To != r.self || m.Seat.Holder != r.self {
		return fmt.Errorf("a founder's seat that does not concern us")
	}
	ack := &SeatAck{Index: i, Serial: m.Seat.Serial, From: r.self, To: m.From}
	if m.Seat.Serial <= r.seats.of[i].Serial {
		r.send(m.From.Node, ack) // a repeat, or passed on since
		return nil
	}
	r.seats.of[i] = m.Seat
	used := make(map[uint64]bool, len(m.Used))
	for _, h := range m.Used {
		used[h] = true
		r.meta(usedKey(i, h), []byte{1})
	}
	r.seats.used[i] = used
	delete(r.seats.pass, i)
	r.meta(seatKey(i), encodeSeat(&m.Seat))
	r.meta(passKey(i), nil)
	r.send(m.From.Node, ack)
	return nil
}

func (r *Replica) receiveSeatAck(m *SeatAck) error {
	p, ok := r.seats.pass[m.Index]
	if !ok || m.To != r.self || m.From != p.To || m.Serial != p.Seat.Serial {
		return nil // a repeat
	}
	delete(r.seats.pass, m.Index)
	r.meta(passKey(m.Index), nil)
	return nil
}
