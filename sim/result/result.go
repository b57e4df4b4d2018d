// Package result is what a simulation comes to: figures of the swarm and of what it is compared with, what
// changed over time, and whether the stated bounds were kept. It is data; package report shows it.
package result

import "time"

// Result is one run.
type Result struct {
	Scenario    string
	Description string
	Seed        uint64
	Nodes       int
	Duration    time.Duration // of virtual time that figures count
	Events      uint64
	TraceHash   string // of all events in order: the same seed gives the same
	Wall        time.Duration

	Systems []System // the swarm first, then what it is compared with
	Bounds  []Bound
	Panels  []Panel // of the swarm
	Marks   []Mark
	// Rollouts are candidates that were tried, and words on revisions that a node refused.
	Rollouts []Rollout
	// Violation is set when an invariant did not hold; figures end there.
	Violation *Violation
	// Unsettled is what was not so yet when the time was over that the scenario gives the swarm to come to rest: promises about that
	// were not judged. Empty as a rule.
	Unsettled string
	// Label tells runs of one comparison or sweep apart: it says what differs.
	Label string
}

// Passed says that all invariants held, and all bounds that could be judged.
func (r *Result) Passed() bool {
	for i := range r.Bounds {
		if r.Bounds[i].Failed() {
			return false
		}
	}
	return r.Violation == nil
}

// System returns the system of that name, nil if the run has none.
func (r *Result) System(name string) *System {
	for i := range r.Systems {
		if r.Systems[i].Name == name {
			return &r.Systems[i]
		}
	}
	return nil
}

// Names of systems.
const (
	Swarm      = "swarmpurse"
	Omniscient = "omniscient" // one bucket that knows all at once: the bound
	Split      = "split"      // a static even split
	// SplitKnown is a static split in partitions, by sides, that knew each side's demand beforehand.
	SplitKnown = "split by known demand"
	Counters   = "counters"   // asynchronous global counters: admit on the last known total
	LocalOnly  = "local only" // every node applies the whole limit to what it sees itself
)

// System is what one way of admitting came to with one workload. Fractions are in 0..1, and NaN where there
// is nothing to divide by.
type System struct {
	Name                                string
	Offered, Admitted, Deferred, Denied int64   // calls
	Degraded                            int64   // of those admitted: as they were told to run cheaper
	Refused                             int64   // refusals by the provider of calls that were admitted
	Redirected                          int64   // callers who were told to ask a node in another zone, and did
	Passed, Owed                        int64   // bytes of answers that passed, and those of them that did without rights, since there were none for too long
	Money, MoneyFirst                   float64 // what calls took at upstreams, and what they would have taken at the first that might have run them
	OfferedTokens, GoodputTokens        int64   // goodput: tokens of calls that were admitted and settled, as really used
	Goodput                             float64 // beside the omniscient system's
	Overspend                           float64 // largest excess over a hard limit, as a fraction of it
	OverspendTokens                     int64
	Local                               float64 // of admitted calls: decided with no remote hop
	AsksPerCall                         float64
	Jain                                float64       // Jain's fairness index of goodput over tenants' demand
	Unfair                              float64       // largest difference of a tenant's goodput from its max-min share, as a part of that
	BytesPerNodeSecond                  float64       // sent by a node on average, all gossip and messages
	BytesPerNodeSecondMax               float64       // of the busiest node
	PriceAmplitude                      float64       // largest less smallest price within the figures' time, 0 with fixed prices
	PriceSettle                         float64       // seconds until prices stood still after demand changed: see PriceBand
	Converge                            time.Duration // after the last fault: until every node knows the same totals; -1 never
	Stale                               time.Duration // age of the rows that nodes steer by, median
	Queue                               int64         // calls that waited at one node at once, at most
	Known                               int64         // instances that one node knew at once, at most
	GuardBytesPerNodeSecond             float64       // the part of BytesPerNodeSecond that guarding takes
	Unheld                              float64       // of offered calls: waited for guardians though rights were at hand
	Successions                         int64         // generations that the next one of their node followed
	Dead                                float64       // part of all supply that was with generations that died or left for good, all budgets alike
	Stuck                               float64       // of that: with those that nobody can claim, since too few of their guardians are left; NaN if none had any
	Frozen                              float64       // part of all supply with nodes that live and have lost most of their guardians for good
	Back                                float64       // seconds until what one of the dead had was in use again; stuck supply is left out; NaN if nothing came back
	FreezeTakes                         float64       // seconds from an operator's word that something is frozen, or not any more, until it was in force at all nodes; the longest; NaN without such a word
	Slipped                             int64         // calls of what was frozen that were admitted more than FreezeMost after the word
	Recover                             float64       // seconds until calls were served as before a disturbance: see Tally.Recover
	Returns                             int64         // callers who were deferred and came back within one second, at most
	RolledBack, Promoted                float64       // seconds from when a candidate was applied until all nodes went by its end; the longest; NaN if none ended so
	Rollbacks                           int64         // candidates that were rolled back
	TooLong, TooDear                    int64         // of them, by the guard since their calls put out more than is usual for their model, or cost more
	Classes                             []Class
	Drift                               float64 // largest part of a model's late calls, at one node, that put out more than was learned; NaN where nothing was learned
	DriftLasts                          float64 // seconds for which it was more, at one node, than what nodes take for a drift; the longest
	Streams                             []Class // the same by streams of the workload
	Budgets                             []Budget
	Tenants                             []Tenant
}

