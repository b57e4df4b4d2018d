package explore

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// maxGuardNodes bounds the nodes of a guard scope.
const maxGuardNodes = 6

// guardLocal is a state of one node: as in table, production code runs once for each pair of such a state and an input.
type guardLocal struct {
	node   int
	parent int32
	in     guardInput
	base   *guardNode
	live   *guardNode
	print  print128

	up    bool
	clock time.Duration
	disk  *judge.Guards // never written to
	had   [][]byte
	held  uint64
	fresh bool

	next     []guardResult
	received map[int32][]guardResult
}

type guardResult struct {
	in   guardInput
	to   int32
	sent []int32
	err  error
	same bool
}

// guardWorld is a state of all nodes.
type guardWorld struct {
	locals [maxGuardNodes]int32
	claims int32 // what was chosen
	net    int32
	parent int32
	spent  [guardCostCount]uint8
	node   int8 // who acted; all, at -1
	act    guardInput
}

// guardClaimed is what was chosen of every node's generation.
type guardClaimed [maxGuardNodes]judge.Claim

// guardSearch is a breadth-first search of one scope.
type guardSearch struct {
	*guardMail
	s       *GuardScope
	n       int
	warm    [maxGuardNodes][]any // what each node receives first
	locals  []*guardLocal
	byPrint map[print128]int32
	worlds  []guardWorld
	seen    map[print128]struct{}
	claims  []guardClaimed
	claimed map[guardClaimed]int32
	most    [guardCostCount]uint8
	res     Result
}

// RunGuards explores a scope of guardians. An error says that the scope cannot start.
func RunGuards(s GuardScope, lim Limits) (Result, error) {
	if lim.Depth == 0 {
		lim.Depth = s.Depth
	}
	x := &guardSearch{s: &s, n: len(s.Sets), guardMail: newGuardMail(), byPrint: map[print128]int32{},
		seen: map[print128]struct{}{}, claims: make([]guardClaimed, 1), claimed: map[guardClaimed]int32{{}: 0}, most: s.Most.by(), res: Result{Scope: s.Name}}
	if err := x.begin(); err != nil {
		return x.res, err
	}
	x.res.breadthFirst(lim, func() int { return len(x.worlds) }, x.expand)
	x.res.Distinct, x.res.Locals, x.res.Messages = len(x.worlds), len(x.locals), len(x.messages)
	return x.res, nil
}

// begin has the start of the scope as the only state.
func (x *guardSearch) begin() error {
	root := guardWorld{parent: -1}
	if !x.s.Cold {
		if err := x.warmUp(); err != nil {
			return err
		}
	}
	for i := range x.n {
		n, err := x.start(i)
		if err != nil {
			return err
		}
		if x.s.Cold {
			for _, s := range n.sent {
				root.net = x.sent(root.net, x.message(i, x.index(s.To), s.Message))
			}
		}
		root.locals[i] = x.intern(n, -1, guardInput{})
	}
	x.res.Failure = x.arrive(root)
	return nil
}

// start is a node at the start of the scope: unless it is cold, all first notes have come, and what answers them.
func (x *guardSearch) start(i int) (*guardNode, error) {
	n, err := newGuardNode(x.s, i)
	for _, msg := range x.warm[i] {
		if err == nil {
			err = n.do(guardInput{kind: guardReceive, then: commit}, msg)
		}
	}
	return n, err
}

// warmUp finds out what each node receives at the start of the scope: the first notes, and what comes of them.
func (x *guardSearch) warmUp() error {
	type post struct {
		to  int
		msg any
	}
	var way []post
	ns := make([]*guardNode, x.n)
	sent := func(n *guardNode) {
		for _, s := range n.sent {
			way = append(way, post{x.index(s.To), s.Message})
		}
	}
	for i := range ns {
		var err error
		if ns[i], err = newGuardNode(x.s, i); err != nil {
			return err
		}
		sent(ns[i])
	}
	for ; len(way) > 0; way = way[1:] {
		n := ns[way[0].to]
		if err := n.do(guardInput{kind: guardReceive, then: commit}, way[0].msg); err != nil {
			return err
		}
		x.warm[n.i] = append(x.warm[n.i], way[0].msg)
		sent(n)
	}
	return nil
}

