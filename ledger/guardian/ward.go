package guardian

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ward is another generation, of which this node is a guardian or has heard the decision. Ward is what is durable.
type ward struct {
	Ward
	records map[string][]byte
	sorted  []Record      // the same, in order of keys; nil while they are not
	bytes   int           // of them
	free    time.Duration // no lease that was acknowledged here lasts longer, by this node's clock, margin included
	gone    bool          // the ward has given its lease up
	dirty   bool          // in the batch
}

func (w *ward) put(r Record) {
	w.sorted = nil
	if old, there := w.records[r.Key]; there {
		w.bytes -= len(r.Key) + len(old)
	}
	if r.Value == nil {
		delete(w.records, r.Key)
		return
	}
	if w.records == nil {
		w.records = map[string][]byte{}
	}
	w.records[r.Key] = r.Value
	w.bytes += len(r.Key) + len(r.Value)
}

// stored lists what is stored of the ward, in order of keys.
func (w *ward) stored() []Record {
	if w.sorted == nil {
		w.sorted = make([]Record, 0, len(w.records))
		for _, k := range slices.Sorted(maps.Keys(w.records)) {
			w.sorted = append(w.sorted, Record{k, w.records[k]})
		}
	}
	return w.sorted
}

// touch has the ward written with this batch.
func (m *Machine) touch(w *ward) {
	if !w.dirty {
		w.dirty = true
		m.batch.wards = append(m.batch.wards, w)
	}
}

// keep stores one record of a ward, or drops it.
func (m *Machine) keep(w *ward, r Record) {
	w.put(r)
	m.batch.records = append(m.batch.records, WardRecord{w.Of, r})
}

// note stores what an owner tells, and acknowledges it.
func (m *Machine) note(now time.Duration, n *Note) error {
	if n.To != m.dir || !slices.Contains(n.Set, m.dir) || n.Lease < 0 || n.Lease > MaxLease {
		return fmt.Errorf("a note of %v for %v, its guardians are %v: not for us", n.From, n.To, n.Set)
	}
	if err := validSet(n.From, n.Set); err != nil {
		return err
	}
	w, err := m.room(n.From)
	if err != nil {
		return err
	}
	if w.Decided || w.Promised != (Ballot{}) {
		m.counts.Refused++
		m.send(n.From, &Refused{From: m.dir, To: n.From})
		return nil
	}
	if n.Acked > w.Version {
		return fmt.Errorf("%w: of %v version %d was acknowledged, %d is stored", ErrRolledBack, n.From, n.Acked, w.Version)
	}
	if w.Set == nil {
		w.Set = n.Set
		m.touch(w)
	}
	if !slices.Equal(w.Set, n.Set) {
		return fmt.Errorf("%v names the guardians %v, before they were %v", n.From, n.Set, w.Set)
	}
	if n.Since <= w.Version && w.Version < n.Version {
		switch f := m.fetching(n.From); {
		case w.bytes+int(size(n.Records)) > MaxBytes:
			return fmt.Errorf("%v has more than %d bytes of records: more than its guardians keep", n.From, MaxBytes)
		case !n.More:
			m.store(w, n.Since, n.Version, n.Records)
		case f == nil || f.version < n.Version:
			m.fetch(now, &fetch{of: n.From, from: n.From, since: n.Since, version: n.Version, records: n.Records, note: true})
		}
	}
	ack := &NoteAck{From: m.dir, To: n.From, Version: w.Version, Noted: n.Version, Sent: n.Sent, Lease: n.Lease}
	if f := m.fetching(n.From); f != nil && f.note {
		ack.Fetching = f.version
	}
	w.free = max(w.free, now+n.Lease+Margin(n.Lease))
	if n.Lease > w.Lease {
		w.Lease = n.Lease
		m.touch(w)
	}
	m.send(n.From, ack)
	return nil
}

// store takes over the records that changed in versions above since, up to version.
func (m *Machine) store(w *ward, since, version uint64, records []Record) {
	if since == 0 {
		for _, k := range slices.Sorted(maps.Keys(w.records)) {
			if _, there := slices.BinarySearchFunc(records, k, func(r Record, k string) int { return strings.Compare(r.Key, k) }); !there {
				m.keep(w, Record{Key: k})
			}
		}
	}
	for _, r := range records {
		m.keep(w, r)
	}
	w.Version = version
	m.counts.Stored++
	m.touch(w)
}

// replace takes over all records of the version of a value, whichever are stored. What this batch was to tell of a later one that
// gives way is not told: it will never be on the disk, and whoever waits for it asks again.
func (m *Machine) replace(w *ward, version uint64, records []Record) {
	if version < w.Version {
		m.batch.sends = slices.DeleteFunc(m.batch.sends, func(s Send) bool {
			switch msg := s.Message.(type) {
			case *NoteAck:
				return msg.To == w.Of && msg.Version > version
			case *Promise:
				return msg.Of == w.Of && msg.Stored.Version > version
			}
			return false
		})
	}
	m.store(w, 0, version, records)
}

// released takes a ward's word that its lease is given up. One that was claimed since, and is back, is told so.
func (m *Machine) released(r *Release) {
	w := m.find(r.From)
	if w == nil || r.To != m.dir {
		return
	}
	w.free, w.gone = 0, true
	if w.Decided || w.Promised != (Ballot{}) {
		m.counts.Refused++
		m.send(r.From, &Refused{From: m.dir, To: r.From})
	}
}

