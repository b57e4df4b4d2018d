package scenario

import (
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// Scenario is what a run is made from. It is a value that Parse has checked; times are from the start of the run.
type Scenario struct {
	Name        string
	Description string
	Seed        uint64
	Nodes       int // at the start, named n0000, n0001, …
	Founders    int // the first ones
	Zones       []Zone
	Warmup      time.Duration // figures count from here on
	Duration    time.Duration // arrivals end here
	Rest        time.Duration // after Duration: no arrivals, all faults over; nothing may be stuck at its end
	Settle      time.Duration // how long after that it goes on at most until the swarm is at rest; 0: as long as that may take
	// Policies: the first is in force from the start, later ones are revisions that Revise faults bring.
	Policies []*policy.Policy
	Network  Network
	Disk     Disk
	Gossip   Gossip
	Workload []Stream
	Faults   []Fault
	Bounds   []Bound
	// Traces are the recordings that Workload names.
	Traces  map[string]*workload.Recording
	Retries int // how often a caller who is deferred comes back when it was told to; 0 by default
	// RetryAfter is when callers come back whatever they are told; 0: when they are told.
	RetryAfter time.Duration
	// Provider stands behind admitted calls; nil runs them all. Blind is whether nobody is told of its refusals.
	Provider *Provider
	// Upstreams are how those of the policy really are.
	Upstreams []Upstream
	Blind     bool
	// Beside are other runs of the swarm, which bounds compare with.
	Beside []Variant
}

// Variant is the scenario with something changed: without some streams, with callers who come back after a time of their
// own, or where the provider's refusals lower no rate.
type Variant struct {
	Name  string
	Skip  []string
	Retry time.Duration
	Blind bool // nodes are not told of refusals by the provider, and of upstreams that are not reached
}

// With returns the scenario as the variant has it.
func (s *Scenario) With(v Variant) *Scenario {
	c := *s
	c.Bounds, c.Beside = nil, nil
	c.Workload = slices.Clone(s.Workload)
	for i := range c.Workload {
		if slices.Contains(v.Skip, c.Workload[i].Name) {
			c.Workload[i].Skip = true
		}
	}
	if v.Retry > 0 {
		c.RetryAfter = v.Retry
	}
	c.Blind = c.Blind || v.Blind
	return &c
}

// Zone is a place. Nodes are dealt out to zones by weight, one by one, so that the first nodes are in different
// zones; see Scenario.ZoneOf.
type Zone struct {
	Name   string
	Weight int
}

// Network is what links do to packets. Fractions are in 0..1.
type Network struct {
	SameZone, OtherZone Delay // one way
	Loss, Duplicate     float64
	// Reorder is the fraction of packets that are delayed by up to ReorderBy more, so that later ones overtake them.
	Reorder   float64
	ReorderBy time.Duration
	Bandwidth int64 // bytes per second that a node can send; 0 for no limit
}

// Disk is how long a node's durable write takes.
type Disk struct{ Sync Delay }

// Gossip is what the pool is configured to; zero values mean production's defaults.
type Gossip struct {
	BytesPerSecond int64
}

// What package workload draws from.
type (
	Stream = workload.Stream
	Kind   = workload.Kind
	Size   = workload.Size
	Delay  = workload.Delay
	Burst  = workload.Burst
)

// Kinds of streams.
const (
	Poisson    = workload.Poisson
	Bursty     = workload.Bursty
	Diurnal    = workload.Diurnal
	FlashCrowd = workload.FlashCrowd
	HotSpot    = workload.HotSpot
	Chain      = workload.Chain
	Trace      = workload.Trace
)

// Fault is something that goes wrong, from At for For.
type Fault struct {
	Kind FaultKind
	At   time.Duration
	For  time.Duration
	// Which nodes: by Zone, or a fraction of all drawn by chance, or a number of them, or by index.
	Zone     string
	Fraction float64
	Count    int
	Nodes    []int

	Every    time.Duration // repeat: at At, At+Every, … until Until
	Until    time.Duration
	OneWay   bool          // Partition: only packets from the nodes to the others are lost
	LoseDisk bool          // Crash: comes back as a new generation
	Stagger  time.Duration // Crash, Join, Leave, Restart: pause between one node and the next
	By       time.Duration // Clock: how far the clock is off, or steps
	Loss     float64       // Link
	Delay    time.Duration // Link, DiskSlow: added
	Policy   int           // Revise: index into Policies
	Act      RevisionAct   // Revise: what an operator does; "" applies Policy, to all calls or as its document says that it is to be tried
	Freeze   freeze.Key    // Freeze: an instance, a tenant, or an agent
	Budget   string        // Mint, Burn: of which, for the values Key, so many Tokens
	Key      []string
	Tokens   ledger.Tokens
	Skip     bool // it does not happen; what is drawn for others stays the same
}

// FaultKind says what goes wrong.
type FaultKind string

// Kinds of faults.
const (
	Partition FaultKind = "partition" // the nodes are cut off from all others
	Crash     FaultKind = "crash"     // the process dies, and starts again after For
	Pause     FaultKind = "pause"     // SIGSTOP, and SIGCONT after For
	Clock     FaultKind = "clock"     // the wall clock steps by By, and back after For
	Link      FaultKind = "link"      // more loss and delay on all links of the nodes
	DiskSlow  FaultKind = "disk_slow"
	DiskFail  FaultKind = "disk_fail" // writes fail
	Join      FaultKind = "join"      // Count new nodes join
	Leave     FaultKind = "leave"     // graceful
	Revise    FaultKind = "revise"    // an operator applies a policy revision at one node, or says something of the candidate
	Freeze    FaultKind = "freeze"    // an operator freezes something at one node, and unfreezes it there after For
	Mint      FaultKind = "mint"      // an operator tops a budget up at one node
	Burn      FaultKind = "burn"      // an operator burns tokens of a budget at one node
)

// RevisionAct is what an operator does about revisions.
type RevisionAct string

// Acts beside applying one.
const (
	Promote  RevisionAct = "promote"
	HoldBack RevisionAct = "pause"
	Resume   RevisionAct = "resume"
	RollBack RevisionAct = "rollback"
)

// revisionActs are the words of a fault's act.
var revisionActs = []RevisionAct{"apply", Promote, HoldBack, Resume, RollBack}

// Word is the act as documents name it.
func (a RevisionAct) Word() string {
	if a == "" {
		return "apply"
	}
	return string(a)
}

// FaultKinds lists them all.
var FaultKinds = []FaultKind{Partition, Crash, Pause, Clock, Link, DiskSlow, DiskFail, Join, Leave, Revise, Freeze, Mint, Burn}

// operators says of a fault that it is what an operator does, at one node unless it says otherwise.
func (k FaultKind) operators() bool { return k == Revise || k == Freeze || k.amounts() }

// amounts says of a fault that it is about tokens of a budget.
func (k FaultKind) amounts() bool { return k == Mint || k == Burn }

// Bound is what a run must keep to pass: Figure Op Value. Figures are those of package result, with their units.
type Bound struct {
	Text   string // as written
	Figure string // "goodput", "overspend", "local", "wait_p99", "converge", …
	Class  string // for figures of one class, or of one stream
	// Beside is a system's name, as in package result, or a variant's: Value is then about the figure divided by that one's.
	Beside string
	Op     string // "<=" or ">="
	Value  float64
}
