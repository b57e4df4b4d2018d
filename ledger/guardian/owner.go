package guardian

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	repeatNote = time.Second / 2  // until a note that was not answered is told again; doubles up to seldom
	seldom     = 2 * time.Second  // so often a guardian that is silent is asked whether it is there
	fullNotes  = 2                // so often records are told without an answer: then only that there are some
	lateNote   = time.Second / 10 // for which a version that nobody waits for waits for the next, see Later
	renewals   = 3                // notes in the time of one lease, at least
)

// noLease in NoteAck.Sent: the note is acknowledged, and no lease comes of it.
const noLease = time.Duration(-1)

// owner is this generation's side of being guarded. Own is what is durable.
type owner struct {
	Own
	urgent   uint64           // the latest version that somebody waits for
	floor    uint64           // the first version of this life: what changed in which version is known from there on
	bump     bool             // a version is due though no record changed
	records  map[string]entry // as they are on disk
	log      []change         // in order of versions
	standing []standing       // by guardian, as in Set
	renewed  time.Duration    // when the lease was last extended
}

type entry struct {
	version uint64
	value   []byte
}

type change struct {
	version uint64
	key     string
}

// standing is what this life knows of one guardian.
type standing struct {
	acked   uint64        // it has stored so much
	noted   uint64        // it was told of so much
	since   time.Duration // when the first version was written that it was not told of
	lease   time.Duration // end of what it has granted, by this node's clock; noLease for none
	sent    time.Duration // when it was told last
	told    bool          // it was told at all
	waiting bool          // and has not answered
	tries   int           // notes since it answered last
	refused bool

	snap     *snapshot     // what was noted last, while it is more than one message takes
	fetching uint64        // the version of which it said that it fetches the records
	heard    time.Duration // when it last did
}

// again is when a note that was not answered is told again.
func (s *standing) again() time.Duration {
	return s.sent + min(repeatNote<<max(0, min(s.tries-1, 8)), seldom)
}

// fetchIdle is for how long a guardian that fetches may be silent.
const fetchIdle = fetchTries * fetchAgain

// busy reports whether the guardian is fetching what it was noted last: until it has it, nothing newer is noted.
func (s *standing) busy(now time.Duration) bool {
	return s.snap != nil && s.fetching == s.snap.version && s.acked < s.snap.version && now-s.heard < fetchIdle
}

func newOwner(own Own) *owner {
	o := &owner{Own: own, floor: own.Version + 1, bump: true, records: map[string]entry{}, standing: make([]standing, len(own.Set))}
	for i := range o.standing {
		o.standing[i].lease = noLease
	}
	return o
}

// Guard makes set the guardians of this generation, for good: they are durable with this batch, and told of all records
// after it. records are all that this node has, as they will be on its disk by then.
func (m *Machine) Guard(set []Holder, records []Record) error {
	if m.own != nil {
		return fmt.Errorf("%v has its guardians: %v", m.self, m.own.Set)
	}
	if err := validSet(m.self, set); err != nil {
		return err
	}
	m.own = newOwner(Own{Set: slices.Clone(set)})
	m.batch.own = true
	m.own.put(m.own.floor, records)
	return nil
}

// validSet says what is wrong with the guardians of a generation.
func validSet(of Holder, set []Holder) error {
	if n := len(set); n == 0 || n%2 == 0 || n > MaxGuardians {
		return fmt.Errorf("%d guardians of %v: an odd number of at most %d is needed", n, of, MaxGuardians)
	}
	for i, g := range set {
		if g.Node == of.Node || slices.ContainsFunc(set[:i], func(h Holder) bool { return h.Node == g.Node }) {
			return fmt.Errorf("%v is twice among %v and its guardians", g, of)
		}
	}
	return nil
}

// Guarded reports whether this generation has guardians. It never ends.
func (m *Machine) Guarded() bool { return m.own != nil }

// Set lists this generation's guardians; none if it is not guarded.
func (m *Machine) Set() []Holder {
	if m.own == nil {
		return nil
	}
	return m.own.Set
}

// Version is that of this generation's durable records; 0 if it is not guarded.
func (m *Machine) Version() uint64 {
	if m.own == nil {
		return 0
	}
	return m.own.Version
}

