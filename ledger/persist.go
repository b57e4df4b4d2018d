package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Keys on disk. An account and its entries are apart, so that a transfer writes two small records however
// many peers an account has dealt with.
const (
	keyAccount = "account/" // + instance
	keyEntry   = "entry/"   // + instance NUL node NUL generation
	keyUsed    = "used/"    // + seat / hash of instance
	keySeat    = "seat/"    // + seat
	keyPass    = "pass/"    // + seat
	keyCharter = "charter"
	keyBallot  = "ballot"
	keyVersion = "version"
	keyMint    = "mints"
	keyBurn    = "burns"
)

func entryKey(id InstanceID, peer Holder) string {
	return keyEntry + string(id) + "\x00" + peer.Node + "\x00" + strconv.FormatUint(peer.Gen, 16)
}
func usedKey(seat int, h uint64) string { return fmt.Sprintf("%s%d/%016x", keyUsed, seat, h) }
func seatKey(i int) string              { return keySeat + strconv.Itoa(i) }
func passKey(i int) string              { return keyPass + strconv.Itoa(i) }

// Records on disk have the form of messages, with kinds of their own.
const (
	kindState byte = iota + 64
	kindEntry
	kindCharter
	kindSeat
	kindVersion
	kindMints
	kindLevel
)

func encodeState(s *State) []byte {
	w := newWriter(kindState)
	apart := [...]int64{int64(s.Decayed), int64(s.Burned), int64(s.Taken.Decayed), int64(s.Taken.Burned), int64(s.Past.Decayed),
		int64(s.Past.Burned), int64(s.Past.Rolled), int64(s.Past.Minted), int64(s.Past.Overdrawn)}
	fields := 36
	if s.Taken.Minted != 0 {
		fields += len(apart) + 1
	} else if apart != ([len(apart)]int64{}) {
		fields += len(apart)
	}
	w.array(fields)
	w.ints(int64(s.Genesis), int64(s.SharesIn), int64(s.SharesOut), int64(s.Arriving), int64(s.ArrivingFirst), int64(s.Window))
	w.bool(s.Issues)
	w.ints(int64(s.Counted), int64(s.Base), int64(s.Cut), int64(s.Rolled), int64(s.Minted), int64(s.Overdrawn),
		int64(s.In), int64(s.Out), int64(s.Spent), int64(s.Lapsed), int64(s.Reserved), int64(s.Debt), int64(s.Overrun),
		int64(s.Mark), int64(s.MarkTill), int64(s.Past.Issued), int64(s.Past.Spent), int64(s.Past.Lapsed), int64(s.At))
	w.uint(s.Seats)
	w.ints(int64(s.Free), int64(s.Kept), int64(s.Held), int64(s.HeldTill))
	w.taken(&s.Taken)
	if fields > 36 {
		w.ints(apart[:]...)
	}
	if fields > 36+len(apart) {
		w.int(int64(s.Taken.Minted))
	}
	return w.done()
}

