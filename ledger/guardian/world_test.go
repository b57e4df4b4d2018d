package guardian_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger/guardian"
)

const lease = 10 * time.Second

// world is some nodes on one goroutine, their disks and clocks, and what is on its way between them.
type world struct {
	t     testing.TB
	nodes []*node
	net   []packet
}

type packet struct {
	from *node
	Send
}

type node struct {
	w       *world
	self    Holder
	dir     uint64
	m       *Machine // nil while down
	clock   time.Duration
	own     map[string][]byte // this generation's records on disk
	disk    map[string]Write  // what the machine has written
	next    []Record          // records of this batch
	decided []Holder
}

func newWorld(t testing.TB, n int) *world {
	w := &world{t: t}
	for i := range n {
		x := &node{w: w, self: Holder{Node: fmt.Sprintf("n%d", i), Gen: 1}, dir: 1, own: map[string][]byte{}, disk: map[string]Write{}, clock: time.Hour * time.Duration(i+1)}
		w.nodes = append(w.nodes, x)
		x.start()
	}
	return w
}

// guarded is a world of n nodes in which those that are named have the three after them as guardians, with one record.
func guarded(t testing.TB, n int, owners ...int) *world {
	w := newWorld(t, n)
	for _, i := range owners {
		o := w.nodes[i]
		o.own["a"] = []byte{1}
		var set []Holder
		for k := range 3 {
			set = append(set, w.nodes[(i+1+k)%n].self)
		}
		if err := o.m.Guard(set, o.records()); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	return w
}

func (n *node) records() (rs []Record) {
	for _, k := range slices.Sorted(mapKeys(n.own)) {
		rs = append(rs, Record{Key: k, Value: n.own[k]})
	}
	return rs
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (n *node) start() {
	n.m = New(n.self, n.dir)
	n.m.SetLease(lease)
	var ws []Write
	for _, k := range slices.Sorted(mapKeys(n.disk)) {
		ws = append(ws, n.disk[k])
	}
	n.m.Load(n.clock, ws, n.records())
}

func (n *node) put(key string, value byte) {
	n.next = append(n.next, Record{Key: key, Value: []byte{value}})
}

// batch makes the node's batch durable and sends what it has to say.
func (n *node) batch() {
	n.write()
	fx := n.m.Commit(n.clock)
	n.decided = append(n.decided, fx.Decided...)
	for _, s := range fx.Sends {
		n.w.net = append(n.w.net, packet{n, s})
	}
}

// write is the disk's part of a batch.
func (n *node) write() {
	n.m.Put(n.next...)
	for _, r := range n.next {
		if n.own[r.Key] = r.Value; r.Value == nil {
			delete(n.own, r.Key)
		}
	}
	n.next = nil
	for _, w := range n.m.Writes() {
		switch {
		case w.Own != nil:
			n.disk["own"] = w
		case w.Ward != nil:
			n.disk["ward "+w.Ward.Of.String()] = w
		case w.Record != nil && w.Record.Value == nil:
			delete(n.disk, "record "+w.Record.Of.String()+w.Record.Key)
		case w.Record != nil:
			n.disk["record "+w.Record.Of.String()+w.Record.Key] = w
		case w.Round != nil:
			n.disk["round "+w.Round.Of.String()] = w
		}
	}
}

// deliver hands over what is on its way, once, but for what lose says is lost.
func (w *world) deliver(lose func(packet) bool) {
	net := w.net
	w.net = nil
	for _, p := range net {
		to := w.node(p.To)
		if to == nil || to.m == nil || lose != nil && lose(p) {
			continue
		}
		if err := to.m.Receive(to.clock, p.Message); err != nil {
			w.t.Logf("%v refuses %T of %v: %v", to.self, p.Message, p.from.self, err)
		}
		to.batch()
	}
}

func (w *world) node(h Holder) *node {
	for _, n := range w.nodes {
		if n.self.Node == h.Node {
			return n
		}
	}
	return nil
}

// settle writes and delivers until nothing is on its way.
func (w *world) settle() {
	for range 20 {
		for _, n := range w.nodes {
			if n.m != nil {
				n.batch()
			}
		}
		if len(w.net) == 0 {
			return
		}
		w.deliver(nil)
	}
	w.t.Fatal("messages go on and on")
}

// pass lets time pass on every clock.
func (w *world) pass(d time.Duration) {
	for _, n := range w.nodes {
		n.clock += d
	}
}

// tick has nodes tick and write, and settles.
func (w *world) tick(ns ...*node) {
	for _, n := range ns {
		if err := n.m.CheckQuiet(n.clock); err != nil {
			w.t.Error(err)
		}
		n.m.Tick(n.clock)
	}
	w.settle()
}

func (n *node) claim(of *node) {
	n.w.t.Helper()
	if err := n.m.Claim(n.clock, of.self, n.self); err != nil {
		n.w.t.Fatal(err)
	}
}

// decision is what the node knows to be decided, as text.
func (n *node) decision(of *node) string {
	v, ok := n.m.Decision(of.self)
	if !ok {
		return "open"
	}
	s := fmt.Sprintf("version %d for %s:", v.Version, v.Heir.Node)
	rs, _ := n.m.Records(of.self)
	for _, r := range rs {
		s += fmt.Sprintf(" %s=%d", r.Key, r.Value)
	}
	return s
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %v, not %v", what, got, want)
	}
}
