package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/vmihailenco/msgpack/v5"
)

// The wire: a byte for the kind, a byte for the version, then one msgpack array. A decoder ignores fields
// at the end of an array that it does not know, so a newer peer may add some; it refuses what would make
// it allocate beyond the bounds, and amounts out of range.
const (
	kindRows byte = iota + 1
	kindAsk
	kindRefuse
	kindTransfer
	kindAck
	kindSeatPass
	kindSeatAck
	kindDigest
	kindHold
	kindOffer
	kindNote
	kindNoteAck
	kindRefused
	kindRelease
	kindPrepare
	kindPromise
	kindAccept
	kindAccepted
	kindReject
	kindDecided
	kindQuery
	kindFetch
	kindPart
	kindWordAsk
	kindWordAnswer
	kindWordDoubt
	kindWordOver
	kindOutcome

	wireVersion byte = 1
)

// Bounds of decoding.
const (
	maxRowsDecoded    = 4096
	maxHoldersDecoded = 1 << 16
	maxExtraFields    = 64
	maxKept           = 16 << 10 // bytes of a writer that is used again
)

// ErrWire is wrapped by every decoding error.
var ErrWire = errors.New("malformed ledger message")

type writer struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
}

// writers are those to be used again.
var writers = sync.Pool{New: func() any {
	w := &writer{}
	w.enc = msgpack.NewEncoder(&w.buf)
	w.enc.UseCompactInts(true)
	return w
}}

func newWriter(kind byte) *writer {
	w := writers.Get().(*writer)
	w.buf.Reset()
	w.buf.WriteByte(kind)
	w.buf.WriteByte(wireVersion)
	return w
}

// Writing to a bytes.Buffer does not fail, so neither does encoding into one.
func (w *writer) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("BUG: encoding: %v", err))
	}
}
func (w *writer) array(n int)     { w.must(w.enc.EncodeArrayLen(n)) }
func (w *writer) str(s string)    { w.must(w.enc.EncodeString(s)) }
func (w *writer) bytes(b []byte)  { w.must(w.enc.EncodeBytes(b)) }
func (w *writer) uint(n uint64)   { w.must(w.enc.EncodeUint(n)) }
func (w *writer) bool(b bool)     { w.must(w.enc.EncodeBool(b)) }
func (w *writer) holder(h Holder) { w.str(h.Node); w.uint(h.Gen) }
func (w *writer) int(n int64)     { w.must(w.enc.EncodeInt(n)) }
func (w *writer) ints(ns ...int64) {
	for _, n := range ns {
		w.int(n)
	}
}

// done returns what was written, and ends the use of the writer.
func (w *writer) done() []byte {
	b := bytes.Clone(w.buf.Bytes())
	if w.buf.Cap() <= maxKept {
		writers.Put(w)
	}
	return b
}

type reader struct {
	dec msgpack.Decoder
	src bytes.Reader // what is left
	all []byte
	err error
}

func newReader(b []byte, kind byte) *reader {
	r := &reader{}
	switch {
	case len(b) < 2 || b[0] != kind:
		r.fail("not a record of kind %d", kind)
	case b[1] < wireVersion:
		r.fail("version %d is older than %d", b[1], wireVersion)
	default:
		r.all = b[2:]
		r.src.Reset(r.all)
		r.dec.Reset(&r.src) // which reads no further than it must, as it can go back by a byte
	}
	return r
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrWire, fmt.Sprintf(format, args...))
	}
}

// read runs one decoding step unless an earlier one failed.
func read[T any](r *reader, f func() (T, error)) (v T) {
	if r.err != nil {
		return v
	}
	v, err := f()
	if err != nil {
		var zero T
		r.fail("%v", err)
		return zero
	}
	return v
}