func (x *guardSearch) index(h ledger.Holder) int { return int(h.Node[1] - '0') }

func (x *guardSearch) expand(k int32) *Failure {
	for i := range x.n {
		w := x.worlds[k]
		id := w.locals[i]
		for j, rs := 0, x.results(id); j < len(rs); j++ {
			if f := x.act(k, i, &rs[j]); f != nil {
				return f
			}
		}
		if !x.locals[id].up {
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
	for j := range x.s.Pass {
		if f := x.pass(k, guardInput{kind: guardPass, arg: int32(j)}); f != nil {
			return f
		}
	}
	return nil
}

func (x *guardSearch) pay(w *guardWorld, in *guardInput) bool {
	c := in.cost()
	if c != guardFree {
		if w.spent[c] == x.most[c] {
			return false
		}
		w.spent[c]++
	}
	return true
}

func (x *guardSearch) act(k int32, i int, r *guardResult) *Failure {
	w := x.worlds[k]
	if !x.pay(&w, &r.in) {
		return nil
	}
	if r.in.kind == guardDrift && !x.drifts(&w, i) {
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

// drifts reports whether a clock may go ahead of the others: once.
func (x *guardSearch) drifts(w *guardWorld, i int) bool {
	for j := range x.n {
		if x.locals[w.locals[i]].clock > x.locals[w.locals[j]].clock {
			return false
		}
	}
	return true
}

// pass has all clocks go on.
func (x *guardSearch) pass(k int32, in guardInput) *Failure {
	w := x.worlds[k]
	if !x.pay(&w, &in) {
		return nil
	}
	x.res.Explored++
	w.parent, w.node, w.act = k, -1, in
	for i := range x.n {
		w.locals[i] = x.received(w.locals[i], -1-in.arg, in)[0].to
	}
	return x.arrive(w)
}

// arrive takes a state in, unless it is known, and judges it.
func (x *guardSearch) arrive(w guardWorld) *Failure {
	err := x.judge(&w)
	var tail [2]uint64
	for i, n := range w.spent {
		tail[i/8] |= uint64(n) << (i % 8 * 8)
	}
	h := mix(print128{}, tail[0], tail[1])
	for i := range x.n {
		p := x.locals[w.locals[i]].print
		h = mix(h, p[0], p[1])
	}
	p := x.nets[w.net].print
	h = mix(h, p[0], p[1], uint64(w.claims))
	if _, ok := x.seen[h]; ok {
		return nil
	}
	x.seen[h] = struct{}{}
	if err != nil {
		return x.fail(w, err)
	}
	x.worlds = append(x.worlds, w)
	return nil
}

// judge judges all nodes together.
func (x *guardSearch) judge(w *guardWorld) error {
	claims := x.claims[w.claims]
	for i := range x.n {
		if len(x.s.Sets[i]) == 0 {
			continue
		}
		of, owner := guardHolder(i), x.locals[w.locals[i]]
		var set []*judge.Guards
		for _, g := range x.s.Sets[i] {
			set = append(set, x.locals[w.locals[g]].disk)
		}
		c := &claims[i]
		chosen := judge.Chosen(of, set)
		if err := c.Take(of, chosen, owner.held); err != nil {
			return err
		}
		for j := range x.n {
			if d := x.locals[w.locals[j]].disk.Ward(of); d.Decided {
				if err := c.Take(of, d.Value, owner.held); err != nil {
					return err
				}
				chosen = d.Value
			}
		}
		for j := range x.n {
			if err := x.copies(of, owner, x.locals[w.locals[j]].disk); err != nil {
				return err
			}
		}
		if chosen != nil {
			var disks []*judge.Guards
			for j := range x.n {
				disks = append(disks, x.locals[w.locals[j]].disk)
			}
			if _, err := judge.Records(of, chosen, disks); err != nil {
				return err
			}
		}
		if err := judge.LeaseOver(of, set, owner.fresh); err != nil {
			return err
		}
	}
	id, ok := x.claimed[claims]
	if !ok {
		id = int32(len(x.claims))
		x.claims = append(x.claims, claims)
		x.claimed[claims] = id
	}
	w.claims = id
	for i := range x.n {
		err := judge.Heirs(guardHolder(i), func(h ledger.Holder) (ledger.Holder, bool) {
			c := claims[x.index(h)]
			return c.Heir, c.Version > 0 && h.Gen == 1
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copies judges what a disk has of a generation: all that its owner had at one version, and nothing else.
func (x *guardSearch) copies(of ledger.Holder, owner *guardLocal, disk *judge.Guards) error {
	v := disk.Ward(of).Version
	rs := disk.Copies(of)
	if v == 0 && len(rs) == 0 {
		return nil
	}
	same := v < uint64(len(owner.had)) && len(rs) == max(1, x.s.Parts)
	for _, r := range rs {
		same = same && bytes.Equal(r.Value, owner.had[v])
	}
	if !same {
		return &judge.Violation{Invariant: judge.CopiesAreTrue, Detail: fmt.Sprintf("%v keeps %v as version %d of %v, which had %v", disk.Self, rs, v, of, owner.had)}
	}
	return nil
}

// intern gives the state of a node in a number, the same one if it is known.
func (x *guardSearch) intern(n *guardNode, parent int32, in guardInput) int32 {
	e := x.shapes.encoder(nil)
	e.value(reflect.ValueOf(&struct {
		Node    int
		Machine *guardian.Machine
		Clock   time.Duration
		Disk    *judge.Guards
		Value   []byte
		Had     [][]byte
		Held    uint64
	}{n.i, n.m, n.clock, n.disk, n.value, n.had, n.held}))
	p := e.sum()
	if id, ok := x.byPrint[p]; ok {
		return id
	}
	l := &guardLocal{node: n.i, parent: parent, in: in, print: p, up: n.m != nil, clock: n.clock, disk: n.disk.Clone(), had: n.had, held: n.held, fresh: n.fresh()}
	if l.up {
		l.live = n
	} else {
		l.base = n.frozen()
	}
	id := int32(len(x.locals))
	x.locals = append(x.locals, l)
	x.byPrint[p] = id
	return id
}

// node brings a state of a node back.
func (x *guardSearch) node(id int32) *guardNode {
	l := x.locals[id]
	if n := l.live; n != nil {
		l.live = nil
		return n
	}
	var ins []guardInput
	var n *guardNode
	for n == nil {
		switch {
		case l.base != nil:
			n = l.base.frozen()
		case l.parent < 0:
			var err error
			if n, err = x.start(l.node); err != nil {
				panic(fmt.Sprintf("BUG: a scope does not start a second time: %v", err))
			}
		default:
			ins = append(ins, l.in)
			l = x.locals[l.parent]
		}
	}
	for i := len(ins) - 1; i >= 0; i-- {
		if err := x.run(n, ins[i]); err != nil {
			panic(fmt.Sprintf("BUG: the code under test does not do the same twice: %v", err))
		}
	}
	return n
}

func (x *guardSearch) run(n *guardNode, in guardInput) error {
	x.res.Runs++
	var msg any
	if in.kind == guardReceive {
		msg = x.messages[in.arg].msg
	}
	return n.do(in, msg)
}

func (x *guardSearch) result(id int32, in guardInput) guardResult {
	n := x.node(id)
	if err := x.run(n, in); err != nil {
		return guardResult{in: in, to: id, err: err}
	}
	r := guardResult{in: in}
	for _, s := range n.sent {
		r.sent = append(r.sent, x.message(n.i, x.index(s.To), s.Message))
	}
	r.to = x.intern(n, id, in)
	r.same = r.to == id && len(r.sent) == 0
	return r
}

// results are what may happen to a node, apart from messages.
func (x *guardSearch) results(id int32) []guardResult {
	l := x.locals[id]
	if l.next == nil {
		l.next = []guardResult{}
		for _, in := range x.inputs(l) {
			for _, in := range x.ends(l.node, in) {
				if r := x.result(id, in); !r.same {
					l.next = append(l.next, r)
				}
			}
		}
	}
	return l.next
}

func (x *guardSearch) receives(id, m int32) []guardResult {
	return x.received(id, m, guardInput{kind: guardReceive, arg: m})
}

// received is what a message leads to, or what all clocks do, under a number that no message has.
func (x *guardSearch) received(id, key int32, in guardInput) []guardResult {
	l := x.locals[id]
	rs, ok := l.received[key]
	if !ok {
		for _, in := range x.ends(l.node, in) {
			if r := x.result(id, in); !r.same || in.kind != guardReceive {
				rs = append(rs, r)
			}
		}
		if l.received == nil {
			l.received = map[int32][]guardResult{}
		}
		l.received[key] = rs
	}
	return rs
}

// inputs lists what a node may do of its own.
func (x *guardSearch) inputs(l *guardLocal) (ins []guardInput) {
	i := l.node
	if _, ok := x.s.Drift[i]; ok {
		ins = append(ins, guardInput{kind: guardDrift})
	}
	if !l.up {
		return append(ins, guardInput{kind: guardRestart})
	}
	if len(x.s.Sets[i]) > 0 {
		ins = append(ins, guardInput{kind: guardPut})
	}
	if slices.Contains(x.s.Ticks, i) {
		ins = append(ins, guardInput{kind: guardTick})
	}
	for _, c := range x.s.Claims {
		if c[0] == i {
			ins = append(ins, guardInput{kind: guardClaim, to: int8(c[1])})
		}
	}
	if slices.Contains(x.s.Next, i) {
		ins = append(ins, guardInput{kind: guardNext})
	}
	if slices.Contains(x.s.Renames, i) {
		ins = append(ins, guardInput{kind: guardSet})
	}
	if slices.Contains(x.s.Release, i) {
		ins = append(ins, guardInput{kind: guardRelease})
	}
	return ins
}

// ends gives an input all ends that it can have.
func (x *guardSearch) ends(i int, in guardInput) (ins []guardInput) {
	if in.kind == guardPass || in.kind == guardDrift {
		return []guardInput{in}
	}
	for o := commit; o <= crashAfter; o++ {
		if o == commit || o == abort && slices.Contains(x.s.Aborts, i) || o > abort && slices.Contains(x.s.Crashes, i) {
			in.then = o
			ins = append(ins, in)
		}
	}
	return ins
}

// fail tells how a state came about in which a promise is broken.
func (x *guardSearch) fail(w guardWorld, err error) *Failure {
	f := &Failure{Scope: x.s.Name, Err: err, Test: "TestGuardScopes"}
	ws := []guardWorld{w}
	for ws[len(ws)-1].parent >= 0 {
		ws = append(ws, x.worlds[ws[len(ws)-1].parent])
	}
	slices.Reverse(ws)
	ns := make([]*guardNode, x.n)
	for i := range ns {
		ns[i], _ = x.start(i)
	}
	f.After = x.describe(ns)
	for _, step := range ws[1:] {
		f.Before = f.After
		if step.node < 0 {
			for _, n := range ns {
				_ = x.run(n, step.act)
			}
			f.Path = append(f.Path, fmt.Sprintf("all clocks go on by %v", x.s.Pass[step.act.arg]))
		} else {
			n := ns[step.node]
			if err := x.run(n, step.act); err != nil {
				n.note = strings.TrimPrefix(n.note+"; this breaks a promise", "; ")
			}
			f.Path = append(f.Path, x.say(n, step.act))
		}
		f.After = x.describe(ns)
	}
	return f
}

// say tells one action in words.
func (x *guardSearch) say(n *guardNode, in guardInput) string {
	var s string
	switch in.kind {
	case guardPut:
		s = "writes its record"
	case guardReceive:
		m := x.messages[in.arg]
		s = fmt.Sprintf("receives from n%d %s", m.from, tellGuard(m.msg))
	case guardTick:
		s = "ticks"
	case guardClaim:
		s = fmt.Sprintf("claims n%d", in.to)
	case guardNext:
		s = "claims its own generation"
	case guardRelease:
		s = "gives up its lease"
	case guardSet:
		s = "names other guardians"
	case guardDrift:
		s = fmt.Sprintf("has its clock go ahead by %v", x.s.Drift[n.i])
	case guardRestart:
		s = "restarts"
	}
	if n.note != "" {
		s += " (" + n.note + ")"
	}
	s += [...]string{"", "", "; its write fails", "; it crashes before the write", "; it crashes after the write"}[in.then]
	for _, m := range n.sent {
		s += fmt.Sprintf("; tells %s %s", m.To.Node, tellGuard(m.Message))
	}
	return fmt.Sprintf("n%d %s", n.i, s)
}

// tellGuard says what a message tells.
func tellGuard(msg any) string {
	switch m := msg.(type) {
	case *guardian.Note:
		return fmt.Sprintf("note{(%d, %d] sent %v, %d records%s}", m.Since, m.Version, m.Sent, len(m.Records), more(m.More))
	case *guardian.NoteAck:
		return fmt.Sprintf("ack{%d sent %v}", m.Version, m.Sent)
	case *guardian.Prepare:
		return fmt.Sprintf("prepare{%s, %v}", m.Of.Node, m.Ballot)
	case *guardian.Promise:
		s := fmt.Sprintf("promise{%s, %v, has %d", m.Of.Node, m.Ballot, m.Stored.Version)
		if m.Value != nil {
			s += fmt.Sprintf(", accepted %v: %d for %v", m.Accepted, m.Value.Version, m.Value.Heir)
		}
		return s + "}"
	case *guardian.Accept:
		return fmt.Sprintf("accept{%s, %v: %d for %v}", m.Of.Node, m.Ballot, m.Value.Version, m.Value.Heir)
	case *guardian.Accepted:
		return fmt.Sprintf("accepted{%s, %v}", m.Of.Node, m.Ballot)
	case *guardian.Reject:
		return fmt.Sprintf("reject{%s, %v for %v, wait %v}", m.Of.Node, m.Ballot, m.Promised, m.Wait)
	case *guardian.Decided:
		return fmt.Sprintf("decided{%s: %d for %v}", m.Of.Node, m.Value.Version, m.Value.Heir)
	case *guardian.Fetch:
		return fmt.Sprintf("fetch{%s (%d, %d] after %q}", m.Of.Node, m.Since, m.Version, m.After)
	case *guardian.Part:
		return fmt.Sprintf("part{%s (%d, %d] after %q: %d records%s}", m.Of.Node, m.Since, m.Version, m.After, len(m.Records), more(m.More))
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", msg), "*guardian.")
}

func more(m bool) string {
	if m {
		return " and more"
	}
	return ""
}

// describe shows nodes as they are.
func (x *guardSearch) describe(ns []*guardNode) (out []string) {
	for _, n := range ns {
		s := fmt.Sprintf("n%d at %v", n.i, n.clock)
		if n.m == nil {
			s += " is down"
		}
		if o := n.disk.Own; o != nil {
			s += fmt.Sprintf(", version %d", o.Version)
			if n.m != nil {
				end, ok := n.m.Lease()
				s += fmt.Sprintf(", held %d, lease until %v (%v)", n.m.Held(), end, ok)
			}
		}
		out = append(out, s)
		for j := range x.n {
			if w := n.disk.Ward(guardHolder(j)); w.Set != nil || w.Promised != (guardian.Ballot{}) {
				s := fmt.Sprintf("   of n%d: version %d, promised %v, accepted %v", j, w.Version, w.Promised, w.Accepted)
				if w.Value != nil {
					s += fmt.Sprintf(": version %d for %v, decided %v", w.Value.Version, w.Value.Heir, w.Decided)
				}
				out = append(out, s)
			}
		}
	}
	return out
}
