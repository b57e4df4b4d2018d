package explore

import (
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// Limits end a search.
type Limits struct {
	Depth  int         // actions on the longest path; 0: the scope's own
	States int         // distinct states of the swarm; 0: no limit
	Stop   func() bool // asked now and then; nil: never
}

// Result is what a search found.
type Result struct {
	Scope    string
	Depth    int  // every path of so many actions was explored
	Complete bool // there are no longer paths: the scope is explored to its end
	Cut      bool // States or Stop ended the search before the depth that was asked for
	Explored int  // actions taken
	Distinct int  // states of the swarm
	Locals   int  // states of a node
	Messages int  // distinct ones
	Runs     int  // inputs given to production code
	Rested   int  // states from which the swarm was seen to come to rest
	Layers   []int
	Failure  *Failure // nil: no promise is broken
}

// String is the result in one line.
func (r Result) String() string {
	end := fmt.Sprintf("all paths of %d actions", r.Depth)
	switch {
	case r.Complete:
		end = fmt.Sprintf("complete after %d actions", r.Depth)
	case r.Cut:
		end += " and some longer"
	}
	return fmt.Sprintf("%s: %s, %d explored, %d distinct (%d of a node, %d messages, %d runs of production code), rest seen from %d",
		r.Scope, end, r.Explored, r.Distinct, r.Locals, r.Messages, r.Runs, r.Rested)
}

// world is a state of the swarm.
type world struct {
	locals [nodes]int32
	net    int32
	flows  int32
	parent int32
	spent  [costs]uint8
	node   int8 // who acted; all, at -1
	act    input
}

// network is the set of messages that were ever sent. A message stays: that it arrives late, twice or never are all
// orders in which it may arrive, and with one fewer nothing can happen that cannot happen with it.
type network struct {
	of    [nodes][]int32 // by receiver
	print [2]print128
}

type netPlus struct{ net, message int32 }

type flowPlus struct {
	flows int32
	at    ledger.Instant
	n     ledger.Tokens
}

// search is a breadth-first search of one scope.
type search struct {
	*table
	worlds []world
	seen   map[print128]struct{}
	nets   []network
	adds   map[netPlus]int32
	flows  []judge.Flows
	flowed map[flowPlus]int32
	most   [costs]uint8
	sample []sampled
	apart  bool // alike nodes are told apart, in a test
	books  []*judge.Book
	res    Result
}

// Run explores a scope. An error says that the scope cannot start.
func Run(s Scope, lim Limits) (Result, error) {
	if lim.Depth == 0 {
		lim.Depth = s.Depth
	}
	x, err := newSearch(&s)
	if err != nil {
		return Result{Scope: s.Name}, err
	}
	x.res.breadthFirst(lim, func() int { return len(x.worlds) }, x.expand)
	if x.res.Failure == nil {
		x.res.Failure = x.restAll()
	}
	x.res.Distinct, x.res.Locals, x.res.Messages, x.res.Runs = len(x.worlds), len(x.locals), len(x.messages), x.runs
	return x.res, nil
}

// newSearch has the start of a scope as its only state.
func newSearch(s *Scope) (*search, error) {
	x := &search{
		table: newTable(s), seen: map[print128]struct{}{}, nets: make([]network, 1), adds: map[netPlus]int32{},
		flows: make([]judge.Flows, 1), flowed: map[flowPlus]int32{}, most: s.Most.by(), books: make([]*judge.Book, nodes),
		res: Result{Scope: s.Name},
	}
	root := world{parent: -1}
	for i := range nodes {
		n, err := x.newNode(i)
		if err != nil {
			return nil, err
		}
		for _, e := range n.sent {
			root.net = x.sent(root.net, x.message(i, e))
		}
		root.locals[i] = x.intern(n, -1, input{})
	}
	x.res.Failure = x.arrive(root)
	return x, nil
}

// breadthFirst expands states in the order in which they were found, until a promise is broken or a limit ends it. known
// is how many there are.
func (r *Result) breadthFirst(lim Limits, known func() int, expand func(k int32) *Failure) {
	if r.Failure != nil {
		return
	}
	lo := 0
	for ; r.Depth < lim.Depth && lo < known(); r.Depth++ {
		hi := known()
		r.Layers = append(r.Layers, hi-lo)
		for ; lo < hi; lo++ {
			if r.Failure = expand(int32(lo)); r.Failure != nil {
				return
			}
			if lim.States > 0 && known() >= lim.States || lim.Stop != nil && lo%256 == 0 && lim.Stop() {
				r.Cut = true
				return
			}
		}
	}
	r.Complete = lo == known()
}

// expand takes every action from a state.
func (x *search) expand(k int32) *Failure {
	for i := range nodes {
		w := x.worlds[k]
		id := w.locals[i]
		for j, rs := 0, x.results(id); j < len(rs); j++ {
			if f := x.act(k, i, &rs[j]); f != nil {
				return f
			}
		}
		l := x.table.locals[id]
		if !l.up || l.writing {
			continue
		}
		for _, m := range x.nets[w.net].of[i] {
			for j, rs := 0, x.receives(id, m); j < len(rs); j++ {
				if f := x.act(k, i, &rs[j]); f != nil {
					return f
				}
			}
		}
	}
	if x.scope.Together {
		for _, ms := range x.scope.Steps {
			if f := x.stepAll(k, ms); f != nil {
				return f
			}
		}
	}
	return nil
}

// act has one node take one action.
func (x *search) act(k int32, i int, r *result) *Failure {
	w := x.worlds[k]
	c := r.in.cost()
	if c != free {
		if w.spent[c] == x.most[c] {
			return nil
		}
		w.spent[c]++
	}
	if r.in.moves() && !x.together(&w, i, ledger.Instant(r.in.arg)) {
		return nil
	}
	x.res.Explored++
	w.parent, w.node, w.act = k, int8(i), r.in
	if r.err != nil {
		return x.fail(w, r.err)
	}
	w.locals[i] = r.to
	for _, m := range r.sent {
		w.net = x.sent(w.net, m)
	}
	if r.flow != 0 {
		w.flows = x.flow(w.flows, x.table.locals[r.to].clock, r.flow)
	}
	return x.arrive(w)
}

// together reports whether the clocks stay as near each other as they must when that of node i goes on.
func (x *search) together(w *world, i int, by ledger.Instant) bool {
	for _, id := range w.locals {
		if x.table.locals[w.locals[i]].clock+by-x.table.locals[id].clock > ledger.Instant(x.scope.Skew) {
			return false
		}
	}
	return true
}

// stepAll has all clocks go on.
func (x *search) stepAll(k int32, ms ledger.Millis) *Failure {
	w := x.worlds[k]
	if w.spent[costStep] == x.most[costStep] {
		return nil
	}
	w.spent[costStep]++
	w.parent, w.node, w.act = k, -1, input{kind: step, arg: int32(ms)}
	for i, id := range w.locals {
		if x.table.locals[id].writing {
			return nil
		}
		r := x.stepOf(id, w.act)
		if r.err != nil {
			return x.fail(w, r.err)
		}
		w.locals[i] = r.to
	}
	x.res.Explored++
	return x.arrive(w)
}

// stepOf is a clock's step, kept with the messages, under a number that none has.
func (x *search) stepOf(id int32, in input) result {
	l := x.table.locals[id]
	key := -1 - in.arg
	if rs, ok := l.received[key]; ok {
		return rs[0]
	}
	r := x.result(id, in)
	if l.received == nil {
		l.received = map[int32][]result{}
	}
	l.received[key] = []result{r}
	return r
}

// sent adds a message to a network.
func (x *search) sent(net, m int32) int32 {
	key := netPlus{net, m}
	id, ok := x.adds[key]
	if ok {
		return id
	}
	id = net
	n := x.nets[net]
	msg := &x.messages[m]
	if i, there := slices.BinarySearch(n.of[msg.to], m); !there {
		n.of[msg.to] = slices.Insert(slices.Clone(n.of[msg.to]), i, m)
		for g := range n.print {
			n.print[g][0] ^= msg.print[g][0]
			n.print[g][1] ^= msg.print[g][1]
		}
		id = x.netID(n)
	}
	x.adds[key] = id
	return id
}

// netID numbers a network. Equal ones reached by other orders get numbers of their own, which costs only memory.
func (x *search) netID(n network) int32 {
	x.nets = append(x.nets, n)
	return int32(len(x.nets) - 1)
}

// flow adds what callers of a rate were told.
func (x *search) flow(flows int32, at ledger.Instant, n ledger.Tokens) int32 {
	key := flowPlus{flows, at, n}
	id, ok := x.flowed[key]
	if !ok {
		id = int32(len(x.flows))
		x.flows = append(x.flows, x.flows[flows].Add(at, n))
		x.flowed[key] = id
	}
	return id
}

// print tells states of the swarm apart: the least over all renamings of alike nodes.
func (x *search) print(w *world) (least print128) {
	var tail [2]uint64
	for i, n := range w.spent {
		tail[i/8] |= uint64(n) << (i % 8 * 8)
	}
	for g, p := range x.group {
		if g > 0 && x.apart {
			break
		}
		var by [nodes]print128
		for i, id := range w.locals {
			by[p[i]] = x.table.locals[id].print[g]
		}
		h := mix(print128{}, tail[0], tail[1])
		for _, b := range by {
			h = mix(h, b[0], b[1])
		}
		np := x.nets[w.net].print[g]
		h = mix(h, np[0], np[1])
		for _, f := range x.flows[w.flows] {
			h = mix(h, uint64(f.At), uint64(f.Admitted), uint64(f.Refunded))
		}
		if g == 0 || h[0] < least[0] || h[0] == least[0] && h[1] < least[1] {
			least = h
		}
	}
	return least
}

// arrive takes a state in, unless it is known, and judges it.
func (x *search) arrive(w world) *Failure {
	p := x.print(&w)
	if _, ok := x.seen[p]; ok {
		return nil
	}
	x.seen[p] = struct{}{}
	x.worlds = append(x.worlds, w)
	x.consider(p, int32(len(x.worlds)-1))
	if err := x.judge(&w); err != nil {
		x.worlds = x.worlds[:len(x.worlds)-1]
		return x.fail(w, err)
	}
	return nil
}

// judge judges the swarm as a whole. Each node was judged when it came into its state.
func (x *search) judge(w *world) error {
	spec := &x.scope.Specs[0]
	for b := range x.ids {
		for i, id := range w.locals {
			x.books[i] = x.table.locals[id].books[b]
		}
		if err := judge.Together(x.books, spec.Kind, spec.Ceiling); err != nil {
			return err
		}
	}
	if spec.Kind == ledger.Rate {
		return x.flows[w.flows].Check(x.ids[0], spec, 0)
	}
	return nil
}