func decodeState(b []byte) (*State, error) {
	r := newReader(b, kindState)
	more := r.record(27)
	s := &State{
		Genesis: r.shares(), SharesIn: r.shares(), SharesOut: r.shares(), Arriving: r.shares(), ArrivingFirst: r.window(),
		Window: r.window(), Issues: r.bool(), Counted: r.shares(), Base: r.tokens(), Cut: r.tokens(), Rolled: r.tokens(),
		Minted: r.tokens(), Overdrawn: r.tokens(), In: r.tokens(), Out: r.tokens(), Spent: r.tokens(), Lapsed: r.tokens(),
		Reserved: r.tokens(), Debt: r.tokens(), Overrun: r.tokens(), Mark: r.tokens(), MarkTill: r.instant(),
		Past: Past{Issued: r.tokens(), Spent: r.tokens(), Lapsed: r.tokens()}, At: r.instant(),
		Seats: r.uint(),
	}
	if more > 0 { // the first version counted all
		s.Free = r.shares()
	}
	if more > 1 {
		if s.Kept = Tokens(r.int()); s.Kept < -1<<60 || s.Kept > 1<<60 {
			r.fail("%d tokens kept", s.Kept)
		}
	}
	if more > 3 { // those before had no guardians
		s.Held, s.HeldTill = r.tokens(), r.instant()
	}
	if more > 8 {
		s.Taken = r.taken()
	}
	if more > 17 { // those before did not tell apart what lapsed
		s.Decayed, s.Burned, s.Taken.Decayed, s.Taken.Burned = r.tokens(), r.tokens(), r.tokens(), r.tokens()
		p := &s.Past
		p.Decayed, p.Burned, p.Rolled, p.Minted, p.Overdrawn = r.tokens(), r.tokens(), r.tokens(), r.tokens(), r.tokens()
		more -= 9
		if more > 9 { // nor whose top-ups an heir counts
			s.Taken.Minted = r.tokens()
			more--
		}
	}
	r.skip(more - min(more, 9))
	if r.err != nil {
		return nil, r.err
	}
	if s.Shares() < 0 || s.Shares() > TotalShares || s.Arriving+s.Free > s.Shares() {
		return nil, fmt.Errorf("%w: an account with %d shares, %d of them arriving and %d free", ErrWire, s.Shares(), s.Arriving, s.Free)
	}
	return s, nil
}

func (w *writer) taken(t *Taken) {
	w.ints(int64(t.Issued), int64(t.In), int64(t.Out), int64(t.Spent), int64(t.Lapsed))
}

// taken reads what an heir took over. What went back to a giver makes In and Out less, below 0 maybe.
func (r *reader) taken() Taken {
	t := Taken{Issued: r.tokens(), In: Tokens(r.int()), Out: Tokens(r.int()), Spent: Tokens(r.int()), Lapsed: r.tokens()}
	if least := min(t.In, t.Out, t.Spent); least < -1<<60 || max(t.In, t.Out, t.Spent) > 1<<60 {
		r.fail("an heir took over %+v", t)
	}
	return t
}

func encodeEntry(e *Entry) []byte {
	w := newWriter(kindEntry)
	w.array(12)
	w.ints(int64(e.SharesOut), int64(e.SharesIn), int64(e.First), int64(e.Window), int64(e.Out), int64(e.In),
		int64(e.AckedShares), int64(e.AckedOut), int64(e.Asked), int64(e.SharesBack), int64(e.Back))
	w.bool(e.Closed)
	return w.done()
}

func decodeEntry(b []byte) (*Entry, error) {
	r := newReader(b, kindEntry)
	more := r.record(9)
	e := &Entry{SharesOut: r.shares(), SharesIn: r.shares(), First: r.window(), Window: r.window(), Out: r.tokens(),
		In: r.tokens(), AckedShares: r.shares(), AckedOut: r.tokens(), Asked: r.instant()}
	if more > 2 { // those before had no claims
		e.SharesBack, e.Back, e.Closed = r.shares(), r.tokens(), r.bool()
	}
	r.skip(more - min(more, 3))
	return e, r.err
}

func encodeCharter(c *Charter) []byte {
	w := newWriter(kindCharter)
	w.array(3)
	w.bytes(c.ID[:])
	w.str(c.Cluster)
	w.array(2 * len(c.Founders))
	for _, f := range c.Founders {
		w.holder(f)
	}
	return w.done()
}

// EncodeCharter makes the bytes of a charter for a joiner.
func EncodeCharter(c *Charter) []byte { return encodeCharter(c) }

// DecodeCharter reads what EncodeCharter made. It is safe on bytes from peers.
func DecodeCharter(b []byte) (Charter, error) {
	r := newReader(b, kindCharter)
	more := r.record(3)
	c := Charter{ID: r.charterID(), Cluster: r.str(MaxNameLen)}
	for range r.array(0, 2*MaxFounders) / 2 {
		c.Founders = append(c.Founders, r.holder())
	}
	r.skip(more)
	if r.err == nil {
		r.err = c.shape()
	}
	return c, r.err
}

