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
	r.seats = seats{of: make([]Seat, n), used: make([]map[uint64]Tokens, n), pass: map[int]*SeatPass{},
		told: map[int]Instant{}, since: map[int]uint64{}, done: map[int]uint64{}}
	for i, f := range r.charter.Founders {
		r.seats.of[i] = Seat{Index: i, Holder: f}
		if f == r.self {
			r.seats.used[i] = map[uint64]Tokens{}
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

// heldSeats lists who holds seats as far as that may be told: not what is not durable, nor what a claim of this generation would not find.
func (r *Replica) heldSeats() []Seat {
	return slices.DeleteFunc(r.Seats(), func(s Seat) bool {
		return r.bound && r.seats.since[s.Index] > r.guards.held ||
			slices.ContainsFunc(r.batch.meta, func(w Write) bool { return w.Key == seatKey(s.Index) })
	})
}

// seated reports whether h holds a seat, as far as this node knows.
func (r *Replica) seated(h Holder) bool {
	return slices.ContainsFunc(r.seats.of, func(s Seat) bool { return s.Holder == h })
}

// learnSeats takes over later hand-overs. Only the holder of a seat passes it on, so the higher serial is
// the truth; the seat that this node holds changes only by its own doing. A generation that took a seat, told it, and ended before its
// guardians had heard of that leaves an heir that takes it with the same serial.
func (r *Replica) learnSeats(ss []Seat) {
	for _, s := range ss {
		if s.Index < 0 || s.Index >= len(r.seats.of) {
			continue
		}
		have := &r.seats.of[s.Index]
		if have.Holder == r.self || s.Holder == r.self {
			continue
		}
		if s.Serial > have.Serial || s.Serial == have.Serial && s.Holder != have.Holder && r.over(have.Holder) && !r.over(s.Holder) {
			*have = s
			r.places++
		}
	}
}

// over reports whether a generation is known to be claimed.
func (r *Replica) over(h Holder) bool {
	_, claimed := r.guard.Decision(h)
	return claimed
}

// Leave hands everything on to a peer: rights, shares and seats, now and with every tick what comes back
// later. What is reserved stays, and is charged in full unless it is settled before. Handed reports when
// the peer has acknowledged all. If the peer dies meanwhile, call Leave again with another.
func (r *Replica) Leave(now Instant, to Holder) error {
	if r.fenced {
		return ErrFenced
	}
	if _, ok := r.alive(to); !ok || to == r.self {
		return fmt.Errorf("cannot hand rights on to %v: it is not a live peer", to)
	}
	r.heir = to
	for _, in := range r.order {
		if in.account != nil {
			r.handOn(now, in)
			r.activate(in)
		}
	}
	r.passSeats(now)
	return nil
}

// passSeats hands the heir every seat that is held here, once what they brought is durable: only then is it known
// what was issued by them.
func (r *Replica) passSeats(now Instant) {
	if _, ok := r.alive(r.heir); !ok || !r.seated(r.self) {
		return
	}
	used := make(map[uint64]*instance, len(r.order))
	for _, in := range r.order {
		if in.account != nil && (!in.account.started() || in.foundingBy != 0) {
			return
		}
		used[hashID(in.id)] = in
	}
	for i := range r.seats.of {
		if r.seats.of[i].Holder == r.self {
			r.passSeat(now, i, r.heir, used)
		}
	}
}

// handOn gives the heir all that the account can give. It reports whether there was anything.
func (r *Replica) handOn(now Instant, in *instance) bool {
	if _, ok := r.alive(r.heir); !ok || !in.account.started() || now >= in.ends {
		return false
	}
	a := in.account
	e, err := r.edge(in, r.heir)
	if err != nil {
		return false
	}
	a.mu.Lock()
	a.advance(now)
	shares := a.giveShares(e, a.s.Shares(), now)
	rights := Tokens(0)
	if a.spec.Kind != Rate { // a rate moves by its shares; lent rights would only lapse
		rights = a.giveRights(e, a.givable(), now)
	}
	a.mu.Unlock()
	if shares == 0 && rights == 0 {
		return false
	}
	r.moved(in, e.peer, GaveRights, rights, shares)
	r.gave(now, in, e, 0)
	return true
}

// Handed reports whether a leaving node has nothing left to give and nothing that it gave away waits for an
// acknowledgement.
func (r *Replica) Handed() bool {
	for _, x := range r.unacked {
		if !x.in.over && x.e.open(x.in.account.window()) {
			return false
		}
	}
	for _, in := range r.order {
		a := in.account
		if a == nil || in.over || r.heir.IsZero() {
			continue
		}
		a.mu.Lock()
		left := !a.ready || a.s.Shares() > 0 || a.spec.Kind != Rate && a.givable() > 0
		a.mu.Unlock()
		if left {
			return false
		}
	}
	for _, s := range r.seats.of {
		if s.Holder == r.self && !r.heir.IsZero() {
			return false
		}
	}
	return len(r.seats.pass) == 0
}

// maxLevels bounds the bytes that used instances and their levels take in a hand-over, so that any transport takes it.
const maxLevels = 1<<20 - 1<<12

func (r *Replica) passSeat(now Instant, i int, to Holder, instances map[uint64]*instance) {
	used := make([]uint64, 0, len(r.seats.used[i]))
	for h := range r.seats.used[i] {
		used = append(used, h)
	}
	slices.Sort(used)
	levels := make([]Tokens, len(used))
	left := maxLevels - 10*len(used) // each has a hash and a byte at least
	for k, h := range used {
		levels[k] = r.seats.used[i][h].known()
		if _, mortal := levels[k].lifeEnds(); mortal {
			r.meta(usedKey(i, h), nil) // the hand-over has it
		}
		if in := instances[h]; in != nil {
			if level := r.yield(in, i, levels[k]); in.ends == maxInstant {
				levels[k] = level
			}
		}
		if left -= len(encodeLevel(levels[k])) - len(encodeLevel(0)); left < 0 {
			levels[k] = unknownLevel
		}
	}
	s := &r.seats.of[i]
	s.Serial++
	s.Holder = to
	r.places++
	p := &SeatPass{Seat: *s, From: r.self, To: to, Used: used, Levels: levels, Charter: r.charter.ID}
	r.seats.used[i] = nil
	r.seats.pass[i] = p
	r.seats.told[i], r.seats.since[i] = now, r.guard.Version()+1
	r.meta(seatKey(i), encodeSeat(s))
	r.meta(passKey(i), encodeMessage(p))
	if !r.bound {
		r.send(to.Node, p)
	}
}

// yield takes seat i from this node's account of an instance, if it has it, and returns the level at which it passes
// on.
func (r *Replica) yield(in *instance, i int, level Tokens) Tokens {
	if s := in.parked; s != nil && s.Seats&(1<<i) != 0 {
		// The limit is not known: what was issued says enough.
		a := &Account{seats: len(r.charter.Founders)}
		r.setLevels(a, hashID(in.id))
		level = a.yield(s, i, 0)
		r.meta(keyAccount+string(in.id), encodeState(s))
	}
	a := in.account
	if a == nil {
		return level
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.s.Seats&(1<<i) == 0 {
		return level
	}
	r.mark(in)
	if a.spec.Kind == Windowed || a.spec.Kind == Rate { // issued by shares
		a.s.Seats &^= 1 << i
		return 0
	}
	return a.yield(&a.s, i, a.spec.Amount)
}

// repeatSeats tells hand-overs again that were not acknowledged.
func (r *Replica) repeatSeats(now Instant) {
	for i := range r.seats.of {
		p, ok := r.seats.pass[i]
		if !ok || !due(now, r.seats.told[i], firstRepeat) || r.bound && r.guards.held < r.seats.since[i] {
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
	if r.isShut(m.From) {
		return nil // by a word the seat is another's, or it is told again
	}
	if m.Charter != r.charter.ID || i < 0 || i >= len(r.seats.of) || m.To != r.self || m.Seat.Holder != r.self {
		return fmt.Errorf("a founder's seat that does not concern us")
	}
	ack := &SeatAck{Index: i, Serial: m.Seat.Serial, From: r.self, To: m.From}
	if m.Seat.Serial <= r.seats.of[i].Serial {
		if !r.bound || r.guards.held >= r.seats.since[i] {
			r.send(m.From.Node, ack) // a repeat, or passed on since
		}
		return nil
	}
	r.seats.of[i] = m.Seat
	r.places++
	r.seats.used[i] = make(map[uint64]Tokens, len(m.Used))
	for k, h := range m.Used {
		level := unknownLevel // an older giver does not say
		if m.Levels != nil {
			level = m.Levels[k]
		}
		r.use(i, h, level)
	}
	for _, in := range r.order {
		if in.account != nil {
			in.unseated = true
			r.activate(in)
		}
	}
	delete(r.seats.pass, i)
	r.meta(seatKey(i), encodeSeat(&m.Seat))
	r.meta(passKey(i), nil)
	if r.seats.since[i] = r.guard.Version() + 1; !r.bound {
		r.send(m.From.Node, ack) // with guardians, once a claim would find it here
	}
	return nil
}

func (r *Replica) receiveSeatAck(m *SeatAck) error {
	p, ok := r.seats.pass[m.Index]
	if !ok || m.To != r.self || m.From != p.To || m.Serial != p.Seat.Serial {
		return nil // a repeat
	}
	delete(r.seats.pass, m.Index)
	r.seats.done[m.Index] = m.Serial
	r.meta(passKey(m.Index), nil)
	return nil
}
