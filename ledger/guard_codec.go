package ledger

import (
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Bounds of what guardians are told.
const (
	maxRecords   = 1 << 16 // in one message
	maxRecordKey = 1024
	maxRecord    = 1 << 20 // bytes of one
)

// blob reads bytes that may be many. It allocates no more than there are; there may be none at all.
func (r *reader) blob(most int) []byte {
	n := read(r, func() (int, error) { return r.dec.DecodeBytesLen() })
	if r.err == nil && (n > most || n > r.src.Len()) {
		r.fail("%d bytes, at most %d are allowed and %d are there", n, most, r.src.Len())
	}
	if r.err != nil || n < 0 {
		return nil
	}
	return append(make([]byte, 0, n), r.take(n)...)
}

func (w *writer) holders(hs []Holder) {
	w.array(2 * len(hs))
	for _, h := range hs {
		w.holder(h)
	}
}

func (r *reader) guardians() (hs []Holder) {
	for range r.array(0, 2*guardian.MaxGuardians) / 2 {
		hs = append(hs, r.holder())
	}
	return hs
}

// about reads whom part of final records concerns. What is more than that is left out.
func (r *reader) about() (hs []Holder) {
	for range r.array(0, min(2*maxRecords, r.left())) / 2 {
		if h := r.holder(); len(hs) < guardian.MaxAbout {
			hs = append(hs, h)
		}
	}
	return hs
}

func (w *writer) records(rs []guardian.Record) {
	w.array(2 * len(rs))
	for _, x := range rs {
		w.str(x.Key)
		w.bytes(x.Value) // nil stays nil
	}
}

func (r *reader) records() (rs []guardian.Record) {
	for range r.array(0, min(2*maxRecords, r.left())) / 2 {
		rs = append(rs, guardian.Record{Key: r.str(maxRecordKey), Value: r.blob(maxRecord)})
		if k := len(rs) - 1; r.err == nil && k > 0 && rs[k].Key <= rs[k-1].Key {
			r.fail("records that are not in order of keys")
		}
		if r.err != nil {
			return nil
		}
	}
	return rs
}

// left is how many bytes are left: no array can have more elements.
func (r *reader) left() int {
	if r.err != nil {
		return 0
	}
	return r.src.Len()
}

func (w *writer) value(v *guardian.Value) {
	w.array(3)
	w.uint(v.Version)
	w.str(v.Heir.Node)
	w.uint(v.Heir.Gen)
}

// value reads a value, or that there is none.
func (r *reader) value() (v guardian.Value) {
	more := r.record(3)
	v = guardian.Value{Version: r.uint(), Heir: Holder{Node: r.str(MaxNameLen), Gen: r.uint()}}
	r.skip(more)
	return v
}

// decision reads a value that is proposed or decided.
func (r *reader) decision() guardian.Value {
	v := r.value()
	if r.err == nil && (v.Heir.Node == "" || strings.ContainsRune(v.Heir.Node, 0) || v.Version == 0) {
		r.fail("a decision of version %d for %v", v.Version, v.Heir)
	}
	return v
}

func (w *writer) ballot(b guardian.Ballot) {
	w.uint(b.Round)
	w.str(b.By.Node)
	w.uint(b.By.Gen)
}

func (r *reader) ballot() guardian.Ballot {
	return guardian.Ballot{Round: r.uint(), By: Holder{Node: r.str(MaxNameLen), Gen: r.uint()}}
}

func (w *writer) duration(d time.Duration) { w.int(int64(d)) }

// duration reads a time on somebody's clock, -1 for none, or one that has passed on it.
func (r *reader) duration(most time.Duration) time.Duration {
	d := time.Duration(r.int())
	if r.err == nil && (d < -1 || d > most) {
		r.fail("a time of %d ns", d)
	}
	return d
}

const farFuture = time.Duration(1 << 62)

// encodeGuard encodes what guardians, their wards and those who claim tell each other; nil if m is something else.
func encodeGuard(m any) []byte {
	var w *writer
	head := func(kind byte, n int) {
		w = newWriter(kind)
		w.array(n)
	}
	switch m := m.(type) {
	case *guardian.Note:
		head(kindNote, 12)
		w.holder(m.From)
		w.holder(m.To)
		w.holders(m.Set)
		w.uint(m.Acked)
		w.uint(m.Since)
		w.uint(m.Version)
		w.duration(m.Sent)
		w.duration(m.Lease)
		w.records(m.Records)
		w.bool(m.More)
	case *guardian.NoteAck:
		head(kindNoteAck, 9)
		w.holder(m.From)
		w.holder(m.To)
		w.uint(m.Version)
		w.uint(m.Noted)
		w.uint(m.Fetching)
		w.duration(m.Sent)
		w.duration(m.Lease)
	case *guardian.Refused:
		head(kindRefused, 4)
		w.holder(m.From)
		w.holder(m.To)
	case *guardian.Release:
		head(kindRelease, 4)
		w.holder(m.From)
		w.holder(m.To)
	case *guardian.Prepare:
		head(kindPrepare, 8)
		w.holder(m.Of)
		w.holder(m.To)
		w.ballot(m.Ballot)
		w.bool(m.Owner)
	case *guardian.Promise:
		head(kindPromise, 15)
		w.holder(m.Of)
		w.holder(m.From)
		w.ballot(m.Ballot)
		w.uint(m.Stored.Version)
		w.records(m.Stored.Records)
		w.bool(m.Stored.More)
		w.ballot(m.Accepted)
		w.bool(m.Value != nil)
		if m.Value == nil {
			w.value(&guardian.Value{})
		} else {
			w.value(m.Value)
		}
	case *guardian.Accept:
		head(kindAccept, 10)
		w.holder(m.Of)
		w.holder(m.To)
		w.ballot(m.Ballot)
		w.value(&m.Value)
		w.records(m.Records)
		w.bool(m.More)
	case *guardian.Accepted:
		head(kindAccepted, 7)
		w.holder(m.Of)
		w.holder(m.From)
		w.ballot(m.Ballot)
	case *guardian.Reject:
		head(kindReject, 11)
		w.holder(m.Of)
		w.holder(m.From)
		w.ballot(m.Ballot)
		w.ballot(m.Promised)
		w.duration(m.Wait)
	case *guardian.Decided:
		head(kindDecided, 9)
		w.holder(m.Of)
		w.holder(m.From)
		w.holder(m.To)
		w.value(&m.Value)
		w.records(m.Records)
		w.bool(m.More)
	case *guardian.Outcome:
		head(kindOutcome, 9)
		w.holder(m.Of)
		w.holder(m.From)
		w.holder(m.To)
		w.value(&m.Value)
		w.records(m.Records)
		w.holders(m.About)
	case *guardian.Query:
		head(kindQuery, 6)
		w.holder(m.Of)
		w.holder(m.From)
		w.bool(m.Part)
		w.holders(m.About)
	case *guardian.Fetch:
		head(kindFetch, 7)
		w.holder(m.Of)
		w.holder(m.From)
		w.uint(m.Since)
		w.uint(m.Version)
		w.str(m.After)
	case *guardian.Part:
		head(kindPart, 11)
		w.holder(m.Of)
		w.holder(m.From)
		w.holder(m.To)
		w.uint(m.Since)
		w.uint(m.Version)
		w.str(m.After)
		w.records(m.Records)
		w.bool(m.More)
	default:
		return nil
	}
	return w.done()
}

// decodeGuard decodes what encodeGuard made; nil for another kind.
func decodeGuard(r *reader, kind byte) any {
	switch kind {
	case kindNote:
		more := r.record(12)
		m := &guardian.Note{From: r.holder(), To: r.holder(), Set: r.guardians(), Acked: r.uint(), Since: r.uint(), Version: r.uint(),
			Sent: r.duration(farFuture), Lease: r.duration(guardian.MaxLease), Records: r.records(), More: r.bool()}
		r.skip(more)
		return m
	case kindNoteAck:
		more := r.record(9)
		m := &guardian.NoteAck{From: r.holder(), To: r.holder(), Version: r.uint(), Noted: r.uint(), Fetching: r.uint(), Sent: r.duration(farFuture), Lease: r.duration(guardian.MaxLease)}
		r.skip(more)
		return m
	case kindRefused:
		more := r.record(4)
		m := &guardian.Refused{From: r.holder(), To: r.holder()}
		r.skip(more)
		return m
	case kindRelease:
		more := r.record(4)
		m := &guardian.Release{From: r.holder(), To: r.holder()}
		r.skip(more)
		return m
	case kindPrepare:
		more := r.record(8)
		m := &guardian.Prepare{Of: r.holder(), To: r.holder(), Ballot: r.ballot(), Owner: r.bool()}
		r.skip(more)
		return m
	case kindPromise:
		more := r.record(15)
		m := &guardian.Promise{Of: r.holder(), From: r.holder(), Ballot: r.ballot(),
			Stored: guardian.Copy{Version: r.uint(), Records: r.records(), More: r.bool()}, Accepted: r.ballot()}
		if has := r.bool(); has {
			v := r.decision()
			m.Value = &v
		} else {
			r.value()
		}
		r.skip(more)
		return m
	case kindAccept:
		more := r.record(10)
		m := &guardian.Accept{Of: r.holder(), To: r.holder(), Ballot: r.ballot(), Value: r.decision(), Records: r.records(), More: r.bool()}
		r.skip(more)
		return m
	case kindAccepted:
		more := r.record(7)
		m := &guardian.Accepted{Of: r.holder(), From: r.holder(), Ballot: r.ballot()}
		r.skip(more)
		return m
	case kindReject:
		more := r.record(11)
		m := &guardian.Reject{Of: r.holder(), From: r.holder(), Ballot: r.ballot(), Promised: r.ballot(), Wait: r.duration(farFuture)}
		r.skip(more)
		return m
	case kindDecided:
		more := r.record(9)
		m := &guardian.Decided{Of: r.holder(), From: r.holder(), To: r.holder(), Value: r.decision(), Records: r.records(), More: r.bool()}
		r.skip(more)
		return m
	case kindOutcome:
		more := r.record(8)
		m := &guardian.Outcome{Of: r.holder(), From: r.holder(), To: r.holder(), Value: r.decision(), Records: r.records()}
		if more > 0 {
			m.About = r.about()
		}
		r.skip(more - min(more, 1))
		return m
	case kindQuery:
		more := r.record(4)
		m := &guardian.Query{Of: r.holder(), From: r.holder(), Part: more > 0 && r.bool()}
		if more > 1 {
			m.About = r.about()
		}
		r.skip(more - min(more, 2))
		return m
	case kindFetch:
		more := r.record(7)
		m := &guardian.Fetch{Of: r.holder(), From: r.holder(), Since: r.uint(), Version: r.uint(), After: r.str(maxRecordKey)}
		r.skip(more)
		return m
	case kindPart:
		more := r.record(11)
		m := &guardian.Part{Of: r.holder(), From: r.holder(), To: r.holder(), Since: r.uint(), Version: r.uint(), After: r.str(maxRecordKey),
			Records: r.records(), More: r.bool()}
		r.skip(more)
		return m
	}
	return nil
}