func encodeSeat(s *Seat) []byte {
	w := newWriter(kindSeat)
	w.array(4)
	w.seat(s)
	return w.done()
}

func encodeLevel(n Tokens) []byte {
	w := newWriter(kindLevel)
	w.array(1)
	w.int(int64(n))
	return w.done()
}

func encodeVersion(v uint64) []byte {
	w := newWriter(kindVersion)
	w.array(1)
	w.uint(v)
	return w.done()
}

func encodeMints(m *mintLog) []byte {
	w := newWriter(kindMints)
	order := m.order[max(0, len(m.order)-maxMints):]
	w.array(2 * len(order))
	for _, id := range order {
		w.str(id)
		w.int(int64(m.seen[id]))
	}
	return w.done()
}

func (m *mintLog) load(b []byte) error {
	d := newReader(b, kindMints)
	for range d.array(0, 2*maxMints) / 2 {
		m.add(d.str(maxMintID), d.tokens())
	}
	return d.err
}

// maxMintID bounds the id of a top-up, in bytes.
const maxMintID = 128

// Load fills a new replica with what Writes made durable in earlier lives of this directory. Every account
// comes back as a crash leaves it: all up to its mark counts as spent. An error names the record; the
// replica must not be used then.
func (r *Replica) Load(now Instant, records []Write) error {
	slices.SortFunc(records, func(a, b Write) int { return cmp.Compare(a.Key, b.Key) })
	if err := r.loadGuard(records); err != nil {
		return err
	}
	// The charter and seats first: the order of keys would bring accounts before them.
	for _, w := range records {
		var err error
		switch {
		case w.Key == keyCharter:
			var c Charter
			if c, err = DecodeCharter(w.Value); err == nil {
				r.charter = c
				r.seatAll()
			}
		case w.Key == keyBallot:
			var c Charter
			if c, err = DecodeCharter(w.Value); err == nil {
				r.ballot = &Ballot{Charter: c, Voter: r.self}
			}
		case w.Key == keyVersion:
			r.version, err = decodeVersion(w.Value)
			r.versionMark = r.version
		case w.Key == keyMint:
			err = r.minted.load(w.Value)
		case w.Key == keyBurn:
			err = r.burned.load(w.Value)
		case w.Key == keyFloor:
			r.mortal.floor, err = readFloor(w.Value)
		default:
			if err = r.loadShut(w); err == nil {
				err = r.loadGone(w)
			}
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", w.Key, err)
		}
	}
	for _, pass := range []func(Write) error{r.loadOverdrew, r.loadPast, r.loadSeat, r.loadUsed, func(w Write) error { return r.loadAccount(now, w) }, r.loadEntry, r.loadDue} {
		for _, w := range records {
			if err := pass(w); err != nil {
				return fmt.Errorf("record %q: %w", w.Key, err)
			}
		}
	}
	return nil
}

func (r *Replica) loadSeat(w Write) error {
	if s, ok := strings.CutPrefix(w.Key, keySeat); ok {
		d := newReader(w.Value, kindSeat)
		d.record(4)
		seat := d.seat()
		if d.err == nil && (strconv.Itoa(seat.Index) != s || seat.Index >= len(r.seats.of)) {
			d.fail("a seat %d that the charter does not have", seat.Index)
		}
		if d.err != nil {
			return d.err
		}
		r.seats.of[seat.Index] = seat
		r.seats.used[seat.Index] = nil
		if seat.Holder == r.self {
			r.seats.used[seat.Index] = map[uint64]Tokens{}
		}
		r.seats.since[seat.Index] = r.guard.Next() // what guardians have of it is not known any more
	}
	if _, ok := strings.CutPrefix(w.Key, keyPass); ok {
		m, err := Decode(w.Value)
		p, isPass := m.(*SeatPass)
		if err != nil || !isPass || p.Seat.Index >= len(r.seats.of) {
			return fmt.Errorf("%w: not a seat's hand-over: %v", ErrWire, err)
		}
		r.seats.pass[p.Seat.Index] = p
	}
	return nil
}

