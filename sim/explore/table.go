package explore

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// table knows every state that a node was ever in, and every message. A node's next state follows from its present
// one and from what happens to it, and far fewer states of nodes than of swarms exist: so production code runs once
// for each pair of a node's state and an input, and all else is looking up. A state is brought back by replaying the
// inputs that led to it: there is no need to copy a replica, whose pending changes are functions.
type table struct {
	*setting
	shapes  *shapes
	group   [][nodes]uint8
	renames []map[string]string

	locals   []*local
	byPrint  map[print128]int32
	messages []message
	byBytes  map[string]int32
	runs     int // inputs given to production code, replays included
}

// local is a state of one node.
type local struct {
	node    int
	parent  int32 // the state and the input that led here first
	in      input
	base    *node         // while it is down: where replays start
	live    *node         // the very node, until it goes on
	print   [2]print128   // by renaming
	chain   [2]print128   // tells pending changes apart: how they came about
	changes int           // how many changes are pending
	books   []*judge.Book // never written to

	up, writing, pending bool
	clock                ledger.Instant
	policy               int
	open                 []call

	next     []result           // by what may happen to it; nil until looked at
	received map[int32][]result // by message
}

// result is what an input leads to.
type result struct {
	in   input
	to   int32   // local
	sent []int32 // messages
	flow ledger.Tokens
	err  error // a broken promise
	same bool  // nothing changed and nothing was sent
}

type message struct {
	to, from int
	msg      any
	print    [2]print128 // by renaming
}

func newTable(s *Scope) *table {
	t := &table{setting: newSetting(s), shapes: s.shapes(), group: s.group(), byPrint: map[print128]int32{}, byBytes: map[string]int32{}}
	for _, p := range t.group {
		names := map[string]string{}
		for i, to := range p {
			names[t.self[i].Node] = t.self[to].Node
		}
		t.renames = append(t.renames, names)
	}
	return t
}

// encoder writes as if nodes had the names of renaming g.
func (t *table) encoder(g int) *encoder {
	if g > 0 {
		return t.shapes.encoder(t.renames[g])
	}
	return t.shapes.encoder(nil)
}

// image is a node's disk as it is encoded: by peers' names, not in their order, so that renaming works.
type image struct {
	Accounts map[ledger.InstanceID]*ledger.State
	Entries  map[ledger.InstanceID]map[ledger.Holder]ledger.Entry
	Others   map[string][]byte
}

// extra is what of a node is encoded beside its memory.
type extra struct {
	Node, Policy  int
	Clock         ledger.Instant
	Ahead         ledger.Instant // of it, the latest that the clock ever showed
	Life, Highest uint64
	Left          bool
	Open          []call
	TopUps        []int8
	Writing       bool
	Writes        []ledger.Write
	Disk          image
	Books         []*judge.Book
	Gone          [][2]map[ledger.Holder]ledger.Entry // of books whose instance is forgotten: what was on disk, and what in memory
}

func (t *table) image(n *node) image {
	d := image{map[ledger.InstanceID]*ledger.State{}, map[ledger.InstanceID]map[ledger.Holder]ledger.Entry{}, map[string][]byte{}}
	for _, id := range t.ids {
		if s := n.disk.Account(id); s != nil {
			d.Accounts[id] = s
		}
		d.Entries[id] = entries(n.disk.Pairs(id))
	}
	for _, w := range n.disk.Records() {
		if strings.HasPrefix(w.Key, "account/") || strings.HasPrefix(w.Key, "entry/") || w.Key == "version" && !t.scope.Rows {
			continue
		}
		d.Others[w.Key] = w.Value
	}
	return d
}

func entries(ps []judge.Pair) map[ledger.Holder]ledger.Entry {
	es := map[ledger.Holder]ledger.Entry{}
	for _, p := range ps {
		es[p.Peer] = p.Entry
	}
	return es
}

// print tells a node's state apart under renaming g, but for the changes that are pending, which it counts.
func (t *table) print(n *node, g int) (*encoder, int) {
	e := t.encoder(g)
	if n.r == nil {
		e.uint(0)
	} else {
		e.value(reflect.ValueOf(n.r))
	}
	x := extra{
		Node: int(t.group[g][n.i]), Policy: n.policy, Clock: n.clock, Ahead: n.top - n.clock, Left: n.left, Highest: n.highest,
		Open: n.open, TopUps: n.topUps, Writing: n.writing, Disk: t.image(n), Books: n.books,
	}
	if t.scope.Asks {
		x.Life = n.life
	}
	for _, b := range n.books {
		if b.Gone {
			x.Gone = append(x.Gone, [2]map[ledger.Holder]ledger.Entry{entries(b.Disk), entries(b.Pairs)})
		}
	}
	for _, w := range n.writes {
		if w.Key != "version" || t.scope.Rows {
			x.Writes = append(x.Writes, w)
		}
	}
	if n.writing && g > 0 {
		panic("BUG: a scope with calls during writes has no symmetry: what is written names nodes")
	}
	e.value(reflect.ValueOf(&x))
	return e, e.changes
}

