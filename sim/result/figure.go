package result

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// Unit is what a figure is counted in. Values are always in the unit named here; only texts scale it.
type Unit string

// Units of figures.
const (
	Calls          Unit = "calls"
	Tokens         Unit = "tokens"
	Fraction       Unit = "fraction" // 0..1, shown as per cent
	Seconds        Unit = "s"
	BytesPerSecond Unit = "B/s"
	Number         Unit = "" // an index or a ratio
)

// Figure is one of the numbers that runs are judged and compared by. Its name is what scenarios' bounds, the
// command line, JSON and CSV call it.
type Figure struct {
	Name  string
	Title string // head of a column
	What  string // a sentence, without a full stop
	Unit  Unit
	// Better is 1 if more is better, -1 if less is, 0 if it depends.
	Better int

	of       func(*System) float64 // nil: it is told of one budget only
	ofClass  func(*Class) float64  // nil: it has no value for one class
	ofBudget func(*Budget) float64 // nil: it has no value for one budget
}

// ByClass says whether the figure can be told of one class.
func (f Figure) ByClass() bool { return f.ofClass != nil }

// ByBudget says whether the figure is told of one budget, and of nothing else: budgets count in tokens of their own.
func (f Figure) ByBudget() bool { return f.ofBudget != nil }

// Of returns the figure of a system, or of one class, stream or budget if its name is not empty. It is NaN if there is none: nothing
// was offered, or no such class, or the figure has none of classes. A system that never converged took +Inf.
func (f Figure) Of(s *System, class string) float64 {
	if f.ofBudget != nil {
		if i := slices.IndexFunc(s.Budgets, func(b Budget) bool { return b.Name == class }); i >= 0 {
			return f.ofBudget(&s.Budgets[i])
		}
		return math.NaN()
	}
	if class == "" {
		return f.of(s)
	}
	if f.ofClass == nil {
		return math.NaN()
	}
	for _, list := range [][]Class{s.Classes, s.Streams} {
		if i := slices.IndexFunc(list, func(c Class) bool { return c.Name == class }); i >= 0 {
			return f.ofClass(&list[i])
		}
	}
	return math.NaN()
}

// Text writes a value of the figure for people.
func (f Figure) Text(v float64) string { return f.Unit.Text(v) }

// Text writes a value for people: "98.7%", "250 ms", "7.6 kB/s". NaN is "-" and infinity "never".
func (u Unit) Text(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.IsInf(v, 0):
		return "never"
	}
	switch u {
	case Fraction:
		// What is not quite nothing or not quite all must not look so.
		for digits := 1; digits <= 4; digits++ {
			t := strconv.FormatFloat(100*v, 'f', digits, 64)
			if r, _ := strconv.ParseFloat(t, 64); (r == 0) == (v == 0) && (r == 100) == (v == 1) {
				return t + "%"
			}
		}
		return strconv.FormatFloat(100*v, 'g', 3, 64) + "%"
	case Calls, Tokens:
		return humanize.Comma(int64(math.Round(v)))
	case Seconds:
		return seconds(v)
	case BytesPerSecond:
		scaled, prefix := humanize.ComputeSI(v)
		if math.Abs(v) < 1 {
			scaled, prefix = v, ""
		}
		unit := math.Pow(10, math.Floor(math.Log10(math.Max(1, math.Abs(scaled))))-2) // of the third digit
		text := strconv.FormatFloat(math.Round(math.Round(scaled/unit)*unit*100)/100, 'f', -1, 64)
		return text + " " + prefix + "B/s"
	}
	if math.Abs(v) < 1 {
		v = math.Round(v*1e4)/1e4 + 0 // zero has no sign
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// seconds writes a duration with three digits or so.
func seconds(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 1e-3:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case a < 1e-2:
		return fmt.Sprintf("%.1f ms", v*1e3)
	case a < 1:
		return fmt.Sprintf("%.0f ms", v*1e3)
	case a < 10:
		return fmt.Sprintf("%.2f s", v)
	case a < 120:
		return fmt.Sprintf("%.1f s", v)
	}
	return time.Duration(v * float64(time.Second)).Round(time.Second).String()
}