func (r *Replica) loadPast(w Write) error {
	if r.past == nil {
		r.past = past{}
	}
	_, err := r.past.read(w.Key, w.Value)
	return err
}

func (r *Replica) loadUsed(w Write) error {
	s, ok := strings.CutPrefix(w.Key, keyUsed)
	if !ok {
		return nil
	}
	i, h, level, err := readUsed(s, w.Value, len(r.seats.of))
	if err != nil {
		return err
	}
	if r.seats.used[i] != nil { // passed on since: no longer ours to keep
		r.seats.used[i][h] = level
		if ends, ok := level.lifeEnds(); ok {
			r.mortal.leaves = min(r.mortal.leaves, ends+Instant(afterLife))
		}
	}
	return nil
}

func (r *Replica) loadAccount(now Instant, w Write) error {
	id, ok := strings.CutPrefix(w.Key, keyAccount)
	if !ok {
		return nil
	}
	s, err := decodeState(w.Value)
	if err != nil {
		return err
	}
	in, err := r.instance(InstanceID(id))
	if err != nil {
		return err
	}
	r.upgrade(in.id, s)
	spec, known := r.cfg.Resolve(in.id)
	if !known {
		// The budget is gone from the policy. The record stays on disk for the day it comes back.
		in.parked = s
		return nil
	}
	r.revive(now, in, spec, s)
	return nil
}

// readUsed reads the record of an instance that was used under one of so many seats; key is without its prefix.
func readUsed(key string, value []byte, seats int) (i int, h uint64, level Tokens, err error) {
	if _, err := fmt.Sscanf(key, "%d/%x", &i, &h); err != nil || i < 0 || i >= seats {
		return 0, 0, 0, fmt.Errorf("%w: not an instance used under a seat", ErrWire)
	}
	level = legacyLevel
	if len(value) > 1 {
		d := newReader(value, kindLevel)
		d.record(1)
		if level = d.level(); d.err != nil {
			return 0, 0, 0, d.err
		}
	}
	return i, h, level, nil
}

// upgrade brings an account of a version that knew no levels up to date: genesis ran here under the seats that it
// says, and those of them that were passed on issue no more.
func (r *Replica) upgrade(id InstanceID, s *State) {
	h := hashID(id)
	a := &Account{seats: len(r.charter.Founders)}
	for i := range r.seats.of {
		if s.Seats&(1<<i) == 0 {
			continue
		}
		if used := r.seats.used[i]; used == nil {
			a.yield(s, i, 0)
		} else if used[h] == legacyLevel {
			used[h] = 0
		}
	}
}

// revive makes the account of a record that was loaded.
func (r *Replica) revive(now Instant, in *instance, spec Spec, s *State) {
	a := r.attach(in, spec)
	a.s = *s
	a.restore(now)
	r.recallSlow(now, in)
	r.nextTurn = min(r.nextTurn, a.end)
	in.parked = nil
	if r.bound {
		r.noteMark(in, r.guard.Next(), true)
	}
	for _, e := range in.sortedEdges() {
		if e.open(a.s.Window) {
			r.await(in, e)
			e.tries = 1
		}
	}
	r.mark(in) // what was restored is written again, so that the mark is what is spent
	r.activate(in)
}

func (r *Replica) loadEntry(w Write) error {
	s, ok := strings.CutPrefix(w.Key, keyEntry)
	if !ok {
		return nil
	}
	id, peer, err := splitEntryKey(s)
	if err != nil {
		return err
	}
	e, err := decodeEntry(w.Value)
	if err != nil {
		return err
	}
	in, ok := r.instances[id]
	if !ok {
		return fmt.Errorf("%w: an entry of an account that is not there", ErrWire)
	}
	edge, err := r.anyEdge(in, peer)
	if err != nil {
		return err
	}
	edge.Entry = *e
	if r.bound {
		edge.written(r.guard.Next())
	}
	if in.account != nil && e.open(in.account.s.Window) {
		r.await(in, edge)
		edge.tries = 1
	}
	return nil
}
