package ledger

import (
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Kinds and bounds of what concerns words.
const (
	keyShut = "shut/" // + node NUL generation
	keyGone = "gone/" // + node NUL generation
	keySaid = "word"  // in final records: what the operator stated

	kindShut byte = 96
	kindSaid byte = 97
	kindGone byte = 98

	maxWordHolders = 1024
	maxRefusal     = 512 // bytes of a refusal
	maxWordParts   = MaxInstances/wordParts + 1
)

func (r *reader) many(most int) (hs []Holder) {
	for range r.array(0, min(2*most, r.left())) / 2 {
		hs = append(hs, r.holder())
	}
	return hs
}

// hashes reads sorted hashes.
func (r *reader) hashes() (hs []uint64) {
	for range r.array(0, min(MaxUsed, r.left())) {
		hs = append(hs, r.uint())
		if k := len(hs) - 1; r.err == nil && k > 0 && hs[k] <= hs[k-1] {
			r.fail("hashes that are not in order")
		}
		if r.err != nil {
			return nil
		}
	}
	return hs
}

// encodeWordMessage encodes what nodes tell each other about words; nil if m is something else.
func encodeWordMessage(m any) []byte {
	switch m := m.(type) {
	case *WordAsk:
		w := newWriter(kindWordAsk)
		w.array(9)
		w.uint(m.ID)
		w.holder(m.From)
		w.holder(m.Dir)
		w.holder(m.To)
		w.holders(m.Dead)
		w.holders(m.Live)
		return w.done()
	case *WordAnswer:
		w := newWriter(kindWordAnswer)
		w.array(13)
		w.uint(m.ID)
		w.holder(m.From)
		w.holder(m.To)
		w.uint(uint64(m.Code))
		w.str(m.Refused)
		w.ints(int64(m.Part), int64(m.Parts))
		w.array(len(m.Accounts))
		for i := range m.Accounts {
			w.wordAccount(&m.Accounts[i])
		}
		w.holders(m.Retired)
		w.array(4 * len(m.Seats))
		for i := range m.Seats {
			w.seat(&m.Seats[i])
		}
		w.array(len(m.Held))
		for i := range m.Held {
			w.array(5)
			w.seat(&m.Held[i].Seat)
			w.array(len(m.Held[i].Used))
			for _, h := range m.Held[i].Used {
				w.uint(h)
			}
		}
		return w.done()
	case *WordDoubt:
		w := newWriter(kindWordDoubt)
		w.array(8)
		w.uint(m.ID)
		w.holder(m.By)
		w.holder(m.Dir)
		w.holder(m.From)
		w.holders(m.Dead)
		return w.done()
	case *WordOver:
		w := newWriter(kindWordOver)
		w.array(5)
		w.uint(m.ID)
		w.holder(m.From)
		w.holder(m.To)
		return w.done()
	}
	return nil
}

func (w *writer) wordAccount(a *WordAccount) {
	w.array(5)
	w.str(string(a.Instance))
	w.ints(int64(a.Net), int64(a.Window), int64(a.First))
	w.array(len(a.With))
	for i := range a.With {
		p := &a.With[i]
		w.array(7)
		w.holder(p.Dead)
		w.ints(int64(p.SharesOut), int64(p.SharesIn), int64(p.Window), int64(p.Out), int64(p.In))
	}
}

func (r *reader) wordAccount() (a WordAccount) {
	more := r.record(5)
	a.Instance = r.instance()
	if a.Net = Shares(r.int()); a.Net < -1<<60 || a.Net > 1<<60 {
		r.fail("%d shares", a.Net)
	}
	a.Window, a.First = r.window(), r.window()
	for range r.array(0, min(maxWordHolders, r.left())) {
		extra := r.record(7)
		a.With = append(a.With, WordPair{Dead: r.holder(), SharesOut: r.shares(), SharesIn: r.shares(),
			Window: r.window(), Out: r.tokens(), In: r.tokens()})
		r.skip(extra)
	}
	r.skip(more)
	return a
}

// decodeWordMessage decodes what encodeWordMessage made; nil for another kind.
func decodeWordMessage(r *reader, kind byte) any {
	switch kind {
	case kindWordAsk:
		more := r.record(9)
		m := &WordAsk{ID: r.uint(), From: r.holder(), Dir: r.holder(), To: r.holder(), Dead: r.many(maxWordHolders), Live: r.many(maxWordHolders)}
		if r.err == nil && (m.ID == 0 || len(m.Dead) == 0 || len(m.Live) == 0) {
			r.fail("a word about nobody")
		}
		r.skip(more)
		return m
	case kindWordAnswer:
		more := r.record(13)
		m := &WordAnswer{ID: r.uint(), From: r.holder(), To: r.holder(), Code: uint8(min(r.uint(), 255)), Refused: r.str(maxRefusal), Part: int(r.int()), Parts: int(r.int())}
		for range r.array(0, min(wordParts, r.left())) {
			m.Accounts = append(m.Accounts, r.wordAccount())
		}
		m.Retired = r.many(guardian.MaxWards)
		for range r.array(0, 4*MaxFounders) / 4 {
			m.Seats = append(m.Seats, r.seat())
		}
		for range r.array(0, MaxFounders) {
			extra := r.record(5)
			m.Held = append(m.Held, WordSeat{Seat: r.seat(), Used: r.hashes()})
			r.skip(extra)
		}
		if r.err == nil && m.Code == 0 && (m.Parts < 1 || m.Parts > maxWordParts || m.Part < 0 || m.Part >= m.Parts) {
			r.fail("part %d of %d", m.Part, m.Parts)
		}
		r.skip(more)
		return m
	case kindWordDoubt:
		more := r.record(8)
		m := &WordDoubt{ID: r.uint(), By: r.holder(), Dir: r.holder(), From: r.holder(), Dead: r.many(maxWordHolders)}
		r.skip(more)
		return m
	case kindWordOver:
		more := r.record(5)
		m := &WordOver{ID: r.uint(), From: r.holder(), To: r.holder()}
		r.skip(more)
		return m
	}
	return nil
}

func encodeShut(s *shut) []byte {
	w := newWriter(kindShut)
	w.array(5)
	w.holder(s.By)
	w.holder(s.Dir)
	w.uint(s.ID)
	return w.done()
}

func encodeGone() []byte {
	w := newWriter(kindGone)
	w.array(0)
	return w.done()
}

// loadGone reads for whose death operators have vouched.
func (r *Replica) loadGone(w Write) error {
	key, ok := strings.CutPrefix(w.Key, keyGone)
	if !ok {
		return nil
	}
	h, _, err := cutHolder(key)
	if err != nil {
		return err
	}
	d := newReader(w.Value, kindGone)
	d.skip(d.record(0))
	r.guard.Bury(h)
	return d.err
}

// loadShut reads with whom this directory deals no more.
func (r *Replica) loadShut(w Write) error {
	key, ok := strings.CutPrefix(w.Key, keyShut)
	if !ok {
		return nil
	}
	h, _, err := cutHolder(key)
	if err != nil {
		return err
	}
	d := newReader(w.Value, kindShut)
	more := d.record(5)
	s := shut{By: d.holder(), Dir: d.holder(), ID: d.uint(), heard: r.elapsed}
	d.skip(more)
	if d.err != nil {
		return d.err
	}
	if r.words.shut == nil {
		r.words.shut = map[Holder]shut{}
	}
	r.words.shut[h] = s
	return nil
}

// Said is what an operator stated, as it is kept with the decision.
type Said struct {
	Word
	At Instant // by the clock of the node that gave it
}

func encodeWord(m *Word, at Instant) []byte {
	w := newWriter(kindSaid)
	w.array(7)
	w.int(int64(at))
	w.str(m.By)
	w.str(m.Why)
	w.bool(m.Unseen)
	w.array(len(m.Nodes))
	for _, n := range m.Nodes {
		w.str(n)
	}
	for _, stated := range [][]Stated{m.Stock, m.Limits} {
		w.array(2 * len(stated))
		for _, s := range stated {
			w.str(string(s.Instance))
			w.int(int64(s.Tokens))
		}
	}
	return w.done()
}

func decodeWord(b []byte) (s Said, err error) {
	r := newReader(b, kindSaid)
	more := r.record(7)
	s.At, s.By, s.Why, s.Unseen = r.instant(), r.str(MaxSaid), r.str(MaxSaid), r.bool()
	for range r.array(0, MaxVouched) {
		s.Nodes = append(s.Nodes, r.str(MaxNameLen))
	}
	for _, stated := range []*[]Stated{&s.Stock, &s.Limits} {
		for range r.array(0, 2*MaxStated) / 2 {
			*stated = append(*stated, Stated{InstanceID(r.str(MaxInstanceIDLen)), r.tokens()})
		}
	}
	r.skip(more)
	return s, r.err
}
