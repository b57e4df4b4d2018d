package workload

import "time"

// Stream is one sort of caller. Times are from the start of the run.
type Stream struct {
	Name     string
	Kind     Kind
	Rate     float64       // calls per second over all nodes, on average; of Chain: chains begun per second
	From     time.Duration // first and last moment; Until 0 for the whole run
	Until    time.Duration
	Class    string
	Model    string
	Priority bool // calls ask for one class better, paid in points
	Prompt   Size
	Output   Size  // what the model writes
	Max      int64 // stated max_output_tokens; Output is cut there. 0: what Guess says of each call
	Runs     Delay // how long calls run; 0 for DefaultRuns
	// Tenants are drawn by Zipf's law with exponent Skew (0: all alike); agents evenly from Agents of each tenant,
	// 0 for calls that name none.
	Tenants int
	Tenant  string // the one tenant, or the prefix of several, which are then numbered from 1
	Skew    float64
	Agents  int

	// Nodes: fraction of nodes (the first ones of all, or of those of Zone) whose callers make these calls; 0 means all.
	Nodes float64
	Zone  string

	Bytes int64    // of a call's answer, which come evenly while it runs; 0: none are told of
	Data  []string // data sets that its calls name
	Stays []string // zones in which alone its calls may run: what a run is held to

	Burst   Burst         // Bursty
	Period  time.Duration // Diurnal: a day; HotSpot: how long it stays at one place, 0 for ever
	Swing   float64       // Diurnal: amplitude, 0..1. A day begins at its mean and rises
	Start   time.Duration // FlashCrowd: when the rise begins
	Peak    float64       // FlashCrowd: rate at the peak, as a multiple of Rate, which holds before and after
	Ramp    time.Duration // FlashCrowd: how long the rise takes; the fall takes as long
	Hold    time.Duration // FlashCrowd: how long it stays at the peak
	Hot     int           // HotSpot: number of nodes that are hot
	Part    float64       // HotSpot: fraction of calls that are made at the hot nodes
	Depth   int           // Chain: calls of a chain after the first
	Think   Delay         // Chain: pause before the next call
	Trace   string        // Trace: path of a CSV file, or AzureSample for a small one that ships
	Speed   float64       // Trace: how much faster than recorded; 0 means 1
	Scale   float64       // Trace: calls made of each recorded one, on average; 0 means 1
	Repeats bool          // Trace: begin again at its end
	Skip    bool          // it makes no calls; what others draw stays the same, but for follow-ups of chains
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

// Kinds lists them all.
var Kinds = []Kind{Poisson, Bursty, Diurnal, FlashCrowd, HotSpot, Chain, Trace}

// Size is a distribution of token counts: lognormal by median and 99th percentile, or fixed if they are equal.
// Draws are at least 1 and are cut at ten times the 99th percentile.
type Size struct{ Median, P99 int64 }

// Delay is a distribution of durations: lognormal by median and 99th percentile, or fixed if they are equal.
// Draws are cut at ten times the 99th percentile.
type Delay struct{ Median, P99 time.Duration }

// Burst is a two-state Markov-modulated Poisson process: the rate is High times the mean in bursts, and so much
// lower in the pauses that the mean stays Rate.
type Burst struct {
	High    float64
	On, Off time.Duration // mean length of a burst and of the pause
}