// prepare promises a generation to a claim.
func (m *Machine) prepare(now time.Duration, p *Prepare) error {
	if p.To != m.dir {
		return nil
	}
	w, err := m.room(p.Of)
	if err != nil {
		return err
	}
	by := p.Ballot.By
	switch {
	case w.Decided:
		m.Tell(p.Of, by)
		return nil
	case p.Ballot.Compare(w.Promised) < 0:
		m.send(by, &Reject{Of: p.Of, From: m.dir, Ballot: p.Ballot, Promised: w.Promised})
		return nil
	case !p.Owner && now < w.free:
		m.send(by, &Reject{Of: p.Of, From: m.dir, Ballot: p.Ballot, Wait: w.free - now})
		return nil
	}
	w.Promised = p.Ballot
	m.touch(w)
	has := Copy{Version: w.Version}
	has.Records, has.More = m.part(w.stored(), "")
	m.send(by, &Promise{Of: p.Of, From: m.dir, Ballot: p.Ballot, Stored: has, Accepted: w.Accepted, Value: w.Value})
	return nil
}

// accept accepts a value, unless a higher ballot is promised, once all of its records are here.
func (m *Machine) accept(now time.Duration, a *Accept) error {
	if a.To != m.dir {
		return nil
	}
	w, err := m.room(a.Of)
	if err != nil {
		return err
	}
	by := a.Ballot.By
	switch {
	case w.Decided:
		m.Tell(a.Of, by)
		return nil
	case a.Ballot.Compare(w.Promised) < 0:
		m.send(by, &Reject{Of: a.Of, From: m.dir, Ballot: a.Ballot, Promised: w.Promised})
		return nil
	case w.Version != a.Value.Version && a.More:
		m.fetch(now, &fetch{of: a.Of, from: by, version: a.Value.Version, records: a.Records, then: a})
		return nil
	}
	if w.Version != a.Value.Version {
		m.replace(w, a.Value.Version, a.Records)
	}
	v := a.Value
	w.Promised, w.Accepted, w.Value = a.Ballot, a.Ballot, &v
	m.touch(w)
	m.send(by, &Accepted{Of: a.Of, From: m.dir, Ballot: a.Ballot})
	return nil
}

// learn takes a decision over, and, if they are wanted, fetches what lacks of its records.
func (m *Machine) learn(now time.Duration, d *Decided, wanted bool) error {
	w, err := m.room(d.Of)
	if err != nil {
		return err
	}
	v := d.Value
	m.quiet = 0 // it may be this generation that goes on after all
	if w.Decided && *w.Value != v {
		return fmt.Errorf("two decisions on %v: version %d for %v, and version %d for %v",
			d.Of, w.Value.Version, w.Value.Heir, v.Version, v.Heir)
	}
	news := !w.Decided
	if news {
		if hs := m.loop(d.Of, v); hs != nil {
			on := m.survivor(hs, d.Of, v)
			if on == d.Of {
				return fmt.Errorf("%v goes on: %v, whose heir it is, was to be its own", d.Of, v.Heir)
			}
			m.unlearn(on)
		}
		w.Value, w.Decided = &v, true
		m.ended(w)
		m.bury(w)
		m.counts.Learned++
		m.touch(w)
		m.claims = slices.DeleteFunc(m.claims, func(c *claim) bool { return c.of == d.Of })
	}
	if w.Version != v.Version && wanted {
		if d.More {
			m.fetch(now, &fetch{of: d.Of, from: d.From, version: v.Version, records: d.Records})
		} else {
			m.replace(w, v.Version, d.Records)
			news = true
		}
	}
	if news {
		m.batch.decided = append(m.batch.decided, d.Of)
	}
	return nil
}

// Claimable lists the wards whose lease is over, as far as this node has granted it, and that are not known to be claimed.
func (m *Machine) Claimable(now time.Duration) (cs []Claimable) {
	for _, w := range m.wards {
		if w.Decided || w.Version == 0 || now < w.free {
			continue
		}
		cs = append(cs, Claimable{w.Of, w.gone, w.Value != nil, slices.Index(w.Set, m.dir), now - w.free})
	}
	return cs
}

// Claimable is a ward that a claim could win.
type Claimable struct {
	Of       Holder
	Released bool          // it has given up its lease itself
	Accepted bool          // this node has accepted a value of a claim: it may propose that without a lease of its own
	Rank     int           // of this node among its guardians: those who begin at different times do not outbid each other
	Since    time.Duration // for how long the lease has been over
}

// Wards lists the generations that this node keeps copies of and whose claim it does not know to be decided.
func (m *Machine) Wards() []Ward {
	var ws []Ward
	for _, w := range m.wards {
		if !w.Decided && w.Set != nil {
			ws = append(ws, w.Ward)
		}
	}
	return ws
}

// Follow takes over from the machine of the generation before, in the same process, until when leases last that it has
// granted, and which wards have given theirs up.
func (m *Machine) Follow(before *Machine) {
	for _, w := range m.wards {
		if old := before.find(w.Of); old != nil {
			w.free, w.gone = old.free, old.gone
		}
	}
}