// Held is the version up to which a majority of guardians has stored this generation's records. The first one counts from
// the start: nobody can claim a generation of which no guardian has stored anything.
func (m *Machine) Held() uint64 {
	if m.own == nil {
		return 0
	}
	n, lost := m.need()
	if n == 0 { // nobody is left to store anything: all that is durable counts, until it moves on
		if v, over := m.Decision(m.self); over {
			return v.Version
		}
		return max(1, m.own.Version)
	}
	var few [MaxGuardians]uint64
	vs := few[:0]
	for i := range m.own.standing {
		if !lost || !m.Gone(m.own.Set[i]) {
			vs = append(vs, m.own.standing[i].acked)
		}
	}
	slices.Sort(vs)
	return max(1, vs[len(vs)-n])
}

// Lease returns until when this node may do what only its lease allows, by its own clock; false without a lease.
func (m *Machine) Lease() (time.Duration, bool) {
	if m.own == nil || m.own.Released {
		return 0, false
	}
	var few [MaxGuardians]time.Duration
	es := few[:0]
	for i := range m.own.standing {
		es = append(es, m.own.standing[i].lease)
	}
	slices.Sort(es)
	end := es[len(es)-Majority(len(es))]
	return end, end != noLease
}

// Fresh reports whether nobody can have claimed this generation, nor can for a while: its lease runs, or it has no
// guardians who could.
func (m *Machine) Fresh(now time.Duration) bool {
	if m.own == nil {
		return true
	}
	end, ok := m.Lease()
	return ok && now < end
}

// Refusals counts the guardians that take no more notes of this generation: it is being claimed.
func (m *Machine) Refusals() (n int) {
	if m.own != nil {
		for _, s := range m.own.standing {
			if s.refused {
				n++
			}
		}
	}
	return n
}

// SetLease says for how long notes ask for a lease from now on.
func (m *Machine) SetLease(d time.Duration) { m.lease, m.quiet = min(max(d, 0), MaxLease), 0 }

// Released reports that the lease of this generation was given up, perhaps in an earlier life.
func (m *Machine) Released() bool { return m.own != nil && m.own.Released }

// Release gives up the lease of this generation for good, so that a peer can claim it at once.
func (m *Machine) Release() {
	if m.own != nil && !m.own.Released {
		m.own.Released = true
		m.batch.own, m.quiet = true, 0
		for i := range m.own.standing {
			m.own.standing[i].told = false // they hear of it at once
		}
	}
}

// Later says that nobody waits until what the batch makes durable is held: it may be noted a little later, together with what
// comes then. It is for this batch only.
func (m *Machine) Later() { m.batch.later = true }

// put takes over records of a version.
func (o *owner) put(version uint64, records []Record) {
	for _, r := range records {
		if r.Value == nil {
			delete(o.records, r.Key)
		} else {
			o.records[r.Key] = entry{version, r.Value}
		}
		o.log = append(o.log, change{version, r.Key})
	}
}

// wrote says that a version is durable. later: nobody waits until it is held.
func (o *owner) wrote(now time.Duration, version uint64, records []Record, later bool) {
	o.put(version, records)
	for i := range o.standing {
		if s := &o.standing[i]; s.noted >= o.Version {
			s.since = now
		}
	}
	o.Version, o.bump = version, false
	if !later {
		o.urgent = version
	}
	behind := version
	for _, s := range o.standing {
		behind = min(behind, s.acked)
	}
	if i := o.after(behind); i > len(o.log)/2 {
		o.log = slices.Clone(o.log[i:])
	}
}

// after returns where in the log the changes above a version begin.
func (o *owner) after(version uint64) int {
	i, _ := slices.BinarySearchFunc(o.log, version+1, func(c change, v uint64) int {
		if c.version < v {
			return -1
		}
		return 1
	})
	return i
}

