package explore

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// heirLocal is a state of one node.
type heirLocal struct {
	node   int
	parent int32
	in     heirInput
	live   *heirNode
	print  print128

	self   ledger.Holder
	books  []*judge.Book   // never written to
	past   [][]heirNoted   // by generation and version
	finals [][]judge.Final // what they show
	held   [heirGenerations]uint64
	few    bool
	dead   bool
	words  map[ledger.Holder]*judge.Final // of operators, that it knows
	open   []call

	next     []heirResult
	received map[int32]heirResult
}

type heirResult struct {
	in   heirInput
	to   int32
	sent []int32
	err  error
	same bool
}

// heirClaimed is what was decided of one generation; nothing while Version is 0.
type heirClaimed struct {
	Version uint64
	Heir    ledger.Holder
}

type heirClaims [nodes][heirGenerations]heirClaimed

type heirWorld struct {
	locals [nodes]int32
	claims int32
	net    int32
	parent int32
	spent  [heirCostCount]uint8
	node   int8
	act    heirInput
}

// heirSearch is a breadth-first search of one scope.
type heirSearch struct {
	*heirSetting
	*guardMail
	locals  []*heirLocal
	byPrint map[print128]int32
	worlds  []heirWorld
	seen    map[print128]struct{}
	claims  []heirClaims
	claimed map[heirClaims]int32
	most    [heirCostCount]uint8
	res     Result
}

// RunHeirs explores a scope of heirs. An error says that the scope cannot start.
func RunHeirs(s HeirScope, lim Limits) (Result, error) {
	if lim.Depth == 0 {
		lim.Depth = s.Depth
	}
	x := &heirSearch{heirSetting: newHeirSetting(&s), guardMail: newGuardMail(signals, versions), byPrint: map[print128]int32{},
		seen: map[print128]struct{}{}, claims: make([]heirClaims, 1), claimed: map[heirClaims]int32{{}: 0},
		most: s.Most.by(), res: Result{Scope: s.Name}}
	root := heirWorld{parent: -1}
	for i := range nodes {
		n, err := x.newHeirNode(i)
		if err != nil {
			return x.res, err
		}
		root.locals[i] = x.intern(n, -1, heirInput{})
	}
	x.res.Failure = x.arrive(root)
	x.res.breadthFirst(lim, func() int { return len(x.worlds) }, x.expand)
	x.res.Distinct, x.res.Locals, x.res.Messages = len(x.worlds), len(x.locals), len(x.messages)
	return x.res, nil
}

// expand takes every action from a state.
func (x *heirSearch) expand(k int32) *Failure {
	for i := range nodes {
		w := x.worlds[k]
		id := w.locals[i]
		if x.locals[id].dead {
			continue
		}
		for j, rs := 0, x.results(id); j < len(rs); j++ {
			if rs[j].in.kind == heirHold && x.claims[w.claims][i][x.generation(id)].Version > 0 {
				continue // its guardians take no more
			}
			if rs[j].in.kind == heirVouch && !x.locals[w.locals[rs[j].in.to]].dead {
				continue
			}
			if f := x.act(k, i, &rs[j]); f != nil {
				return f
			}
		}
		for _, m := range x.nets[w.net].of[i] {
			r := x.receives(id, m)
			if r.same {
				continue
			}
			if f := x.act(k, i, &r); f != nil {
				return f
			}
		}
	}
	for _, c := range x.scope.Heirs {
		if f := x.claim(k, c[0], c[1]); f != nil {
			return f
		}
	}
	return nil
}

func (x *heirSearch) generation(id int32) int { return len(x.locals[id].past) - 1 }

func (x *heirSearch) pay(w *heirWorld, in *heirInput) bool {
	c := in.cost()
	if c != heirFree {
		if w.spent[c] == x.most[c] {
			return false
		}
		w.spent[c]++
	}
	return true
}