// Figures are all figures, in the order in which they are shown.
var Figures = []Figure{
	{Name: "offered", Title: "offered", What: "calls made", Unit: Calls,
		of:      func(s *System) float64 { return float64(s.Offered) },
		ofClass: func(c *Class) float64 { return float64(c.Offered) }},
	{Name: "admitted", Title: "admitted", What: "calls admitted", Unit: Calls, Better: 1,
		of:      func(s *System) float64 { return float64(s.Admitted) },
		ofClass: func(c *Class) float64 { return float64(c.Admitted) }},
	{Name: "degraded", Title: "degraded", What: "calls admitted that had to run cheaper", Unit: Calls,
		of: func(s *System) float64 { return float64(s.Degraded) }},
	{Name: "deferred", Title: "deferred", What: "calls told to come back later", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Deferred) }},
	{Name: "denied", Title: "denied", What: "calls refused for good", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Denied) }},
	{Name: "refused", Title: "refused", What: "refusals by the provider of calls that were admitted", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Refused) }},
	{Name: "redirected", Title: "redirected", What: "callers told to ask a node in another zone, since their data is bound to it", Unit: Calls,
		of: func(s *System) float64 { return float64(s.Redirected) }},
	{Name: "passed", Title: "passed", What: "bytes of answers that passed", Unit: Number, Better: 1,
		of: func(s *System) float64 { return float64(s.Passed) }},
	{Name: "owed", Title: "owed", What: "bytes of them that passed without rights, since none came for two seconds", Unit: Number, Better: -1,
		of: func(s *System) float64 { return float64(s.Owed) }},
	{Name: "money", Title: "money", What: "what calls took at upstreams, by the policy's prices", Unit: Number, Better: -1,
		of: func(s *System) float64 { return s.Money }},
	{Name: "saved", Title: "saved", What: "of what they would have taken at the first upstream that might have run them", Unit: Fraction, Better: 1,
		of: func(s *System) float64 {
			if s.MoneyFirst == 0 {
				return math.NaN()
			}
			return 1 - s.Money/s.MoneyFirst
		}},
	{Name: "offered_tokens", Title: "offered tokens", What: "tokens of all calls made, as they would really use", Unit: Tokens,
		of: func(s *System) float64 { return float64(s.OfferedTokens) }},
	{Name: "goodput_tokens", Title: "goodput tokens", What: "tokens of calls that were admitted and settled, as really used", Unit: Tokens, Better: 1,
		of: func(s *System) float64 { return float64(s.GoodputTokens) }},
	{Name: "goodput", Title: "goodput", What: "goodput tokens beside those of the omniscient bucket", Unit: Fraction, Better: 1,
		of: func(s *System) float64 { return s.Goodput }},
	{Name: "overspend", Title: "overspend", What: "largest excess over a hard limit, beside the limit", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Overspend }},
	{Name: "overspend_tokens", Title: "overspend tokens", What: "largest excess over a hard limit", Unit: Tokens, Better: -1,
		of: func(s *System) float64 { return float64(s.OverspendTokens) }},
	{Name: "local", Title: "local", What: "decisions made with no remote hop", Unit: Fraction, Better: 1,
		of: func(s *System) float64 { return s.Local }},
	{Name: "asks_per_call", Title: "asks/call", What: "rights asked for, times per call", Unit: Number, Better: -1,
		of: func(s *System) float64 { return s.AsksPerCall }},
	{Name: "wait_p50", Title: "wait p50", What: "wait of admitted calls, median; of the class that waits longest", Unit: Seconds, Better: -1,
		of:      ofClasses(func(c *Class) float64 { return waited(c, c.WaitP50) }, math.Max),
		ofClass: func(c *Class) float64 { return waited(c, c.WaitP50) }},
	{Name: "wait_p99", Title: "wait p99", What: "wait of admitted calls, 99th percentile; of the class that waits longest", Unit: Seconds, Better: -1,
		of:      ofClasses(func(c *Class) float64 { return waited(c, c.WaitP99) }, math.Max),
		ofClass: func(c *Class) float64 { return waited(c, c.WaitP99) }},
	{Name: "in_budget", Title: "in budget", What: "calls admitted within their class's latency budget; of the class that fares worst", Unit: Fraction, Better: 1,
		of:      ofClasses(func(c *Class) float64 { return c.InBudget }, math.Min),
		ofClass: func(c *Class) float64 { return c.InBudget }},
	{Name: "jain", Title: "Jain", What: "Jain's fairness index of tenants' goodput over their demand", Unit: Number, Better: 1,
		of: func(s *System) float64 { return s.Jain }},
	{Name: "unfair", Title: "unfair", What: "largest difference of what a tenant got from its max-min share of what all got, beside that share; for policies with one class", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Unfair }},
	{Name: "bytes", Title: "bytes/node", What: "bytes sent per node and second, all gossip and messages", Unit: BytesPerSecond, Better: -1,
		of: func(s *System) float64 { return s.BytesPerNodeSecond }},
	{Name: "bytes_max", Title: "busiest node", What: "bytes sent per second by the busiest node", Unit: BytesPerSecond, Better: -1,
		of: func(s *System) float64 { return s.BytesPerNodeSecondMax }},
	{Name: "paid", Title: "price paid", What: "what the cost of admitted calls was multiplied by, mean; of several budgets the highest; of the class that paid most", Unit: Number, Better: -1,
		of:      ofClasses(paid, math.Max),
		ofClass: paid},
	{Name: "set_aside", Title: "set aside", What: "tokens set aside for admitted calls when they began, beside those that they were charged in the end; of the class that sets most aside", Unit: Fraction, Better: -1,
		of:      ofClasses(setAside, math.Max),
		ofClass: setAside},
	{Name: "overrun", Title: "overrun", What: "of the tokens that calls were charged, those above what was set aside for them; of the class that overran most", Unit: Fraction, Better: -1,
		of:      ofClasses(overrun, math.Max),
		ofClass: overrun},
	{Name: "met", Title: "met", What: "of the calls of a class with an objective that were not refused for what is their caller's own, those admitted within the latency budget, as nodes count them; of the class that fares worst", Unit: Fraction, Better: 1,
		of:      ofClasses(met, math.Min),
		ofClass: met},
	{Name: "burn_rate", Title: "burn rate", What: "pace at which a class misses its latency budget beside that which its objective allows, over five minutes and an hour both, or since the warmup, at all nodes together; the highest", Unit: Number, Better: -1,
		of:      ofClasses(burnRate, math.Max),
		ofClass: burnRate},
	{Name: "drift", Title: "drift", What: "part of the last calls of a model, at one node, that put out more than was set aside for; the most", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Drift }},
	{Name: "drift_lasts", Title: "drift lasts", What: "for how long that was more, at one node, than twice what it should be and 5 %, of which alerts tell; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.DriftLasts }},
	{Name: "price_amplitude", Title: "price swing", What: "largest price less the smallest", Unit: Number, Better: -1,
		of: func(s *System) float64 { return s.PriceAmplitude }},
	{Name: "price_settle", Title: "price settles", What: "from a change of demand or of the policy until each price stays within a tenth of itself, at all nodes; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.PriceSettle }},
	{Name: "converge", Title: "converge", What: "from the end of the last fault until every node knows the same totals", Unit: Seconds, Better: -1,
		of: func(s *System) float64 {
			if s.Converge < 0 {
				return math.Inf(1)
			}
			return s.Converge.Seconds()
		}},
	{Name: "staleness", Title: "staleness", What: "age of the rows that nodes steer by, median", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.Stale.Seconds() }},
	{Name: "queue", Title: "longest queue", What: "calls that waited at one node at once, at most", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Queue) }},
	{Name: "returns", Title: "returns", What: "callers who were deferred and came back within one second, at most", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Returns) }},
	{Name: "instances", Title: "instances", What: "instances that one node knew at once, at most, those that have ended included", Unit: Number, Better: -1,
		of: func(s *System) float64 { return float64(s.Known) }},
	{Name: "guard_bytes", Title: "guarding", What: "bytes sent per node and second for notes, leases and claims", Unit: BytesPerSecond, Better: -1,
		of: func(s *System) float64 { return s.GuardBytesPerNodeSecond }},
	{Name: "unheld", Title: "not held", What: "calls that had to wait for guardians, rights being at hand", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Unheld }},
	{Name: "successions", Title: "successions", What: "generations that ended while their node went on as the next one", Unit: Number, Better: -1,
		of: func(s *System) float64 { return float64(s.Successions) }},
	{Name: "dead", Title: "of the dead", What: "supply that nodes had which died or left for good, of all supply", Unit: Fraction,
		of: func(s *System) float64 { return s.Dead }},
	{Name: "stuck", Title: "stuck", What: "of that, the part which nobody can claim: most of its guardians are gone for good, too", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Stuck }},
	{Name: "frozen", Title: "frozen", What: "supply of live nodes most of whose guardians are gone for good, of all supply", Unit: Fraction, Better: -1,
		of: func(s *System) float64 { return s.Frozen }},
	{Name: "back", Title: "back", What: "until what a node had that died or left for good was in use again, but for what is stuck; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.Back }},
	{Name: "freeze_takes", Title: "freeze takes", What: "from an operator's word that something is frozen, or not any more, until it was in force at all nodes; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.FreezeTakes }},
	{Name: "slipped", Title: "slipped", What: "calls of what was frozen that were admitted more than two seconds after the word", Unit: Calls, Better: -1,
		of: func(s *System) float64 { return float64(s.Slipped) }},
	{Name: "rolled_back", Title: "rolled back", What: "from when a candidate revision was applied until it was rolled back and decided nowhere any more; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.RolledBack }},
	{Name: "promoted", Title: "promoted", What: "from when a candidate revision was applied until it decided on all calls everywhere; the longest", Unit: Seconds,
		of: func(s *System) float64 { return s.Promoted }},
	{Name: "rollbacks", Title: "rollbacks", What: "candidate revisions that were rolled back", Unit: Number,
		of: func(s *System) float64 { return float64(s.Rollbacks) }},
	{Name: "too_long", Title: "too long", What: "of them, those that the guard rolled back since their calls put out more than is usual for their model", Unit: Number,
		of: func(s *System) float64 { return float64(s.TooLong) }},
	{Name: "too_dear", Title: "too dear", What: "of them, those that the guard rolled back since their calls cost more than is usual for their model", Unit: Number,
		of: func(s *System) float64 { return float64(s.TooDear) }},
	{Name: "issued", Title: "issued", What: "tokens of a budget that were issued, those below included", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Issued) }},
	{Name: "minted", Title: "topped up", What: "tokens of a budget that operators topped up", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Minted) }},
	{Name: "rolled", Title: "rolled over", What: "tokens of a budget that were carried from a window into the next", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Rolled) }},
	{Name: "overdrawn", Title: "overdrawn", What: "tokens of a budget that were issued beyond its limit", Unit: Tokens, Better: -1,
		ofBudget: func(b *Budget) float64 { return float64(b.Overdrawn) }},
	{Name: "spent", Title: "spent", What: "tokens of a budget that calls were charged, or have set aside while they run", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Spent) }},
	{Name: "decayed", Title: "decayed", What: "tokens of a budget that decayed by a half-life", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Decayed) }},
	{Name: "expired", Title: "expired", What: "tokens of a budget that went with the end of a window or a loan, or beyond a burst", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Expired) }},
	{Name: "burned", Title: "burned", What: "tokens of a budget that operators burned, or a lower limit", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Burned) }},
	{Name: "alerts", Title: "alerts", What: "fractions of a budget's limit that were used and of which all nodes told, windows and instances counted apart", Unit: Number,
		ofBudget: func(b *Budget) float64 { return float64(b.Alerts) }},
	{Name: "alerted", Title: "alerted after", What: "from when callers had used a fraction of a budget of which its alerts tell until all nodes told so; the longest", Unit: Seconds, Better: -1,
		ofBudget: func(b *Budget) float64 { return b.Alerted }},
	{Name: "left", Title: "left", What: "tokens of a budget that nobody has used when the last call has been made", Unit: Tokens,
		ofBudget: func(b *Budget) float64 { return float64(b.Left) }},
	{Name: "recover", Title: "recover", What: "from a fault's end, or a hot spot's move, until calls are served as before; the longest", Unit: Seconds, Better: -1,
		of: func(s *System) float64 { return s.Recover }},
}