// since lists the records that changed above a version, in order of keys; all there are for 0.
func (o *owner) since(version uint64) []Record {
	var rs []Record
	if version == 0 {
		for k, e := range o.records {
			rs = append(rs, Record{k, e.value})
		}
	} else {
		for _, c := range o.log[o.after(version):] {
			rs = append(rs, Record{c.key, o.records[c.key].value}) // nil if it is gone
		}
	}
	slices.SortStableFunc(rs, func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
	return slices.CompactFunc(rs, func(a, b Record) bool { return a.Key == b.Key })
}

// notes tells guardians what is new, and renews the lease.
func (m *Machine) notes(now time.Duration) {
	o := m.own
	if now < m.quiet || o == nil || o.Version < o.floor {
		return // the set, or the first version of this life, is not durable yet
	}
	if _, over := m.Decision(m.self); over {
		return
	}
	for i := range o.standing {
		s, to := &o.standing[i], o.Set[i]
		busy := s.busy(now)
		news := s.acked < o.Version && !s.waiting && !busy && (s.acked < o.urgent || now-s.since >= lateNote)
		old := !s.told || now-s.sent >= m.lease/renewals && m.lease > 0
		again := s.waiting && now >= s.again()
		if s.refused || !news && !old && !again {
			continue
		}
		if o.Released {
			if old || again {
				m.send(to, &Release{From: m.self, To: to})
			}
		} else {
			n := &Note{From: m.self, To: to, Set: o.Set, Acked: s.acked, Since: o.Version, Version: o.Version, Sent: now, Lease: m.lease}
			if s.acked < o.Version && !busy && s.tries < fullNotes {
				if n.Since = s.acked; s.acked < o.floor {
					n.Since = 0 // what is gone since is not known
				}
				rs := o.since(n.Since)
				s.snap = nil
				if n.Records, n.More = m.part(rs, ""); n.More {
					s.snap = &snapshot{n.Since, n.Version, rs}
				}
			}
			m.counts.Notes++
			m.counts.NoteBytes += size(n.Records)
			m.send(to, n)
		}
		s.sent, s.told, s.waiting, s.noted = now, true, true, o.Version
		s.tries++
	}
	m.quiet = o.next(now, m.lease)
}

// next is when there will be something to note as things are, 0 for at once.
func (o *owner) next(now, lease time.Duration) time.Duration {
	next := now + MaxLease
	for i := range o.standing {
		s := &o.standing[i]
		if s.refused {
			continue
		}
		if !s.told {
			return 0
		}
		if lease > 0 {
			next = min(next, s.sent+lease/renewals)
		}
		switch {
		case s.waiting:
			next = min(next, s.again())
		case s.acked >= o.Version:
		case s.busy(now):
			next = min(next, s.heard+fetchIdle)
		case s.acked < o.urgent:
			return 0
		default:
			next = min(next, s.since+lateNote)
		}
	}
	return next
}

// acked takes a guardian's acknowledgement.
func (m *Machine) acked(now time.Duration, a *NoteAck) error {
	if a.To != m.self {
		return nil
	}
	if m.own == nil || max(a.Version, a.Noted) > m.own.Version {
		return fmt.Errorf("%w: %v has version %d of it", ErrRolledBack, a.From, max(a.Version, a.Noted))
	}
	s := m.own.guardian(a.From)
	if s == nil || a.Noted < m.own.floor {
		return nil // of an earlier life: its clock may have been another
	}
	if a.Version >= m.own.floor {
		s.acked = max(s.acked, a.Version)
	}
	if s.snap != nil && s.acked >= s.snap.version {
		s.snap = nil
	}
	s.fetching, s.heard = a.Fetching, now
	s.waiting, s.tries = false, 0
	m.counts.Acked++
	if a.Sent != noLease {
		before, _ := m.Lease()
		s.lease = max(s.lease, a.Sent+a.Lease-Margin(a.Lease))
		if end, _ := m.Lease(); end != before {
			m.own.renewed = now
		}
	}
	return nil
}

// refused takes a guardian's refusal.
func (m *Machine) refused(r *Refused) error {
	if r.To != m.self {
		return nil
	}
	if m.own == nil {
		return fmt.Errorf("%w: %v guards it", ErrRolledBack, r.From)
	}
	if s := m.own.guardian(r.From); s != nil {
		s.refused = true
	}
	return nil
}

// guardian finds what is known of a guardian.
func (o *owner) guardian(g Holder) *standing {
	if i := slices.Index(o.Set, g); i >= 0 {
		return &o.standing[i]
	}
	return nil
}