func (x *heirSearch) act(k int32, i int, r *heirResult) *Failure {
	w := x.worlds[k]
	if !x.pay(&w, &r.in) {
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
	return x.arrive(w)
}

// claim has the present generation of a node decided, on every version that could be, for an heir that nobody can have
// claimed: another node that is not claimed itself, or its own next generation.
func (x *heirSearch) claim(k int32, i, j int) *Failure {
	w := x.worlds[k]
	l, h := x.locals[w.locals[i]], x.locals[w.locals[j]]
	gen := len(l.past) - 1
	claims := x.claims[w.claims]
	if claims[i][gen].Version > 0 || i != j && claims[j][len(h.past)-1].Version > 0 || gen+1 == heirGenerations {
		return nil
	}
	heir := h.self
	if i == j {
		heir.Gen++
	}
	for v := max(1, l.held[gen]); v < uint64(len(l.past[gen])); v++ {
		in := heirInput{kind: heirClaim, to: int8(j), arg: int32(v)}
		w := x.worlds[k]
		if !x.pay(&w, &in) {
			return nil
		}
		x.res.Explored++
		w.parent, w.node, w.act = k, int8(i), in
		c := claims
		c[i][gen] = heirClaimed{v, heir}
		id, ok := x.claimed[c]
		if !ok {
			id = int32(len(x.claims))
			x.claims = append(x.claims, c)
			x.claimed[c] = id
		}
		w.claims = id
		for to := range nodes {
			w.net = x.sent(w.net, x.message(i, to, &guardian.Decided{Of: l.self, From: guardHolder(i), To: guardHolder(to), Value: guardian.Value{Version: v, Heir: heir}, Records: l.past[gen][v]}))
			if to != i && to != j { // or what concerns it, or one after the other
				third := x.locals[w.locals[to]].self
				about := []ledger.Holder{third} // and those that it is the heir of
				for n, gens := range c {
					for g, claimed := range gens {
						if claimed.Version > 0 && claimed.Heir == third {
							about = append(about, ledger.Holder{Node: guardHolder(n).Node, Gen: guardHolder(n).Gen + uint64(g)})
						}
					}
				}
				w.net = x.sent(w.net, x.message(i, to, &guardian.Outcome{Of: l.self, From: guardHolder(i), To: third, Value: guardian.Value{Version: v, Heir: heir}, Records: ledger.Concerning(l.past[gen][v], about), About: about}))
			}
		}
		if f := x.arrive(w); f != nil {
			return f
		}
	}
	return nil
}

func (x *heirSearch) arrive(w heirWorld) *Failure {
	var tail [2]uint64
	for i, n := range w.spent {
		tail[i/8] |= uint64(n) << (i % 8 * 8)
	}
	h := mix(print128{}, tail[0], tail[1], uint64(w.claims))
	for _, id := range w.locals {
		p := x.locals[id].print
		h = mix(h, p[0], p[1])
	}
	p := x.nets[w.net].print
	h = mix(h, p[0], p[1])
	if _, ok := x.seen[h]; ok {
		return nil
	}
	x.seen[h] = struct{}{}
	if err := x.judge(&w); err != nil {
		return x.fail(w, err)
	}
	x.worlds = append(x.worlds, w)
	return nil
}

// judge judges all nodes together, in all their generations.
func (x *heirSearch) judge(w *heirWorld) error {
	var books []*judge.Book
	claims := &x.claims[w.claims]
	for i, id := range w.locals {
		for gen, b := range x.locals[id].books {
			if v := claims[i][gen].Version; v > 0 {
				c := *b
				c.Final = &x.locals[id].finals[gen][v]
				b = &c
			}
			for _, o := range w.locals {
				if f := x.locals[o].words[b.Self]; f != nil && b.Final == nil {
					c := *b
					c.Final = f
					b = &c
				}
			}
			books = append(books, b)
		}
	}
	if err := judge.Together(books, x.scope.Spec.Kind, x.scope.Spec.Ceiling); err != nil {
		return err
	}
	k := 0
	for i, id := range w.locals {
		l := x.locals[id]
		for gen := range l.books {
			b := books[k]
			k++
			if b.Final != nil && b.Final.Word {
				if err := b.Final.Covers(b, books, x.scope.Spec); err != nil {
					return err
				}
			}
			from, to := max(1, l.held[gen]), uint64(len(l.past[gen]))
			if v := claims[i][gen].Version; v > 0 {
				from, to = v, v+1
			}
			for v := from; v < to; v++ {
				if err := l.finals[gen][v].Covers(b, books, x.scope.Spec); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// intern gives the state of a node in a number, the same one if it is known.
func (x *heirSearch) intern(n *heirNode, parent int32, in heirInput) int32 {
	e := x.shapes.encoder(nil)
	e.value(reflect.ValueOf(&struct {
		Node    int
		Self    ledger.Holder
		Replica *ledger.Replica
		Disk    []ledger.Write
		Books   []*judge.Book
		Past    [][]heirNoted
		Held    [heirGenerations]uint64
		Few     bool
		Dead    bool
		Gone    [nodes]bool
		Open    []call
	}{n.i, n.self, n.r, n.disk.Records(), n.books, n.past, n.held, n.few, n.dead, n.gone, n.open}))
	p := e.sum()
	if id, ok := x.byPrint[p]; ok {
		return id
	}
	l := &heirLocal{node: n.i, parent: parent, in: in, live: n, print: p, self: n.self, books: slices.Clone(n.books), past: n.past, held: n.held, few: n.few, dead: n.dead, words: x.words(n), open: n.open}
	for _, noted := range n.past {
		fs := make([]judge.Final, len(noted))
		for v := range noted {
			f, err := judge.ReadFinal(noted[v], x.id)
			if err != nil {
				panic(fmt.Sprintf("BUG: %v", err)) // the disk was read before
			}
			fs[v] = f
		}
		l.finals = append(l.finals, fs)
	}
	id := int32(len(x.locals))
	x.locals = append(x.locals, l)
	x.byPrint[p] = id
	return id
}

// words reads what operators have decided, by the node's disk.
func (x *heirSearch) words(n *heirNode) map[ledger.Holder]*judge.Final {
	var fs map[ledger.Holder]*judge.Final
	for _, g := range n.disk.Guards().Records() {
		w := g.Ward
		if w == nil || !w.Decided || !w.Value.IsWord() || w.Version != w.Value.Version {
			continue
		}
		f, err := judge.ReadFinal(n.disk.Guards().Copies(w.Of), x.id)
		if err != nil {
			panic(fmt.Sprintf("BUG: %v", err))
		}
		f.Word = true
		if fs == nil {
			fs = map[ledger.Holder]*judge.Final{}
		}
		fs[w.Of] = &f
	}
	return fs
}

// node brings a state of a node back.
func (x *heirSearch) node(id int32) *heirNode {
	l := x.locals[id]
	if n := l.live; n != nil {
		l.live = nil
		return n
	}
	var ins []heirInput
	for l.parent >= 0 {
		ins = append(ins, l.in)
		l = x.locals[l.parent]
	}
	n, err := x.newHeirNode(l.node)
	for i := len(ins) - 1; i >= 0 && err == nil; i-- {
		err = x.run(n, ins[i])
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: the code under test does not do the same twice: %v", err))
	}
	return n
}

func (x *heirSearch) run(n *heirNode, in heirInput) error {
	x.res.Runs++
	var msg any
	if in.kind == heirReceive {
		msg = x.messages[in.arg].msg
	}
	return n.do(in, msg)
}

func (x *heirSearch) result(id int32, in heirInput) heirResult {
	n := x.node(id)
	if err := x.run(n, in); err != nil {
		return heirResult{in: in, to: id, err: err}
	}
	r := heirResult{in: in}
	for _, s := range n.sent {
		r.sent = append(r.sent, x.message(n.i, s.to, s.msg))
	}
	r.to = x.intern(n, id, in)
	r.same = r.to == id && len(r.sent) == 0
	return r
}

func (x *heirSearch) results(id int32) []heirResult {
	l := x.locals[id]
	if l.next == nil {
		l.next = []heirResult{}
		for _, in := range x.inputs(l) {
			if r := x.result(id, in); !r.same {
				l.next = append(l.next, r)
			}
		}
	}
	return l.next
}

func (x *heirSearch) receives(id, m int32) heirResult {
	l := x.locals[id]
	r, ok := l.received[m]
	if !ok {
		r = x.result(id, heirInput{kind: heirReceive, arg: m})
		if l.received == nil {
			l.received = map[int32]heirResult{}
		}
		l.received[m] = r
	}
	return r
}

// inputs lists what a node may do of its own.
func (x *heirSearch) inputs(l *heirLocal) (ins []heirInput) {
	s := x.scope
	for _, n := range s.Calls {
		ins = append(ins, heirInput{kind: heirReserve, arg: int32(n)})
	}
	for k := range l.open {
		for _, used := range s.Used {
			ins = append(ins, heirInput{kind: heirSettle, arg: int32(k)<<8 | int32(used)})
		}
	}
	for j := range nodes {
		if j == l.node {
			continue
		}
		for _, n := range s.Rights {
			ins = append(ins, heirInput{kind: heirRights, to: int8(j), arg: int32(n)})
		}
		for k := range s.Shares {
			ins = append(ins, heirInput{kind: heirShares, to: int8(j), arg: int32(k)})
		}
	}
	ins = append(ins, heirInput{kind: heirTick}, heirInput{kind: heirHold})
	if s.Word && l.node == 0 {
		ins = append(ins, heirInput{kind: heirDie})
	}
	if s.Word && l.node == 1 {
		ins = append(ins, heirInput{kind: heirVouch, to: 0})
	}
	if s.Crashes {
		ins = append(ins, heirInput{kind: heirCrash})
	}
	if s.Members && !l.few {
		ins = append(ins, heirInput{kind: heirMembers})
	}
	return ins
}

// fail tells how a state came about in which a promise is broken.
func (x *heirSearch) fail(w heirWorld, err error) *Failure {
	f := &Failure{Scope: x.scope.Name, Err: err, Test: "TestHeirScopes"}
	ws := []heirWorld{w}
	for ws[len(ws)-1].parent >= 0 {
		ws = append(ws, x.worlds[ws[len(ws)-1].parent])
	}
	slices.Reverse(ws)
	var ns [nodes]*heirNode
	for i := range ns {
		ns[i], _ = x.newHeirNode(i)
	}
	f.After = x.describe(ns[:])
	for _, step := range ws[1:] {
		f.Before = f.After
		n := ns[step.node]
		if step.act.kind != heirClaim {
			if err := x.run(n, step.act); err != nil {
				n.note = strings.TrimPrefix(n.note+"; this breaks a promise", "; ")
			}
		}
		f.Path = append(f.Path, x.say(n, step.act))
		f.After = x.describe(ns[:])
	}
	return f
}

func (x *heirSearch) say(n *heirNode, in heirInput) string {
	var s string
	switch in.kind {
	case heirReserve:
		s = fmt.Sprintf("reserves %d and ticks", in.arg)
	case heirSettle:
		s = fmt.Sprintf("settles call %d, of which %d %% was used", in.arg>>8, in.arg&0xff)
	case heirRights:
		s = fmt.Sprintf("gives n%d %d rights", in.to, in.arg)
	case heirShares:
		s = fmt.Sprintf("gives n%d %d shares", in.to, x.scope.Shares[in.arg])
	case heirTick:
		s = "ticks"
	case heirHold:
		s = "has its present version held"
	case heirReceive:
		m := x.messages[in.arg]
		if s = tellGuard(m.msg); strings.HasPrefix(s, "*") {
			s = tell(m.msg)
		}
		s = fmt.Sprintf("receives from n%d %s", m.from, s)
	case heirCrash:
		s = "crashes and restarts"
	case heirMembers:
		s = "sees fewer than four members"
	case heirDie:
		s = "dies"
	case heirVouch:
		s = fmt.Sprintf("hears an operator vouch for the death of n%d", in.to)
	case heirClaim:
		return fmt.Sprintf("%v is claimed at version %d for n%d", n.self, in.arg, in.to)
	}
	if n.note != "" {
		s += " (" + n.note + ")"
	}
	for _, m := range n.sent {
		s += fmt.Sprintf("; tells n%d %s", m.to, tell(m.msg))
	}
	return fmt.Sprintf("%v %s", n.self, s)
}

func (x *heirSearch) describe(ns []*heirNode) (out []string) {
	for _, n := range ns {
		s := fmt.Sprintf("%v held %v", n.self, n.held)
		if own := n.disk.Guards().Own; own != nil {
			s += fmt.Sprintf(" of %d", own.Version)
		}
		if a := n.r.Account(x.id); a != nil {
			live, _, _, _ := a.Peek()
			s += ": " + account(&live)
		}
		n.r.EachEntry(x.id, func(peer ledger.Holder, e ledger.Entry) {
			s += fmt.Sprintf("; with %v %s back %d", peer, entry(&e), e.Back)
		})
		n.r.EachDue(x.id, func(from, to ledger.Holder, d ledger.Due) { s += fmt.Sprintf("; due of %v to %v %+v", from, to, d) })
		out = append(out, s)
	}
	return out
}
