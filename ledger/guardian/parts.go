package guardian

import (
	"slices"
	"strings"
	"time"
)

// Records of one version may be too many for a message. A note, a promise, an accept and a decision have the first of
// them; who lacks the others asks for one part after the other, in order of keys, and keeps what has come in memory. Only
// when it has all of them, and still has a use for them, are they stored, in one batch: what is stored is never a mix of
// two versions, and half a version is never acknowledged, promised or accepted.

// Bounds of parts.
const (
	PartBytes = 64 << 10  // of records in one message, unless one record alone is larger
	MaxBytes  = 256 << 20 // of the records of one generation, and of all that is half fetched at one node

	maxFetches = 64
	fetchAgain = time.Second // until a part that did not come is asked for again
	fetchTries = 5           // then it is given up
	fetchBurst = 8           // so many parts one after the other, then
	fetchPause = time.Second / 10
)

// Fetch asks for a part of a generation's records: those that changed in versions above Since, up to Version, with keys
// above After. Since 0: all that there are.
type Fetch struct {
	Of             Holder
	From           Holder // who asks
	Since, Version uint64
	After          string
}

// Part answers.
type Part struct {
	Of             Holder
	From, To       Holder
	Since, Version uint64
	After          string
	Records        []Record
	More           bool // there are more
}

// fetch is what has come of one version of a generation's records.
type fetch struct {
	of             Holder
	from           Holder // who is asked
	since, version uint64
	records        []Record
	bytes          int
	next           time.Duration // when it is asked for again
	tries, parts   int
	note           bool    // the owner has noted it
	then           *Accept // it waits for that
}

// snapshot is what an owner's guardian may fetch: the records of one version, whatever becomes of them.
type snapshot struct {
	since, version uint64
	records        []Record
}

// SetPart has messages carry so many bytes of records, for tests.
func (m *Machine) SetPart(bytes int) { m.partBytes = bytes }

// part cuts off what one message takes of records in order of keys.
func (m *Machine) part(rs []Record, after string) (part []Record, more bool) {
	i, found := slices.BinarySearchFunc(rs, after, func(r Record, k string) int { return strings.Compare(r.Key, k) })
	if found {
		i++
	}
	rs = rs[i:]
	n := 0
	for k := range rs {
		if n += len(rs[k].Key) + len(rs[k].Value); n > m.partBytes && k > 0 {
			return rs[:k], true
		}
	}
	return rs, false
}

// fetching finds what is being fetched of a generation.
func (m *Machine) fetching(of Holder) *fetch {
	for _, f := range m.fetches {
		if f.of == of {
			return f
		}
	}
	return nil
}

// fetch goes on from the first records of a version, instead of what else was being fetched of that generation.
func (m *Machine) fetch(now time.Duration, f *fetch) {
	if old := m.fetching(f.of); old != nil {
		if old.since != f.since || old.version != f.version {
			m.drop(old)
		} else {
			m.refetch(old, f)
			return
		}
	}
	if f.bytes = int(size(f.records)); m.staged+f.bytes > MaxBytes || len(m.fetches) >= maxFetches {
		return // who wanted it asks again
	}
	f.records = slices.Clone(f.records)
	m.staged += f.bytes
	m.fetches = append(m.fetches, f)
	m.ask(now, f)
}

// refetch goes on with a fetch for another reason. It turns to another node only if that one shows that it has records of this version,
// and the one before does not or is silent: whoever knows no more than what was decided would draw it away from those who have it.
func (m *Machine) refetch(old, f *fetch) {
	old.note, old.then = f.note, f.then
	if f.from == old.from || len(f.records) == 0 || len(old.records) > 0 && old.tries < 2 {
		return
	}
	old.from, old.tries = f.from, 0
	if n := int(size(f.records)); len(f.records) > len(old.records) && m.staged+n-old.bytes <= MaxBytes {
		m.staged += n - old.bytes
		old.records, old.bytes = slices.Clone(f.records), n
	}
}