// FigureNamed finds a figure.
func FigureNamed(name string) (Figure, bool) {
	i := slices.IndexFunc(Figures, func(f Figure) bool { return f.Name == name })
	if i < 0 {
		return Figure{}, false
	}
	return Figures[i], true
}

// Ratios of classes are NaN where there is nothing to divide by.
func paid(c *Class) float64 {
	if c.Price == 0 {
		return math.NaN()
	}
	return c.Price
}

func met(c *Class) float64 {
	if c.Objective == 0 {
		return math.NaN()
	}
	return c.Met
}

func burnRate(c *Class) float64 {
	if c.Objective == 0 {
		return math.NaN()
	}
	return c.Burn
}

func setAside(c *Class) float64 { return fraction(c.Reserved, c.Charged) }

func overrun(c *Class) float64 { return fraction(c.Overrun, c.Charged) }

// waited is NaN for a class of which no call was admitted: none waited.
func waited(c *Class, d time.Duration) float64 {
	if c.Admitted == 0 {
		return math.NaN()
	}
	return d.Seconds()
}

// ofClasses folds the values of all classes that have one.
func ofClasses(of func(*Class) float64, fold func(a, b float64) float64) func(*System) float64 {
	return func(s *System) float64 {
		sum := math.NaN()
		for i := range s.Classes {
			v := of(&s.Classes[i])
			switch {
			case math.IsNaN(v):
			case math.IsNaN(sum):
				sum = v
			default:
				sum = fold(sum, v)
			}
		}
		return sum
	}
}
