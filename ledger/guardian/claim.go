package guardian

import (
	"fmt"
	"slices"
	"time"
)

const (
	firstTry = time.Second // until a claim without enough answers begins a higher ballot; doubles up to lastTry
	lastTry  = 32 * time.Second
)

// claim is this node's attempt to have a generation decided.
type claim struct {
	of       Holder
	heir     Holder
	set      []Holder
	ballot   Ballot
	highest  uint64     // round that was seen
	promises []*Promise // by guardian, as in set
	value    *Value     // that is proposed under this ballot
	source   *Promise   // whose copy is of the value's version
	records  []Record   // of the value, once they are here in full
	whole    bool       // they are
	ours     bool       // nothing was accepted before, so that it names our heir
	told     bool       // guardians were asked to accept it
	accepted []bool
	next     time.Duration // when a higher ballot is begun
	tries    int
}

// Claim has a generation decided: that heir owns its records. It is this node's own generation, with its next one as
// heir, or a ward with this node as heir. What is decided may be another's value.
func (m *Machine) Claim(now time.Duration, of, heir Holder) error {
	if slices.ContainsFunc(m.claims, func(c *claim) bool { return c.of == of }) {
		return nil
	}
	c := &claim{of: of, heir: heir}
	if w := m.find(of); w != nil && w.Decided {
		return nil
	} else if of == m.self && m.own != nil && heir.Node == of.Node && heir.Gen > of.Gen {
		c.set = m.own.Set
	} else if w != nil && w.Version > 0 && heir == m.self {
		c.set = w.Set
	} else {
		return fmt.Errorf("%v cannot claim %v for %v", m.self, of, heir)
	}
	m.claims = append(m.claims, c)
	m.counts.Begun++
	m.begin(now, c)
	m.deliver(now)
	return nil
}

// begin starts a ballot above all that were seen. Its round is durable before anybody hears of it.
func (m *Machine) begin(now time.Duration, c *claim) {
	c.highest = max(c.highest, m.round(c.of)) + 1
	r := Round{c.of, c.highest}
	m.setRound(r)
	m.batch.rounds = append(m.batch.rounds, r)
	c.ballot = Ballot{c.highest, m.dir}
	c.promises, c.accepted = make([]*Promise, len(c.set)), make([]bool, len(c.set))
	c.value, c.ours, c.told = nil, false, false
	c.source, c.records, c.whole = nil, nil, false
	// Those who claim together begin again at different times.
	rank := time.Duration(slices.Index(c.set, m.dir) + 2)
	c.next = now + min(firstTry<<min(c.tries, 16), lastTry)*rank/2
	c.tries++
	m.counts.Ballots++
	if need, _ := m.deciders(c); need == 0 { // nobody is left who could know better
		if m.Vouch(now, c.of, Value{Version: m.own.Version, Heir: c.heir}, m.own.since(0)) == nil {
			m.counts.Decided++
		}
		return
	}
	for _, g := range c.set {
		m.send(g, &Prepare{Of: c.of, To: g, Ballot: c.ballot, Owner: c.of == m.self})
	}
}

// goOn begins a higher ballot when the present one has not come to an end in time. One whose records still come has time; when
// they come no more, whoever had them may be gone, and the next ballot finds another.
func (m *Machine) goOn(now time.Duration, c *claim) {
	f := m.fetching(c.of)
	comes := f != nil && c.value != nil && f.version == c.value.Version
	switch {
	case now >= c.next && !comes:
		m.begin(now, c)
	case c.value != nil && !c.told:
		m.propose(now, c)
	}
}

// at finds the claim that an answer is for, and who gave it.
func (m *Machine) answered(of, by Holder, b Ballot) (*claim, int) {
	for _, c := range m.claims {
		if c.of == of && c.ballot == b {
			if i := slices.Index(c.set, by); i >= 0 {
				return c, i
			}
		}
	}
	return nil, 0
}