// FreezeMost is how long a word of an operator may take until all nodes go by it.
const FreezeMost = 2 * time.Second

// Class is what became of a class's calls.
type Class struct {
	Name              string
	Offered, Admitted int64
	WaitP50, WaitP99  time.Duration // of admitted calls, from arrival, with all attempts
	InBudget          float64       // of offered calls: admitted within the class's latency budget
	Price             float64       // that admitted calls paid, mean: what cost was multiplied by, of several budgets the highest; 0 where nobody says
	// Tokens over all budgets: set aside at admission, charged at settlement, and of those above what was set aside.
	Reserved, Charged, Overrun int64
	// Of a class with an objective, in the swarm: the part of its calls that was met, and the highest burn rate, as package service counts them.
	Objective float64 // 0: it has none, or nobody says
	Met, Burn float64
}

// Budget is what became of the tokens of one budget, over all its instances and the nodes that run when the last call has been made. It is
// the ledger's own account; systems that the swarm is compared with have none.
type Budget struct {
	Name, Token                       string
	Issued, Minted, Rolled, Overdrawn int64 // the last three are part of what was issued: topped up, carried over, and beyond the limit
	Spent, Decayed, Expired, Burned   int64 // where they went; spent counts what calls that run have set aside
	Left                              int64 // rights that are there
	// Of a budget with alerts: fractions that all nodes told of while they were used, and the longest that took from when callers had them, in seconds;
	// NaN if there was none.
	Alerts  int64
	Alerted float64
}

// Tenant is what became of a tenant's calls.
type Tenant struct {
	Name                         string
	Offered, Admitted            int64
	OfferedTokens, GoodputTokens int64
}

// Panel is one chart over time.
type Panel struct {
	ID    string // "admitted", "rights", "queue", "price", "staleness", …: file names
	Title string
	Unit  string // "calls/s", "tokens", "s", …
	Stack bool   // lines add up
	At    []time.Duration
	Lines []Line
}

// Line is one line of a panel; it has a value for each At, NaN for none.
type Line struct {
	Name   string
	Values []float64
}

// Mark is a fault on the time axis.
type Mark struct {
	At, Until time.Duration
	Kind      string // scenario.FaultKind
	Text      string // "partition: zone b"
}

// Rollout is a revision of the policy that was tried on some calls, or a word of an operator that was refused.
type Rollout struct {
	Revision   int64
	At         time.Duration // when it was applied, at a node
	Node       string
	How        string        // as in "10% by agent, bake 10m, guard deny_rate +5%"
	End        string        // RolledBack, Promoted, "": it is still tried
	EndAt      time.Duration // when the word was said first that ended it
	EndNode    string        // at which node
	By, Why    string        // who said it
	Everywhere time.Duration // since when all nodes go by that word; 0: never
	Refused    string        // why a node did not take the word of an operator; the rest is empty then
}

// Ends of a Rollout.
const (
	RolledBack = "rolled back"
	Promoted   = "promoted"
)

// Bound is a stated bound and what the run came to.
type Bound struct {
	Text  string // "goodput >= 98%"
	Got   string // "98.7%"
	OK    bool
	Lacks string // the system without which it cannot be judged and which was not run: then the others are empty
}

// Failed says that the bound was judged and not kept.
func (b *Bound) Failed() bool { return !b.OK && b.Lacks == "" }

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	Detail    string
	At        time.Duration
	Event     uint64 // number of the event after which it did not hold
	Prefix    string // the shortest prefix found that still fails
	Command   string // to run it again
}