// array reads an array's length, which must be at least need and at most most.
func (r *reader) array(need, most int) int {
	n := read(r, func() (int, error) { return r.dec.DecodeArrayLen() })
	if r.err == nil && (n < need || n > most) {
		r.fail("an array of %d where %d to %d were expected", n, need, most)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// record reads the head of an array of at least need fields and returns how many unknown ones follow.
func (r *reader) record(need int) int { return max(0, r.array(need, need+maxExtraFields)-need) }

// skip passes over fields of a newer version.
func (r *reader) skip(n int) {
	for range n {
		if r.err != nil {
			return
		}
		if err := r.dec.Skip(); err != nil {
			r.fail("%v", err)
		}
	}
}

func (r *reader) str(most int) string {
	n := read(r, func() (int, error) { return r.dec.DecodeBytesLen() })
	if r.err == nil && (n < 0 || n > most) {
		r.fail("a string of %d bytes, at most %d are allowed", n, most)
	}
	if r.err != nil || n == 0 {
		return ""
	}
	return string(r.take(n))
}

// take returns the next n bytes; they are those of the message.
func (r *reader) take(n int) []byte {
	left := r.all[len(r.all)-r.src.Len():]
	if n > len(left) {
		r.fail("%d bytes where %d are left", n, len(left))
		return nil
	}
	r.all = left[n:]
	r.src.Reset(r.all)
	return left[:n]
}

func (r *reader) uint() uint64 {
	return read(r, func() (uint64, error) { return r.dec.DecodeUint64() })
}
func (r *reader) int() int64 { return read(r, func() (int64, error) { return r.dec.DecodeInt64() }) }
func (r *reader) bool() bool { return read(r, func() (bool, error) { return r.dec.DecodeBool() }) }

// tokens reads an amount: never negative, and bounded so that sums of a few cannot overflow.
func (r *reader) tokens() Tokens {
	n := Tokens(r.int())
	if n < 0 || n > 1<<60 {
		r.fail("an amount of %d tokens", n)
		return 0
	}
	return n
}

func (r *reader) shares() Shares {
	n := Shares(r.int())
	if n < 0 || n > 1<<60 {
		r.fail("%d shares", n)
		return 0
	}
	return n
}

func (r *reader) holder() Holder {
	h := Holder{Node: r.str(MaxNameLen), Gen: r.uint()}
	if r.err == nil && h.Node == "" {
		r.fail("a holder without a name")
	}
	if strings.ContainsRune(h.Node, 0) { // keys on disk end names with it
		r.fail("a name with a NUL")
	}
	return h
}

func (r *reader) instance() InstanceID {
	id := InstanceID(r.str(MaxInstanceIDLen))
	if r.err == nil {
		if _, _, _, err := id.Split(); err != nil {
			r.fail("%v", err)
		}
	}
	return id
}

func (r *reader) instant() Instant {
	t := Instant(r.int())
	if t < minInstant || t > maxInstant {
		r.fail("an instant of %d", t)
	}
	return t
}

// patience reads how long something may wait: not negative, and at most a day.
func (r *reader) patience() Millis {
	n := Millis(r.int())
	if n < 0 || n > dayMillis {
		r.fail("a wait of %d ms", n)
		return 0
	}
	return n
}

func (r *reader) window() Window {
	w := Window(r.int())
	if w < -1<<50 || w > 1<<50 {
		r.fail("a window of %d", w)
	}
	return w
}

func (r *reader) charterID() (id CharterID) {
	s := r.str(len(id))
	if r.err == nil && len(s) != len(id) {
		r.fail("a charter id of %d bytes", len(s))
	}
	copy(id[:], s)
	return id
}

// Encode makes the bytes of a message for peers.
func Encode(m any) []byte { return encodeMessage(m) }

func encodeMessage(m any) []byte {
	switch m := m.(type) {
	case []Row:
		w := newWriter(kindRows)
		w.array(len(m))
		for i := range m {
			w.row(&m[i])
		}
		return w.done()
	case *Ask:
		w := newWriter(kindAsk)
		w.array(askFields + 5)
		w.uint(m.ID)
		w.holder(m.From)
		w.str(string(m.Instance))
		w.ints(int64(m.Window), int64(m.Need), int64(m.Want), int64(m.At), int64(m.Patience))
		w.bool(m.Ahead)
		w.int(int64(m.Demand))
		w.bool(m.Floor)
		w.int(int64(m.Share))
		return w.done()
	case *Hold:
		w := newWriter(kindHold)
		w.array(5)
		w.uint(m.ID)
		w.holder(m.From)
		w.str(string(m.Instance))
		w.int(int64(m.For))
		return w.done()
	case *Offer:
		w := newWriter(kindOffer)
		w.array(5)
		w.holder(m.From)
		w.str(string(m.Instance))
		w.ints(int64(m.Window), int64(m.Amount))
		return w.done()
	case *Refuse:
		w := newWriter(kindRefuse)
		w.array(5)
		w.uint(m.ID)
		w.holder(m.From)
		w.str(string(m.Instance))
		w.array(2 * len(m.Donors))
		for _, d := range m.Donors {
			w.holder(d)
		}
		return w.done()
	case *Transfer:
		w := newWriter(kindTransfer)
		w.array(11)
		w.holder(m.From)
		w.holder(m.To)
		w.str(string(m.Instance))
		w.ints(int64(m.Window), int64(m.Out), int64(m.SharesOut), int64(m.First), int64(m.Asked))
		w.uint(m.AskID)
		return w.done()
	case *Ack:
		w := newWriter(kindAck)
		w.array(8)
		w.holder(m.From)
		w.holder(m.To)
		w.str(string(m.Instance))
		w.ints(int64(m.Window), int64(m.In), int64(m.SharesIn))
		return w.done()
	case *SeatPass:
		w := newWriter(kindSeatPass)
		w.array(11)
		w.seat(&m.Seat)
		w.holder(m.From)
		w.holder(m.To)
		w.bytes(m.Charter[:])
		w.array(len(m.Used))
		for _, h := range m.Used {
			w.uint(h)
		}
		w.array(len(m.Levels))
		for _, n := range m.Levels {
			w.int(int64(n))
		}
		return w.done()
	case *SeatAck:
		w := newWriter(kindSeatAck)
		w.array(6)
		w.int(int64(m.Index))
		w.uint(m.Serial)
		w.holder(m.From)
		w.holder(m.To)
		return w.done()
	case *Digest:
		w := newWriter(kindDigest)
		w.array(8)
		w.holder(m.From)
		w.bytes(m.Charter[:])
		w.array(4 * len(m.Seats))
		for i := range m.Seats {
			w.seat(&m.Seats[i])
		}
		w.array(5 * len(m.Holders))
		for _, h := range m.Holders {
			w.holder(h.Holder)
			w.int(int64(h.Rows))
			w.uint(h.Highest)
			w.uint(h.Hash)
		}
		w.holders(m.Retired)
		w.array(5 * len(m.Gone))
		for _, g := range m.Gone {
			w.holder(g.Holder)
			w.holder(g.Heir)
			w.int(int64(g.Age))
		}
		w.holders(m.Buried)
		return w.done()
	}
	if b := encodeWordMessage(m); b != nil {
		return b
	}
	if b := encodeGuard(m); b != nil {
		return b
	}
	panic(fmt.Sprintf("BUG: unknown message %T", m))
}

func (w *writer) seat(s *Seat) {
	w.int(int64(s.Index))
	w.uint(s.Serial)
	w.holder(s.Holder)
}

func (r *reader) seat() Seat {
	s := Seat{Index: int(r.int()), Serial: r.uint(), Holder: r.holder()}
	if r.err == nil && (s.Index < 0 || s.Index >= MaxFounders) {
		r.fail("a seat number %d", s.Index)
	}
	return s
}

func (r *reader) level() Tokens {
	n := Tokens(r.int())
	if n < unknownLevel && n >= legacyLevel || n < -1<<60 || n > MaxTokens {
		r.fail("a level of %d tokens", n)
	}
	return n
}

// Fields of the first version; later ones follow them.
const (
	rowFields = 18 // and Free, Lent, Wanted, Used, Price, Whole, Decayed, Burned, Claims, Alone, Inherited
	askFields = 8  // and Patience, Ahead, Demand
)

func (w *writer) row(m *Row) {
	more := 3
	switch {
	case m.Inherited != 0:
		more = 11
	case m.Alone:
		more = 10
	case m.Claims[0].Asked != 0:
		more = 9
	case m.Decayed != 0 || m.Burned != 0:
		more = 8
	case m.Whole != 0:
		more = 6
	case m.Used != 0 || m.Price != 0:
		more = 5
	}
	w.array(rowFields + more)
	w.holder(m.Holder)
	w.str(string(m.Instance))
	w.uint(m.Version)
	w.ints(int64(m.Window), int64(m.Shares), int64(m.Issued), int64(m.Minted), int64(m.Overdrawn), int64(m.In),
		int64(m.Out), int64(m.Spent), int64(m.Reserved), int64(m.Lapsed), int64(m.Debt), int64(m.Surplus),
		int64(m.Demand), int64(m.Unmet), int64(m.Free), int64(m.Lent), int64(m.Wanted))
	if more > 3 {
		w.ints(int64(m.Used), int64(m.Price))
	}
	if more > 5 {
		w.int(int64(m.Whole))
	}
	if more > 6 {
		w.ints(int64(m.Decayed), int64(m.Burned))
	}
	if more > 8 {
		w.claims(&m.Claims)
	}
	if more > 9 {
		w.bool(m.Alone)
	}
	if more > 10 {
		w.int(int64(m.Inherited))
	}
}

// claims writes those that there are, each as two.
func (w *writer) claims(cs *[MaxClaims]Claim) {
	n := 0
	for n < len(cs) && cs[n].Asked > 0 {
		n++
	}
	w.array(2 * n)
	for _, c := range cs[:n] {
		w.uint(c.Who)
		w.int(int64(c.Asked))
	}
}

func (r *reader) claims(cs *[MaxClaims]Claim) {
	n := r.array(0, 2*MaxClaims)
	if n%2 != 0 {
		r.fail("half a claim")
		return
	}
	for i := range n / 2 {
		if cs[i] = (Claim{r.uint(), r.tokens()}); i > 0 && cs[i].Asked > cs[i-1].Asked || cs[i].Asked == 0 {
			r.fail("claims that do not go down")
		}
	}
}

func (r *reader) row() (m Row) {
	more := r.record(rowFields)
	m = Row{
		Holder: r.holder(), Instance: r.instance(), Version: r.uint(), Window: r.window(), Shares: r.shares(),
		Issued: r.tokens(), Minted: r.tokens(), Overdrawn: r.tokens(), In: r.tokens(), Out: r.tokens(),
		Spent: r.tokens(), Reserved: r.tokens(), Lapsed: r.tokens(), Debt: r.tokens(), Surplus: r.tokens(),
		Demand: r.tokens(), Unmet: r.tokens(),
	}
	if more > 0 {
		m.Free = r.shares()
	}
	if more > 2 {
		m.Lent, m.Wanted = r.tokens(), r.tokens()
	}
	if more > 4 {
		m.Used, m.Price = r.tokens(), r.tokens()
	}
	if more > 5 {
		m.Whole = r.instant()
	}
	if more > 7 {
		m.Decayed, m.Burned = r.tokens(), r.tokens()
	}
	if more > 8 {
		r.claims(&m.Claims)
	}
	m.Alone = more > 9 && r.bool()
	if more > 10 {
		m.Inherited = r.tokens()
	}
	r.skip(more - min(more, 11))
	if r.err == nil && (m.Shares > TotalShares || m.Free > m.Shares) {
		r.fail("a row of %d shares, %d of them free", m.Shares, m.Free)
	}
	if r.err == nil && m.Decayed+m.Burned > m.Lapsed {
		r.fail("a row of %d lapsed, %d of them decayed and %d burned", m.Lapsed, m.Decayed, m.Burned)
	}
	return m
}

// Decode reads a message from a peer. It never panics and allocates no more than the bytes it is given
// can fill. A kind that this version does not know gives nil and no error.
func Decode(b []byte) (any, error) {
	if len(b) < 2 {
		return nil, fmt.Errorf("%w: %d bytes", ErrWire, len(b))
	}
	r := newReader(b, b[0])
	var m any
	switch b[0] {
	case kindRows:
		var rows []Row
		for range r.array(0, maxRowsDecoded) {
			if rows = append(rows, r.row()); r.err != nil {
				break
			}
		}
		m = rows
	case kindAsk:
		more := r.record(askFields)
		a := &Ask{ID: r.uint(), From: r.holder(), Instance: r.instance(), Window: r.window(), Need: r.tokens(), Want: r.tokens(), At: r.instant()}
		if more > 0 {
			a.Patience = r.patience()
		}
		if more > 1 {
			a.Ahead = r.bool()
		}
		if more > 2 {
			a.Demand = r.tokens()
		}
		if more > 3 {
			a.Floor = r.bool()
		}
		if more > 4 {
			if a.Share = int(r.int()); a.Share < RankNone || a.Share >= RankFloor {
				r.fail("an ask of rank %d", a.Share)
			}
		}
		r.skip(more - min(more, 5))
		m = a
	case kindOffer:
		more := r.record(5)
		m = &Offer{From: r.holder(), Instance: r.instance(), Window: r.window(), Amount: r.tokens()}
		r.skip(more)
	case kindHold:
		more := r.record(5)
		m = &Hold{ID: r.uint(), From: r.holder(), Instance: r.instance(), For: r.patience()}
		r.skip(more)
	case kindRefuse:
		more := r.record(5)
		f := &Refuse{ID: r.uint(), From: r.holder(), Instance: r.instance()}
		for range r.array(0, 2*MaxHints) / 2 {
			f.Donors = append(f.Donors, r.holder())
		}
		r.skip(more)
		m = f
	case kindTransfer:
		more := r.record(11)
		m = &Transfer{From: r.holder(), To: r.holder(), Instance: r.instance(), Window: r.window(), Out: r.tokens(),
			SharesOut: r.shares(), First: r.window(), Asked: r.instant(), AskID: r.uint()}
		r.skip(more)
	case kindAck:
		more := r.record(8)
		m = &Ack{From: r.holder(), To: r.holder(), Instance: r.instance(), Window: r.window(), In: r.tokens(), SharesIn: r.shares()}
		r.skip(more)
	case kindSeatPass:
		more := r.record(10)
		p := &SeatPass{Seat: r.seat(), From: r.holder(), To: r.holder(), Charter: r.charterID()}
		for range r.array(0, min(MaxUsed, len(b))) {
			p.Used = append(p.Used, r.uint())
		}
		if more > 0 {
			for range r.array(0, len(p.Used)) {
				p.Levels = append(p.Levels, r.level())
			}
		}
		if r.err == nil && p.Levels != nil && len(p.Levels) != len(p.Used) {
			r.fail("%d levels of %d instances", len(p.Levels), len(p.Used))
		}
		r.skip(more - 1)
		m = p
	case kindSeatAck:
		more := r.record(6)
		m = &SeatAck{Index: int(r.int()), Serial: r.uint(), From: r.holder(), To: r.holder()}
		r.skip(more)
	case kindDigest:
		more := r.record(5)
		d := &Digest{From: r.holder(), Charter: r.charterID()}
		for range r.array(0, 4*MaxFounders) / 4 {
			d.Seats = append(d.Seats, r.seat())
		}
		for range r.array(0, min(5*maxHoldersDecoded, len(b))) / 5 {
			h := HolderDigest{Holder: r.holder(), Rows: int(r.int()), Highest: r.uint(), Hash: r.uint()}
			if h.Rows < 0 || h.Rows > MaxRows {
				r.fail("a digest of %d rows", h.Rows)
			}
			d.Holders = append(d.Holders, h)
		}
		if more > 0 {
			for range r.array(0, min(2*guardian.MaxWards, len(b))) / 2 {
				d.Retired = append(d.Retired, r.holder())
			}
		}
		if more > 1 {
			for range r.array(0, min(5*maxGone, len(b))) / 5 {
				d.Gone = append(d.Gone, Gone{r.holder(), r.holder(), r.patience()})
			}
		}
		if more > 2 {
			d.Buried = r.many(guardian.MaxWards)
		}
		r.skip(more - min(more, 3))
		m = d
	default:
		if m = decodeGuard(r, b[0]); m == nil {
			m = decodeWordMessage(r, b[0])
		}
		if m == nil {
			return nil, nil
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, nil
}