// intern gives the state of a node that came from parent by in a number, the same one if it is known.
func (t *table) intern(n *node, parent int32, in input) int32 {
	l := &local{node: n.i, parent: parent, in: in}
	for g := range t.group {
		e, changes := t.print(n, g)
		l.changes = changes
		if changes > 0 {
			l.chain[g] = t.chain(l, g, changes)
			e.uint(l.chain[g][0])
			e.uint(l.chain[g][1])
		}
		l.print[g] = e.sum()
	}
	if id, ok := t.byPrint[l.print[0]]; ok {
		return id
	}
	l.up, l.writing, l.clock, l.policy, l.open = n.r != nil, n.writing, n.clock, n.policy, n.open
	l.pending = l.up && n.r.Pending()
	l.books = cloneBooks(n.books)
	if l.up {
		l.live = n
	} else {
		l.base = n.frozen()
	}
	id := int32(len(t.locals))
	t.locals = append(t.locals, l)
	t.byPrint[l.print[0]] = id
	return id
}

// chain tells apart the changes that wait for the disk. They are functions; but what they do follows from the state
// in which they came up and the input that brought them.
func (t *table) chain(l *local, g, changes int) print128 {
	if l.parent < 0 {
		panic("BUG: a scope starts with changes that wait for the disk")
	}
	p := t.locals[l.parent]
	if changes == p.changes && l.in.then != abort {
		return p.chain[g]
	}
	e := t.encoder(g)
	e.uint(p.print[g][0])
	e.uint(p.print[g][1])
	e.uint(uint64(l.in.kind))
	e.uint(uint64(l.in.then))
	e.uint(uint64(l.in.budget))
	switch l.in.kind {
	case receive:
		m := &t.messages[l.in.arg]
		e.uint(m.print[g][0])
		e.uint(m.print[g][1])
	case rights, shares, leave, reserve, offer:
		to := l.in.to
		if to >= 0 {
			to = int8(t.group[g][to])
		}
		e.uint(uint64(to + 1))
		e.uint(uint64(l.in.arg))
	default:
		e.uint(uint64(l.in.arg))
	}
	return e.sum()
}

// node brings a state of a node back.
func (t *table) node(id int32) *node {
	l := t.locals[id]
	if n := l.live; n != nil {
		l.live = nil
		return n
	}
	var ins []input
	var n *node
	for n == nil {
		switch {
		case l.base != nil:
			n = l.base.frozen()
		case l.parent < 0:
			var err error
			if n, err = t.newNode(l.node); err != nil {
				panic(fmt.Sprintf("BUG: a scope does not start a second time: %v", err))
			}
		default:
			ins = append(ins, l.in)
			l = t.locals[l.parent]
		}
	}
	n.again = true
	for i := len(ins) - 1; i >= 0; i-- {
		if err := t.run(n, ins[i]); err != nil {
			panic(fmt.Sprintf("BUG: the code under test does not do the same twice: %v", err))
		}
	}
	n.again, n.books = false, cloneBooks(t.locals[id].books)
	return n
}

// run has one input happen.
func (t *table) run(n *node, in input) error {
	t.runs++
	var msg any
	if in.kind == receive {
		msg = t.messages[in.arg].msg
	}
	return n.do(in, msg)
}

// result is what an input leads to from a state.
func (t *table) result(id int32, in input) result {
	n := t.node(id)
	if err := t.run(n, in); err != nil {
		return result{in: in, to: id, err: err}
	}
	r := result{in: in, flow: n.flow}
	for _, s := range n.sent {
		r.sent = append(r.sent, t.message(n.i, s))
	}
	r.to = t.intern(n, id, in)
	r.same = r.to == id && len(r.sent) == 0
	return r
}

// results are what may happen to a node, apart from messages.
func (t *table) results(id int32) []result {
	l := t.locals[id]
	if l.next == nil {
		l.next = []result{}
		for _, in := range t.inputs(l) {
			if r := t.result(id, in); !r.same {
				l.next = append(l.next, r)
			}
		}
	}
	return l.next
}

// receives is what a message leads to, for every end that the input may have.
func (t *table) receives(id, m int32) []result {
	l := t.locals[id]
	rs, ok := l.received[m]
	if !ok {
		ends := []input{{kind: receive, arg: m}}
		for _, in := range t.withBatches(ends) {
			if r := t.result(id, in); !r.same {
				rs = append(rs, r)
			}
		}
		if l.received == nil {
			l.received = map[int32][]result{}
		}
		l.received[m] = rs
	}
	return rs
}

// message numbers a message, after a way over the wire.
func (t *table) message(from int, s envelope) int32 {
	wire := ledger.Encode(s.msg)
	key := string(append([]byte{byte(s.to), byte(from)}, wire...))
	if m, ok := t.byBytes[key]; ok {
		return m
	}
	msg, err := ledger.Decode(bytes.Clone(wire))
	if err != nil {
		panic(fmt.Sprintf("BUG: what node %d sends does not decode: %v", from, err))
	}
	m := message{to: s.to, from: from, msg: msg}
	for g, p := range t.group {
		e := t.encoder(g)
		e.uint(uint64(p[s.to]))
		e.uint(uint64(p[from]))
		e.value(reflect.ValueOf(&msg))
		m.print[g] = e.sum()
	}
	id := int32(len(t.messages))
	t.messages = append(t.messages, m)
	t.byBytes[key] = id
	return id
}

// mix folds numbers into a fingerprint.
func mix(h print128, ns ...uint64) print128 {
	for _, n := range ns {
		h[0] = scramble(h[0] ^ n)
		h[1] = scramble(h[1] + n*0x9e3779b97f4a7c15)
	}
	return h
}

// scramble is the finalizer of splitmix64.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
