package scenario

import (
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
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
	// Policies: the first is in force from the start, later ones are revisions that Revise faults bring.
	Policies []*policy.Policy
	Network  Network
	Disk     Disk
	Gossip   Gossip
	Workload []Stream
	Faults   []Fault
	Bounds   []Bound
	Retries  int // how often a caller who is deferred comes back when it was told to; 0 by default
}

// Zone is a place; nodes are dealt out to zones by weight, in order.
type Zone struct {
	Name   string
	Weight int
}

// Delay is a distribution of durations: lognormal, given by its median and 99th percentile.
type Delay struct{ Median, P99 time.Duration }

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

// Stream is one sort of caller. See package workload for what each kind draws.
type Stream struct {
	Name   string
	Kind   Kind
	Rate   float64       // calls per second over all nodes, on average
	From   time.Duration // first and last moment; 0 for the whole run
	Until  time.Duration
	Class  string
	Model  string
	Prompt Size
	Output Size  // what the model writes
	Max    int64 // stated max_output_tokens; Output is cut there
	Runs   Delay // how long calls run
	// Tenants are drawn by Zipf's law with exponent Skew (0: all alike); agents evenly from Agents of each tenant.
	Tenants int
	Tenant  string // the one tenant, or the prefix of several
	Skew    float64
	Agents  int

	// Nodes: fraction of nodes (the first ones, or those of Zone) whose callers make these calls; 0 means all.
	Nodes float64
	Zone  string

	Burst   Burst         // Bursty
	Period  time.Duration // Diurnal: a day; HotSpot: how long it stays at one place
	Swing   float64       // Diurnal: amplitude, 0..1
	Peak    float64       // FlashCrowd: rate at the peak, as a multiple of Rate
	Ramp    time.Duration // FlashCrowd: how long the rise takes; the fall takes as long
	Hold    time.Duration // FlashCrowd: how long it stays at the peak
	Hot     int           // HotSpot: number of nodes that are hot
	Part    float64       // HotSpot: fraction of calls that are made at the hot nodes
	Depth   int           // Chain: calls of a chain after the first
	Think   Delay         // Chain: pause before the next call
	Trace   string        // Trace: path of a CSV file, or "azure-sample" for a small one that ships
	Speed   float64       // Trace: how much faster than recorded; 0 means 1
	Scale   float64       // Trace: calls made of each recorded one, on average; 0 means 1
	Repeats bool          // Trace: begin again at its end
}

// Size is a distribution of token counts: lognormal by median and 99th percentile, or fixed if they are equal.
type Size struct{ Median, P99 int64 }

// Burst is a two-state Markov-modulated Poisson process: the rate is High times the mean in bursts.
type Burst struct {
	High    float64
	On, Off time.Duration // mean length of a burst and of the pause
}

// Kind says how a stream's calls arrive.
type Kind string

// Kinds of streams.
const (
	Poisson    Kind = "poisson"
	Bursty     Kind = "bursty"
	Diurnal    Kind = "diurnal"
	FlashCrowd Kind = "flash_crowd"
	HotSpot    Kind = "hot_spot"
	Chain      Kind = "chain"
	Trace      Kind = "trace"
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
	Revise    FaultKind = "revise"    // an operator applies a policy revision at one node
)

// Bound is what a run must keep to pass: Figure Op Value. Figures are those of package result.
type Bound struct {
	Figure string // "goodput", "overspend", "local", "wait_p99", "converge", …
	Class  string // for figures of one class
	Op     string // "<=" or ">="
	Value  float64
	Unit   string // as written: "%", "ms", "kB/s", "", for messages
}
