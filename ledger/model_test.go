package ledger_test

import (
	"maps"
	"slices"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// model is the simple judge of a world: package judge, told what callers were told.
type model struct {
	w      *world
	disks  map[*wnode]*judge.Disk
	books  map[InstanceID][]*judge.Book // of every generation there ever was
	flows  map[InstanceID]judge.Flows   // of rates
	mints  []topUp                      // that are durable
	jumps  Millis                       // what clocks ran ahead of time
	sets   map[Holder][]Holder          // the guardians of every generation that has some
	claims map[Holder]*judge.Claim      // of generations, once something is decided
	graves map[Holder]*judge.Guards     // of directories that were destroyed, what was on them
	seats  map[Holder]judge.Seats       // what generations have told of them
	finals map[Holder][]guardian.Record // what was decided of generations, but for words
}

func newModel(w *world) *model {
	return &model{w: w, disks: map[*wnode]*judge.Disk{}, books: map[InstanceID][]*judge.Book{}, flows: map[InstanceID]judge.Flows{},
		sets: map[Holder][]Holder{}, claims: map[Holder]*judge.Claim{}, graves: map[Holder]*judge.Guards{},
		seats: map[Holder]judge.Seats{}, finals: map[Holder][]guardian.Record{}}
}

func (m *model) must(err error) {
	if err != nil {
		m.w.fatalf("%v", err)
	}
}

// disk is the node's disk as the judge knows it.
func (m *model) disk(n *wnode) *judge.Disk {
	d, ok := m.disks[n]
	if !ok {
		d = judge.NewDisk(n.self)
		for _, k := range slices.Sorted(maps.Keys(n.disk)) {
			m.must(d.Write([]Write{{Key: k, Value: n.disk[k]}}))
		}
		m.disks[n] = d
	}
	return d
}

// of lists the books of an instance: one for every generation.
func (m *model) of(id InstanceID) []*judge.Book {
	for _, n := range m.w.nodes {
		m.find(n.self, id)
	}
	return m.books[id]
}

func (m *model) find(h Holder, id InstanceID) *judge.Book {
	for _, b := range m.books[id] {
		if b.Self == h {
			return b
		}
	}
	b := judge.NewBook(h, id)
	m.books[id] = append(m.books[id], b)
	return b
}

func (m *model) book(n *wnode, id InstanceID) *judge.Book { return m.find(n.self, id) }

// started forgets the disk, which a test may have changed while the node was down.
func (m *model) started(n *wnode) { delete(m.disks, n) }

// buried keeps what a generation leaves behind: its guardians, and what it had promised others.
func (m *model) buried(n *wnode) {
	d := m.disk(n)
	if own := d.Guards().Own; own != nil {
		m.sets[n.self] = own.Set
	}
	m.graves[Holder{Node: n.self.Node, Gen: n.dir}] = d.Guards().Clone()
	delete(m.disks, n)
}

// guards is what is on the disk of a directory about guarding.
func (m *model) guards(dir Holder) *judge.Guards {
	for _, n := range m.w.nodes {
		if n.self.Node == dir.Node && n.dir == dir.Gen {
			return m.disk(n).Guards()
		}
	}
	return m.graves[dir]
}

func (m *model) crashed(n *wnode) {
	for _, r := range n.open {
		for _, t := range r.takes {
			if t.Account.Spec().Kind == Slots {
				m.book(n, t.Account.ID()).LostSlots(t.Amount, r.expires)
			}
		}
	}
	for id := range m.books {
		m.book(n, id).Crashed()
	}
}

func (m *model) admitted(n *wnode, t Take) {
	id, spec := t.Account.ID(), t.Account.Spec()
	m.book(n, id).Admitted(t.Window, t.Amount)
	if spec.Kind == Rate {
		flow := id.Lifeless() // lives follow each other without a gap
		m.flows[flow] = m.flows[flow].Add(m.w.now, t.Amount)
		m.must(m.flows[flow].Check(id, &spec, m.jumps))
	}
}

func (m *model) settled(n *wnode, t Take, kept Tokens) {
	id := t.Account.ID()
	m.book(n, id).Settled(t.Window, t.Amount, kept)
	if t.Account.Spec().Kind == Rate && kept < t.Amount {
		m.flows[id.Lifeless()] = m.flows[id.Lifeless()].Add(m.w.now, kept-t.Amount)
	}
}

func (m *model) toppedUp(ts []topUp) {
	m.mints = append(m.mints, ts...)
	for _, t := range ts {
		m.book(m.w.nodes[t.node], t.id).ToppedUp(100)
	}
}

func (m *model) burned(n *wnode, id InstanceID, amount Tokens) { m.book(n, id).Burned(amount) }

func (m *model) told(n *wnode, msg any) {
	m.must(m.disk(n).Told(msg))
	if m.seats[n.self] == nil {
		m.seats[n.self] = judge.Seats{}
	}
	m.seats[n.self].Tell(n.self, msg)
}

func (m *model) wrote(n *wnode, ws []Write) { m.must(m.disk(n).Write(ws)) }
func (m *model) spread(n *wnode, row *Row)  { m.must(m.disk(n).Spread(row, n.highest)) }

// claimed judges what is decided of every generation that has guardians, and what a claim could decide.
func (m *model) claimed() {
	for _, n := range m.w.nodes {
		if own := m.disk(n).Guards().Own; own != nil {
			m.sets[n.self] = own.Set
		}
	}
	m.vouched()
	for _, of := range slices.SortedFunc(maps.Keys(m.sets), Holder.Compare) {
		var set []*judge.Guards
		for _, g := range m.sets[of] {
			set = append(set, m.guards(g))
		}
		c := m.claims[of]
		v := judge.Chosen(of, set)
		for _, n := range m.w.nodes {
			if w := m.disk(n).Guards().Ward(of); w.Decided && v == nil {
				v = w.Value
			} else if w.Decided {
				m.must((&judge.Claim{Version: v.Version, Heir: v.Heir}).Take(of, w.Value, 0))
			}
		}
		if v != nil && c == nil {
			c = &judge.Claim{}
			m.claims[of] = c
			for _, n := range m.w.nodes { // those who have heard of it have them, too
				set = append(set, m.disk(n).Guards())
			}
			records, err := judge.Records(of, v, set)
			m.must(err)
			m.finals[of] = records
			for _, id := range m.w.ids {
				f, err := judge.ReadFinal(records, id)
				m.must(err)
				m.find(of, id).Final = &f
			}
		}
		if c != nil {
			m.must(c.Take(of, v, 0))
		}
		if records, decided := m.finals[of]; decided {
			m.must(m.seats[of].In(of, records))
		} else if c == nil {
			m.must(judge.Claimable(of, set, func(g *judge.Guards) error { return m.seats[of].In(of, g.Copies(of)) }))
		}
		for _, id := range m.w.ids {
			b, spec := m.find(of, id), m.w.specs[id][0]
			if b.Final != nil {
				m.must(b.Final.Covers(b, m.of(id), spec))
				continue
			}
			m.must(judge.Claimable(of, set, func(g *judge.Guards) error {
				f, err := judge.ReadFinal(g.Copies(of), id)
				if err != nil {
					return err
				}
				return f.Covers(b, m.of(id), spec)
			}))
		}
		m.must(judge.Heirs(of, func(h Holder) (Holder, bool) {
			c := m.claims[h]
			if c == nil {
				return Holder{}, false
			}
			return c.Heir, true
		}))
	}
}

// vouched takes over what operators have said, by the disks. What a word decided that only nodes know whom a later word buries
// is void: that one is about all that they had.
func (m *model) vouched() {
	type said struct {
		guardian.Value
		g *judge.Guards // on whose disk it is
	}
	words := map[Holder][]said{}
	for _, n := range m.w.nodes {
		for _, g := range m.disk(n).Guards().Records() {
			if w := g.Ward; w != nil && w.Decided && w.Value.IsWord() && w.Version == w.Value.Version {
				words[w.Of] = append(words[w.Of], said{*w.Value, m.disk(n).Guards()})
			}
		}
	}
	void := func(v, by guardian.Value) bool {
		return slices.ContainsFunc(words[v.Heir], func(w said) bool { return w.Version == by.Version })
	}
	for of, vs := range words {
		for _, v := range vs {
			c := m.claims[of]
			if c != nil && c.Version != v.Version {
				before := guardian.Value{Version: c.Version, Heir: c.Heir}
				if void(v.Value, before) {
					continue
				}
				if void(before, v.Value) {
					c = nil
				}
			}
			if c == nil {
				c = &judge.Claim{}
				m.claims[of] = c
				for _, id := range m.w.ids {
					f, err := judge.ReadFinal(v.g.Copies(of), id)
					m.must(err)
					f.Word = true
					m.find(of, id).Final = &f
				}
			}
			m.must(c.Take(of, &v.Value, 0))
		}
	}
	for _, id := range m.w.ids {
		for _, b := range m.of(id) {
			if b.Final != nil && b.Final.Word {
				m.must(b.Final.Covers(b, m.of(id), m.w.specs[id][0]))
			}
		}
	}
}

// check judges the whole swarm.
func (w *world) check() {
	m := w.model
	for _, id := range w.ids {
		for _, b := range m.of(id) {
			b.Expire(w.now)
		}
		for _, n := range w.nodes {
			t := judge.Time{True: w.now, Top: n.top, Steady: m.jumps == 0}
			m.must(m.book(n, id).Look(n.r, m.disk(n), w.specs[id][n.version], t))
			if n.r != nil {
				m.must(n.r.CheckSums(n.clock(), id))
			}
		}
	}
	m.claimed()
	for _, id := range w.ids {
		spec := w.specs[id][0]
		m.must(judge.Together(m.of(id), spec.Kind, spec.Ceiling))
	}
}
