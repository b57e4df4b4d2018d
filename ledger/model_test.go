package ledger_test

import (
	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// model is the simple judge of a world: package judge, told what callers were told.
type model struct {
	w     *world
	disks map[*wnode]*judge.Disk
	books map[InstanceID][]*judge.Book // by node
	flows map[InstanceID]judge.Flows   // of rates
	mints []topUp                      // that are durable
	jumps Millis                       // what clocks ran ahead of time
}

func newModel(w *world) *model {
	return &model{w: w, disks: map[*wnode]*judge.Disk{}, books: map[InstanceID][]*judge.Book{}, flows: map[InstanceID]judge.Flows{}}
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
		for k, v := range n.disk {
			m.must(d.Write([]Write{{Key: k, Value: v}}))
		}
		m.disks[n] = d
	}
	return d
}

func (m *model) of(id InstanceID) []*judge.Book {
	for i := len(m.books[id]); i < len(m.w.nodes); i++ {
		m.books[id] = append(m.books[id], judge.NewBook(m.w.nodes[i].self, id))
	}
	return m.books[id]
}

func (m *model) book(n *wnode, id InstanceID) *judge.Book { return m.of(id)[n.i] }

// started forgets the disk, which a test may have changed while the node was down.
func (m *model) started(n *wnode) { delete(m.disks, n) }

func (m *model) crashed(n *wnode) {
	for _, r := range n.open {
		for _, t := range r.takes {
			if t.Account.Spec().Kind == Slots {
				m.book(n, t.Account.ID()).LostSlots(t.Amount, r.expires)
			}
		}
	}
	for _, bs := range m.books {
		if n.i < len(bs) {
			bs[n.i].Crashed()
		}
	}
}

func (m *model) admitted(n *wnode, t Take) {
	id, spec := t.Account.ID(), t.Account.Spec()
	m.book(n, id).Admitted(t.Window, t.Amount)
	if spec.Kind == Rate {
		m.flows[id] = m.flows[id].Add(m.w.now, t.Amount)
		m.must(m.flows[id].Check(id, &spec, m.jumps))
	}
}

func (m *model) settled(n *wnode, t Take, kept Tokens) {
	id := t.Account.ID()
	m.book(n, id).Settled(t.Window, t.Amount, kept)
	if t.Account.Spec().Kind == Rate && kept < t.Amount {
		m.flows[id] = m.flows[id].Add(m.w.now, kept-t.Amount)
	}
}

func (m *model) toppedUp(ts []topUp) {
	m.mints = append(m.mints, ts...)
	for _, t := range ts {
		m.of(t.id)[t.node].ToppedUp(100)
	}
}

func (m *model) told(n *wnode, msg any)     { m.must(m.disk(n).Told(msg)) }
func (m *model) wrote(n *wnode, ws []Write) { m.must(m.disk(n).Write(ws)) }
func (m *model) spread(n *wnode, row *Row)  { m.must(m.disk(n).Spread(row, n.highest)) }

// check judges the whole swarm.
func (w *world) check() {
	m := w.model
	for _, id := range w.ids {
		for i, b := range m.of(id) {
			n := w.nodes[i]
			t := judge.Time{True: w.now, Top: n.top, Steady: m.jumps == 0}
			m.must(b.Look(n.r, m.disk(n), w.specs[id][n.version], t))
		}
		spec := w.specs[id][0]
		m.must(judge.Together(m.of(id), spec.Kind, spec.Ceiling))
	}
}