func (m *Machine) ask(now time.Duration, f *fetch) {
	f.next = now + fetchAgain
	f.tries++
	m.send(f.from, &Fetch{Of: f.of, From: m.dir, Since: f.since, Version: f.version, After: f.after()})
}

// after is the last key that has come.
func (f *fetch) after() string {
	if len(f.records) == 0 {
		return ""
	}
	return f.records[len(f.records)-1].Key
}

func (m *Machine) drop(f *fetch) {
	m.staged -= f.bytes
	m.fetches = slices.DeleteFunc(m.fetches, func(x *fetch) bool { return x == f })
}

// askAgain asks for parts that did not come, and for those that are due.
func (m *Machine) askAgain(now time.Duration) {
	for _, f := range slices.Clone(m.fetches) {
		switch {
		case now < f.next:
		case f.tries >= fetchTries:
			m.drop(f)
		default:
			m.ask(now, f)
		}
	}
}

// serve answers with a part, if these records are still there.
func (m *Machine) serve(now time.Duration, q *Fetch) {
	rs, ok := m.asOf(now, q)
	if !ok {
		return
	}
	p := &Part{Of: q.Of, From: m.dir, To: q.From, Since: q.Since, Version: q.Version, After: q.After}
	p.Records, p.More = m.part(rs, q.After)
	m.counts.Parts++
	m.counts.NoteBytes += size(p.Records)
	m.send(q.From, p)
}

func (m *Machine) asOf(now time.Duration, q *Fetch) ([]Record, bool) {
	if m.own != nil && q.Of == m.self {
		if s := m.own.guardian(q.From); s != nil && s.snap != nil && s.snap.since == q.Since && s.snap.version == q.Version {
			s.heard = now
			return s.snap.records, true
		}
	}
	for _, c := range m.claims {
		if c.of == q.Of && c.told && c.value.Version == q.Version && q.Since == 0 {
			return c.records, true
		}
	}
	if w := m.find(q.Of); w != nil && w.Version == q.Version && q.Since == 0 && w.Version > 0 {
		return w.stored(), true
	}
	return nil, false
}

// took takes a part.
func (m *Machine) took(now time.Duration, p *Part) {
	f := m.fetching(p.Of)
	if f == nil || f.from.Node != p.From.Node || f.since != p.Since || f.version != p.Version || f.after() != p.After {
		return
	}
	if len(p.Records) > 0 && p.Records[0].Key <= p.After && p.After != "" {
		return
	}
	n := int(size(p.Records))
	if m.staged+n > MaxBytes || p.More && len(p.Records) == 0 {
		m.drop(f)
		return
	}
	f.records = append(f.records, p.Records...)
	f.bytes += n
	m.staged += n
	f.tries = 0
	if f.parts++; !p.More {
		m.drop(f)
		m.complete(now, f)
	} else if f.parts < fetchBurst {
		m.ask(now, f)
	} else {
		f.next = now + fetchPause
	}
}

// complete stores a version that has come in full, as far as there still is a use for it.
func (m *Machine) complete(now time.Duration, f *fetch) {
	w := m.find(f.of)
	switch {
	case w != nil && w.Decided:
		if w.Version != f.version && w.Value.Version == f.version {
			m.replace(w, f.version, f.records)
			m.batch.decided = append(m.batch.decided, f.of)
		}
	case f.note:
		if w != nil && w.Promised == (Ballot{}) && f.since <= w.Version && w.Version < f.version {
			m.store(w, f.since, f.version, f.records)
			m.send(f.of, &NoteAck{From: m.dir, To: f.of, Version: w.Version, Noted: f.version, Sent: noLease})
		}
	default:
		if a := f.then; a != nil {
			whole := *a
			whole.Records, whole.More = f.records, false
			_ = m.accept(now, &whole) // room for it was found before
		}
		for _, c := range m.claims {
			if c.of == f.of && c.value != nil && c.value.Version == f.version && !c.told {
				c.records, c.whole = f.records, true
				m.propose(now, c)
			}
		}
	}
}
