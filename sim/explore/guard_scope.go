package explore

import "time"

// GuardScope is a small world of nodes, some of which guard others, and what may happen in it. It explores the protocol
// of guardians alone, over the production guardian.Machine: to it records are bytes, so that it needs no accounts.
type GuardScope struct {
	Name  string
	About string

	Sets    [][]int // by node, who guards it; none for a node that is not guarded
	Claims  [][2]int
	Next    []int // nodes that claim their own generation, for their next one
	Release []int // nodes that give up their lease
	Renames []int // nodes that name other guardians, one after the other round
	Ticks   []int // nodes that tick
	Crashes []int // nodes that crash before or after a write, and restart
	Aborts  []int // nodes whose writes fail
	Pass    []time.Duration
	Drift   map[int]time.Duration // by node, how far its clock may go ahead of the others', in one step
	Parts   int                   // records of each owner, which change together and go one in a message; 0 for one, which goes whole
	Cold    bool                  // no note has been sent at the start; else all have stored the first

	Most  GuardCosts
	Depth int
	Brief int
}

// GuardCosts bounds the actions of one path, by sort. Messages arrive without bound.
type GuardCosts struct{ Puts, Ticks, Claims, Passes, Drifts, Faults uint8 }

// guardLease is D in all scopes, so that a margin is a second.
const guardLease = 10 * time.Second

type guardKind uint8

const (
	guardPut     guardKind = iota + 1 // the node's records change
	guardReceive                      // arg: message
	guardTick
	guardClaim // to: of which node
	guardNext
	guardRelease
	guardSet
	guardPass // arg: index of Pass; all clocks
	guardDrift
	guardRestart
)

type guardInput struct {
	kind guardKind
	then outcome
	to   int8
	arg  int32
}

type guardCost uint8

const (
	guardFree guardCost = iota
	guardPuts
	guardTicks
	guardClaims
	guardPasses
	guardDrifts
	guardFaults
	guardCostCount
)

func (c *GuardCosts) by() [guardCostCount]uint8 {
	return [guardCostCount]uint8{guardPuts: c.Puts, guardTicks: c.Ticks, guardClaims: c.Claims, guardPasses: c.Passes,
		guardDrifts: c.Drifts, guardFaults: c.Faults}
}

func (in *guardInput) cost() guardCost {
	if in.then.fault() {
		return guardFaults
	}
	switch in.kind {
	case guardPut:
		return guardPuts
	case guardTick:
		return guardTicks
	case guardClaim, guardNext, guardRelease, guardSet:
		return guardClaims
	case guardPass:
		return guardPasses
	case guardDrift:
		return guardDrifts
	}
	return guardFree
}
