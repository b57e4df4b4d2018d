package ledger

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Keys on disk of what concerns guarding, and kinds of its records.
const (
	keyOwn   = "guardians" // of this generation
	keyWard  = "ward/"     // + node NUL generation
	keyCopy  = "copy/"     // + node NUL generation NUL the ward's key
	keyRound = "round/"    // + node NUL generation
	keyDue   = "due/"      // + instance NUL node NUL generation NUL node NUL generation

	kindOwn   byte = 80
	kindWard  byte = 81
	kindRound byte = 82
	kindDue   byte = 83
)

// WardKey is the key of what is kept of a generation, CopyKey that of one of its records, for those who look at disks from
// outside.
func WardKey(of Holder) string             { return keyWard + holderKey(of) }
func CopyKey(of Holder, key string) string { return keyCopy + holderKey(of) + "\x00" + key }

func holderKey(h Holder) string { return h.Node + "\x00" + strconv.FormatUint(h.Gen, 16) }

// cutHolder reads what holderKey wrote, and what follows it.
func cutHolder(s string) (h Holder, rest string, err error) {
	node, s, ok := strings.Cut(s, "\x00")
	gen, rest, _ := strings.Cut(s, "\x00")
	n, err := strconv.ParseUint(gen, 16, 64)
	if err != nil || !ok {
		return Holder{}, "", fmt.Errorf("%w: not the key of a generation", ErrWire)
	}
	return Holder{Node: node, Gen: n}, rest, nil
}

func guardWrite(w *guardian.Write) Write {
	switch {
	case w.Own != nil:
		e := newWriter(kindOwn)
		e.array(3)
		e.holders(w.Own.Set)
		e.uint(w.Own.Version)
		e.bool(w.Own.Released)
		return Write{keyOwn, e.done()}
	case w.Ward != nil:
		e := newWriter(kindWard)
		e.array(8)
		e.holders(w.Ward.Set)
		e.duration(w.Ward.Lease)
		e.uint(w.Ward.Version)
		e.array(3)
		e.ballot(w.Ward.Promised)
		e.array(3)
		e.ballot(w.Ward.Accepted)
		e.bool(w.Ward.Decided)
		e.bool(w.Ward.Value != nil)
		if w.Ward.Value == nil {
			e.value(&guardian.Value{})
		} else {
			e.value(w.Ward.Value)
		}
		return Write{keyWard + holderKey(w.Ward.Of), e.done()}
	case w.Record != nil:
		return Write{keyCopy + holderKey(w.Record.Of) + "\x00" + w.Record.Key, w.Record.Value}
	}
	e := newWriter(kindRound)
	e.array(1)
	e.uint(w.Round.N)
	return Write{keyRound + holderKey(w.Round.Of), e.done()}
}

// ReadGuard reads a record of what concerns guarding; false if it is of something else.
func ReadGuard(w Write) (g guardian.Write, ok bool, err error) {
	switch {
	case w.Key == keyOwn:
		r := newReader(w.Value, kindOwn)
		more := r.record(3)
		own := &guardian.Own{Set: r.guardians(), Version: r.uint(), Released: r.bool()}
		r.skip(more)
		return guardian.Write{Own: own}, true, r.err
	case strings.HasPrefix(w.Key, keyWard):
		of, _, err := cutHolder(w.Key[len(keyWard):])
		if err == nil && of.Node == "" {
			err = fmt.Errorf("%w: a generation without a name", ErrWire)
		}
		if err != nil {
			return g, true, err
		}
		ward, err := readWard(w.Value)
		ward.Of = of
		return guardian.Write{Ward: ward}, true, err
	case strings.HasPrefix(w.Key, keyCopy):
		of, key, err := cutHolder(w.Key[len(keyCopy):])
		return guardian.Write{Record: &guardian.WardRecord{Of: of, Record: guardian.Record{Key: key, Value: w.Value}}}, true, err
	case strings.HasPrefix(w.Key, keyRound):
		of, _, err := cutHolder(w.Key[len(keyRound):])
		r := newReader(w.Value, kindRound)
		more := r.record(1)
		n := r.uint()
		r.skip(more)
		if err == nil {
			err = r.err
		}
		return guardian.Write{Round: &guardian.Round{Of: of, N: n}}, true, err
	}
	return g, false, nil
}

func readWard(b []byte) (*guardian.Ward, error) {
	r := newReader(b, kindWard)
	more := r.record(8)
	w := &guardian.Ward{Set: r.guardians(), Lease: r.duration(guardian.MaxLease), Version: r.uint()}
	skip := r.record(3)
	w.Promised = r.ballot()
	r.skip(skip)
	skip = r.record(3)
	w.Accepted = r.ballot()
	r.skip(skip)
	w.Decided = r.bool()
	has := r.bool()
	v := r.value()
	if has {
		w.Value = &v
	}
	r.skip(more)
	if r.err == nil && (w.Lease < 0 || w.Decided && !has) {
		r.fail("a lease of %v, decided without a value: %v", w.Lease, w.Decided && !has)
	}
	return w, r.err
}

// loadGuard fills the machine with what earlier lives of this directory made durable.
func (r *Replica) loadGuard(records []Write) error {
	var ws []guardian.Write
	for _, w := range records {
		g, ok, err := ReadGuard(w)
		if err != nil {
			return fmt.Errorf("record %q: %w", w.Key, err)
		}
		if ok {
			ws = append(ws, g)
		}
	}
	r.guard.Load(r.elapsed, ws, copies(records))
	r.bound, r.guards.left = r.guard.Guarded(), r.guard.Released()
	r.resting = r.guards.left // its guardians hear nothing more of it, so a soft account's overdraft would never be counted
	r.guards.news = len(r.guard.Decisions()) > 0
	_, r.guards.over = r.guard.Decision(r.self)
	return nil
}