// promised takes a promise; with a majority of them a value is proposed.
func (m *Machine) promised(now time.Duration, p *Promise) {
	c, i := m.answered(p.Of, p.From, p.Ballot)
	if c == nil || c.value != nil {
		return
	}
	c.promises[i] = p
	n, best, stored := 0, Ballot{}, (*Promise)(nil)
	need, counts := m.deciders(c)
	for k, p := range c.promises {
		if p == nil || !counts(c.set[k]) {
			continue
		}
		n++
		if p.Value != nil && p.Accepted.Compare(best) > 0 {
			best, c.value, c.source = p.Accepted, p.Value, p
		}
		if stored == nil || p.Stored.Version > stored.Stored.Version {
			stored = p
		}
	}
	if n < need {
		c.value = nil
		return
	}
	if c.value == nil {
		v := stored.Stored.Version
		if v == 0 && c.of == m.self && m.own.Version >= m.own.floor {
			// Its notes have reached nobody, and after their promises they take none: it is as its own disk says.
			v, c.records, c.whole = m.own.Version, m.own.since(0), true
		}
		if v == 0 {
			return // another that claims has stored something: its own promise is missing
		}
		c.value, c.ours, c.source = &Value{Version: v, Heir: c.heir}, true, stored
	}
	m.propose(now, c)
}

// propose asks the guardians to accept the value. One that names this node waits for a fresh lease: two nodes that claim
// each other would both lose all.
func (m *Machine) propose(now time.Duration, c *claim) {
	if c.ours && c.heir == m.self && !m.Fresh(now) {
		return
	}
	if !m.obtain(now, c) {
		return
	}
	c.told = true
	first, more := m.part(c.records, "")
	for _, g := range c.set {
		a := &Accept{Of: c.of, To: g, Ballot: c.ballot, Value: *c.value, Records: first, More: more}
		if g == m.dir {
			a.Records, a.More = c.records, false // it does not go by the wire
		}
		m.send(g, a)
	}
}

// obtain reports whether the records of the value are here in full, and fetches them if they are not.
func (m *Machine) obtain(now time.Duration, c *claim) bool {
	if c.whole {
		return true
	}
	c.whole = true
	if w := m.find(c.of); w != nil && w.Version == c.value.Version {
		c.records = w.stored()
	} else if c.of == m.self && m.own.Version == c.value.Version && m.own.Version >= m.own.floor {
		c.records = m.own.since(0)
	} else if !c.source.Stored.More {
		c.records = c.source.Stored.Records
	} else {
		c.whole = false
		m.fetch(now, &fetch{of: c.of, from: c.source.From, version: c.value.Version, records: c.source.Stored.Records})
	}
	return c.whole
}

// accepted takes a guardian's word that it has accepted; with a majority of them the value is decided.
func (m *Machine) accepted(now time.Duration, a *Accepted) {
	c, i := m.answered(a.Of, a.From, a.Ballot)
	if c == nil || c.value == nil {
		return
	}
	c.accepted[i] = true
	n := 0
	need, counts := m.deciders(c)
	for k, yes := range c.accepted {
		if yes && counts(c.set[k]) {
			n++
		}
	}
	if n < need {
		return
	}
	if err := m.learn(now, &Decided{Of: c.of, From: m.dir, Value: *c.value, Records: c.records}, true); err != nil {
		return // no room: the next ballot tries again
	}
	m.counts.Decided++
	for k, g := range c.set {
		switch {
		case g == m.dir:
		case c.accepted[k]:
			m.Say(c.of, g) // it has the records
		default:
			m.Tell(c.of, g)
		}
	}
}

// rejected takes a refusal: the next ballot is higher, and waits for the end of the lease.
func (m *Machine) rejected(now time.Duration, r *Reject) {
	c, _ := m.answered(r.Of, r.From, r.Ballot)
	if c == nil {
		return
	}
	m.counts.Rejections++
	c.highest = max(c.highest, r.Promised.Round)
	if r.Wait > 0 {
		c.next = max(c.next, now+min(r.Wait, MaxLease))
	}
}

// deliver hands over what this node sent itself: it is in the same batch, so it is durable with what it answers.
func (m *Machine) deliver(now time.Duration) {
	for len(m.local) > 0 {
		msg := m.local[0]
		m.local = m.local[1:]
		m.receive(now, msg)
	}
}
