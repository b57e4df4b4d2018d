package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// guardNode is a node that runs: the production machine with a disk and a clock.
type guardNode struct {
	s     *GuardScope
	i     int
	m     *guardian.Machine // nil while down
	clock time.Duration
	disk  *judge.Guards
	value []byte   // of all records of its own, on disk
	had   [][]byte // what it was, by version
	held  uint64   // the highest version that was ever relied on

	sent []guardian.Send
	note string
}

func guardHolder(i int) ledger.Holder { return ledger.Holder{Node: fmt.Sprintf("n%d", i), Gen: 1} }

func (s *GuardScope) set(i int) (hs []ledger.Holder) {
	for _, g := range s.Sets[i] {
		hs = append(hs, guardHolder(g))
	}
	return hs
}

func newGuardNode(s *GuardScope, i int) (*guardNode, error) {
	n := &guardNode{s: s, i: i, disk: judge.NewGuards(guardHolder(i)), had: [][]byte{nil}}
	n.boot()
	if set := s.set(i); len(set) > 0 {
		n.value = []byte{1}
		if err := n.m.Guard(set, n.records()); err != nil {
			return nil, err
		}
	}
	return n, n.batch(commit)
}

func (n *guardNode) records() []guardian.Record {
	if n.value == nil {
		return nil
	}
	var rs []guardian.Record
	for i := range max(1, n.s.Parts) {
		rs = append(rs, guardian.Record{Key: fmt.Sprintf("r%d", i), Value: n.value})
	}
	return rs
}

func (n *guardNode) boot() {
	n.m = guardian.New(guardHolder(n.i), 1)
	n.m.SetLease(guardLease)
	if n.s.Parts > 0 {
		n.m.SetPart(1)
	}
	n.m.Load(n.clock, n.disk.Records(), n.records())
}

// do has one input happen, with the batch that ends it.
func (n *guardNode) do(in guardInput, msg any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	n.sent, n.note = nil, ""
	switch in.kind {
	case guardPut:
		n.value = []byte{n.value[0] + 1}
		n.m.Put(n.records()...)
	case guardReceive:
		if refused := n.m.Receive(n.clock, msg); refused != nil {
			n.note = "refused: " + refused.Error()
		}
	case guardTick:
		n.m.Tick(n.clock)
	case guardClaim:
		if refused := n.m.Claim(n.clock, guardHolder(int(in.to)), guardHolder(n.i)); refused != nil {
			n.note = "refused: " + refused.Error()
		}
	case guardNext:
		if refused := n.m.Claim(n.clock, guardHolder(n.i), ledger.Holder{Node: guardHolder(n.i).Node, Gen: 2}); refused != nil {
			n.note = "refused: " + refused.Error()
		}
	case guardRelease:
		n.m.Release()
	case guardSet:
		set := n.s.set(n.i)
		for k := range set {
			set[k] = guardHolder((int(set[k].Node[1]-'0') + 1) % len(n.s.Sets))
		}
		if refused := n.m.Guard(set, n.records()); refused != nil {
			n.note = "refused: " + refused.Error()
		}
	case guardPass:
		n.clock += n.s.Pass[in.arg]
		return nil
	case guardDrift:
		n.clock += n.s.Drift[n.i]
		return nil
	case guardRestart:
		n.boot()
	}
	return n.batch(in.then)
}

// batch completes the batch.
func (n *guardNode) batch(o outcome) error {
	put := n.m.Guarded() && n.m.Next() > 0
	ws := n.m.Writes()
	switch o {
	case abort:
		n.m.Abort()
		return nil
	case crashBefore:
		n.crash()
		return nil
	}
	for _, w := range ws {
		if err := n.disk.Write(w); err != nil {
			return err
		}
	}
	for put && uint64(len(n.had)) <= n.disk.Own.Version {
		n.had = append(slices.Clone(n.had), n.value)
	}
	if o == crashAfter {
		n.crash()
		return nil
	}
	fx := n.m.Commit(n.clock)
	for _, s := range fx.Sends {
		if err := n.disk.Told(s.Message); err != nil {
			return err
		}
	}
	n.sent = fx.Sends
	n.held = max(n.held, n.m.Held())
	return nil
}

func (n *guardNode) crash() {
	n.m = nil
	if n.disk.Own != nil {
		n.value = n.had[n.disk.Own.Version]
	}
}

// frozen is a copy of a node that is down, to start from again.
func (n *guardNode) frozen() *guardNode {
	c := *n
	c.disk = n.disk.Clone()
	return &c
}

// fresh reports whether the node may do now what only a lease allows.
func (n *guardNode) fresh() bool { return n.m != nil && n.m.Guarded() && n.m.Fresh(n.clock) }
