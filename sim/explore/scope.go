package explore

import "github.com/swarmpurse/swarmpurse/ledger"

// Scope is a small world and what may happen in it. All that can happen in all orders explodes, so each scope looks
// at a few rules together.
type Scope struct {
	Name  string
	About string

	Founders int           // of the three nodes; the others have joined
	Specs    []ledger.Spec // what the budget is, by policy version; all nodes start with the first
	Budgets  int           // instances, all of the same specs; 1 if not set
	Cold     bool          // no account is open at the start
	// Life has Budgets be the lives of one budget, which follow each other: the first begins at the start. Calls draw on any that has
	// begun by their node's clock, as those do whose plan is older.
	Life ledger.Millis

	// What may happen, beside messages that arrive, ticks and restarts.
	Calls     []ledger.Tokens // reservations of these amounts
	Used      []int64         // settlements at these percentages of what was reserved
	Rights    []ledger.Tokens // gifts of rights to any peer
	Shares    []ledger.Shares // gifts of shares to any peer
	Asks      bool            // calls that lack rights ask any peer for them
	Steps     []ledger.Millis // clocks go on by so much
	Turns     []ledger.Millis // the same, with a tick at once, which saves an action
	Together  bool            // by Steps all clocks go on at once; otherwise each on its own
	Skew      ledger.Millis   // how far clocks may be apart
	Back      ledger.Millis   // a node that restarts may have its clock put back by so much
	TopUp     ledger.Tokens   // top-ups of this amount
	Burn      ledger.Tokens   // burns of this amount, counted as top-ups
	Leaving   bool            // nodes leave to any peer
	Rows      bool            // rows travel, too
	Digests   bool            // nodes tell any peer what they know of rows, and are sent what they lack
	Offers    bool            // nodes offer any peer borrowed rights that are of no use to them
	Ticks     bool            // ticks at times when nothing was done
	Batches   bool            // a batch is an action of its own and gathers inputs; otherwise each input ends with one
	Meanwhile bool            // calls go on while the disk writes
	Faults    bool            // batches fail, nodes crash before and after the write

	Most  Costs // how often on one path
	Depth int   // actions on the longest paths that are explored by default
	Brief int   // the same under the race detector
	Rest  int   // states from which the swarm must come to rest
}

const nodes = 3

// cost is a sort of action whose number on one path is bounded.
type cost uint8

const (
	free cost = iota
	costCall
	costRights
	costShares
	costStep
	costFault
	costTopUp
	costPolicy
	costLeave
	costDigest
	costOffer
	costs
)

// Costs bounds the actions of one path, by sort.
type Costs struct {
	Calls, Rights, Shares, Steps, Faults, TopUps, Policies, Leaves, Digests, Offers uint8
}

func (c *Costs) by() [costs]uint8 {
	return [costs]uint8{costCall: c.Calls, costRights: c.Rights, costShares: c.Shares, costStep: c.Steps,
		costFault: c.Faults, costTopUp: c.TopUps, costPolicy: c.Policies, costLeave: c.Leaves, costDigest: c.Digests, costOffer: c.Offers}
}

// group lists the renamings of nodes that leave a scope as it is, the identity first: p[i] is what node i is called.
// Founders differ, since the first seat takes what does not divide; nodes that have joined are alike: no rule looks
// at a name but to sort by it, and no strategy of ours does.
func (s *Scope) group() [][nodes]uint8 {
	g := [][nodes]uint8{{0, 1, 2}}
	if s.Founders == 1 && !s.Rows && !s.Leaving {
		g = append(g, [nodes]uint8{0, 2, 1})
	}
	return g
}

// skips are the shapes of what is told apart in a scope.
func (s *Scope) shapes() *shapes {
	if s.Rows {
		return newShapes()
	}
	return newShapes(signals, versions)
}

// shorts says why a call was not admitted.
var shorts = map[ledger.Short]string{
	ledger.NoRights: "no rights", ledger.NoMark: "no mark", ledger.NotIssued: "not issued", ledger.NotHeld: "not held", ledger.Ended: "its life is over",
}
