package explore

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// input is one thing that happens to one node.
type input struct {
	kind   kind
	then   outcome // of the batch that ends it; none leaves it in the batch
	to     int8    // the peer, for gifts, asks and leaves
	budget int8
	arg    int32 // what it is depends on kind
}

type kind uint8

const (
	nothing kind = iota
	reserve      // arg: amount; to: whom to ask for what lacks, -1 for nobody
	settle       // arg: call << 8 | percent
	rights       // arg: amount
	shares       // arg: index of Scope.Shares
	receive      // arg: message
	tick         //
	step         // the clock goes on; arg: ms
	turn         // it goes on and ticks at once; arg: ms
	batch        // only its outcome
	write        // the disk starts to write
	crash        //
	restart      //
	topUp        //
	burn         //
	policy       // arg: version
	leave        //
	digest       // without a batch: it changes nothing
	offer        //
)

type outcome uint8

const (
	none outcome = iota
	commit
	abort       // the write failed
	crashBefore // the write
	crashAfter  // it, before anything was told
)

func (o outcome) fault() bool { return o >= abort }

// cost is what an input counts as.
func (in *input) cost() cost {
	switch {
	case in.then.fault() || in.kind == crash:
		return costFault // of an input and a fault only the fault counts
	case in.kind == reserve:
		return costCall
	case in.kind == rights:
		return costRights
	case in.kind == shares:
		return costShares
	case in.moves():
		return costStep
	case in.kind == topUp || in.kind == burn:
		return costTopUp
	case in.kind == policy:
		return costPolicy
	case in.kind == leave:
		return costLeave
	case in.kind == digest:
		return costDigest
	case in.kind == offer:
		return costOffer
	}
	return free
}

// moves reports whether a clock of its own goes on.
func (in *input) moves() bool { return in.kind == step || in.kind == turn }

// inputs lists what may happen to a node in a state, apart from messages.
func (t *table) inputs(l *local) []input {
	s := t.scope
	if !l.up {
		ins := []input{{kind: restart}}
		if s.Back > 0 && l.clock > start {
			ins = append(ins, input{kind: restart, arg: int32(s.Back)})
		}
		return t.withSteps(nil, ins)
	}
	var calls, others []input
	for b := range l.books {
		if begins, _, mortal := t.ids[b].Life(); mortal && begins > l.clock {
			continue
		}
		for _, n := range s.Calls {
			in := input{kind: reserve, to: -1, budget: int8(b), arg: int32(n)}
			calls = append(calls, in)
			if s.Asks {
				for j := range nodes {
					if in.to = int8(j); j != l.node {
						others = append(others, in)
					}
				}
			}
		}
	}
	for k, c := range l.open {
		if k > 0 && c == l.open[k-1] {
			continue // alike
		}
		for _, used := range s.Used {
			calls = append(calls, input{kind: settle, arg: int32(k)<<8 | int32(used)})
		}
	}
	if l.writing {
		ins := calls
		for o := commit; o <= crashAfter; o++ {
			if o == commit || s.Faults {
				ins = append(ins, input{kind: batch, then: o})
			}
		}
		return ins
	}
	for b := range l.books {
		for j := range nodes {
			if j == l.node {
				continue
			}
			for _, n := range s.Rights {
				others = append(others, input{kind: rights, to: int8(j), budget: int8(b), arg: int32(n)})
			}
			for k := range s.Shares {
				others = append(others, input{kind: shares, to: int8(j), budget: int8(b), arg: int32(k)})
			}
		}
		if s.TopUp > 0 {
			others = append(others, input{kind: topUp, budget: int8(b)})
		}
		if s.Burn > 0 {
			others = append(others, input{kind: burn, budget: int8(b)})
		}
	}
	for v := range s.Specs {
		if v != l.policy {
			others = append(others, input{kind: policy, arg: int32(v)})
		}
	}
	for j := range nodes {
		if j == l.node {
			continue
		}
		if s.Leaving {
			others = append(others, input{kind: leave, to: int8(j)})
		}
		if s.Offers {
			others = append(others, input{kind: offer, to: int8(j)})
		}
		if s.Digests {
			calls = append(calls, input{kind: digest, to: int8(j)})
		}
	}
	for _, ms := range s.Turns {
		others = append(others, input{kind: turn, arg: int32(ms)})
	}
	if s.Ticks {
		others = append(others, input{kind: tick})
	}
	ins := t.withSteps(calls, t.withBatches(others))
	if s.Faults && !l.pending {
		ins = append(ins, input{kind: crash})
	}
	if l.pending {
		for o := commit; o <= crashAfter; o++ {
			if o == commit || s.Faults {
				ins = append(ins, input{kind: batch, then: o})
			}
		}
		if s.Meanwhile {
			ins = append(ins, input{kind: write})
		}
	}
	return ins
}

// withBatches gives every input all ends that it can have.
func (t *table) withBatches(ins []input) []input {
	if t.scope.Batches {
		return ins
	}
	var out []input
	for _, in := range ins {
		for o := commit; o <= crashAfter; o++ {
			if in.then = o; o == commit || t.scope.Faults {
				out = append(out, in)
			}
		}
	}
	return out
}

// withSteps adds what a clock of one's own may do.
func (t *table) withSteps(ins, more []input) []input {
	ins = append(ins, more...)
	if t.scope.Together {
		return ins
	}
	for _, ms := range t.scope.Steps {
		ins = append(ins, input{kind: step, arg: int32(ms)})
	}
	return ins
}

// strategy does nothing of its own: what moves, and where, is for the search to choose.
type strategy struct {
	donor ledger.Holder // whom to ask now
	taker ledger.Holder // whom to offer borrowed rights now
	rows  bool
}

func (s *strategy) Donors(v *ledger.View, need ledger.Tokens, n int) ([]int, ledger.Tokens) {
	for i := range v.Peers {
		if v.Peers[i].Holder == s.donor && n > 0 {
			return []int{i}, need
		}
	}
	return nil, 0
}

func (s *strategy) Give(v *ledger.View, ask *ledger.Ask) ledger.Tokens {
	return min(ask.Want, v.Givable)
}
func (s *strategy) Surplus(v *ledger.View) ledger.Tokens      { return 0 }
func (s *strategy) Drifts(*ledger.View, ledger.Others) bool   { return false }
func (s *strategy) Drift(v *ledger.View) (int, ledger.Shares) { return -1, 0 }
func (s *strategy) Hold(v *ledger.View, ask *ledger.Ask) bool { return true }
func (s *strategy) Return(v *ledger.View) (int, ledger.Tokens) {
	return slices.IndexFunc(v.Peers, func(p ledger.PeerView) bool { return p.Holder == s.taker }), v.Borrowed
}
func (s *strategy) Along(v *ledger.View, peer int, ask *ledger.Ask) ledger.Shares { return 0 }
func (s *strategy) Ahead(v *ledger.View) ledger.Tokens                            { return 0 }
func (s *strategy) Accept(v *ledger.View, n ledger.Tokens) bool                   { return true }
func (s *strategy) Gather(v *ledger.View) (int, ledger.Shares)                    { return -1, 0 }

// Weight sends every change of a row at once, where rows travel at all.
func (s *strategy) Weight(*ledger.View, *ledger.Row, *ledger.Row, ledger.Millis) float64 {
	if s.rows {
		return 1
	}
	return 0
}
