package rollout

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy"
)

// WaitSteps is how many steps of its class's latency budget a wait is counted by.
const WaitSteps = 1_000_000 / policy.WaitStep

// Counts are outcomes of the calls of one arm. They only grow.
type Counts struct {
	Calls   int64 // decided
	Refused int64 // of them, denied or deferred
	// Longer are those that were admitted after a wait longer than so many steps, of policy.WaitStep, of their class's latency
	// budget: Longer[0] have waited at all.
	Longer [WaitSteps]int64
	Drift
	// Groups are the calls and refusals by who called: see Groups.
	Groups [Groups]Group
}

// Groups is in how many groups the callers of each arm are counted, by a hash of what calls are split by: how much the groups of one arm differ
// tells how far its calls are from being drawn each by itself.
const Groups = 32

// Group is the calls of some callers of one arm.
type Group struct{ Calls, Refused int64 }

// Drift is how many calls came to more than is usual for their model, of those that have ended and of which that is known.
type Drift struct {
	Outputs int64 // whose output was counted by their provider
	Long    int64 // of them, those that put out more
	Costs   int64 // whose cost was told
	Dear    int64 // of them, those that cost more at one of their budgets
}

// Add sums counts.
func (d *Drift) Add(o *Drift) {
	d.Outputs += o.Outputs
	d.Long += o.Long
	d.Costs += o.Costs
	d.Dear += o.Dear
}

func (d *Drift) max(o *Drift) {
	d.Outputs = max(d.Outputs, o.Outputs)
	d.Long = max(d.Long, o.Long)
	d.Costs = max(d.Costs, o.Costs)
	d.Dear = max(d.Dear, o.Dear)
}

// Add sums counts.
func (c *Counts) Add(o *Counts) {
	c.Calls += o.Calls
	c.Refused += o.Refused
	for i := range c.Longer {
		c.Longer[i] += o.Longer[i]
	}
	c.Drift.Add(&o.Drift)
	for i := range c.Groups {
		c.Groups[i].Calls += o.Groups[i].Calls
		c.Groups[i].Refused += o.Groups[i].Refused
	}
}

func (c *Counts) max(o *Counts) {
	c.Calls = max(c.Calls, o.Calls)
	c.Refused = max(c.Refused, o.Refused)
	for i := range c.Longer {
		c.Longer[i] = max(c.Longer[i], o.Longer[i])
	}
	c.Drift.max(&o.Drift)
	for i := range c.Groups {
		c.Groups[i].Calls = max(c.Groups[i].Calls, o.Groups[i].Calls)
		c.Groups[i].Refused = max(c.Groups[i].Refused, o.Groups[i].Refused)
	}
}

// Admitted is how many of the calls ran.
func (c *Counts) Admitted() int64 { return max(0, c.Calls-c.Refused) }

// maxCount bounds counters that come from peers, so that sums of all of them stay in range.
const maxCount = 1 << 48

// Valid reports what is wrong with counts that come from a peer. Each counter comes from another moment than the others at the
// worst, so it is not an error that a part is more than the whole.
func (c *Counts) Valid() error {
	for _, v := range append(c.Longer[:], c.Calls, c.Refused, c.Outputs, c.Long, c.Costs, c.Dear) {
		if v < 0 || v > maxCount {
			return fmt.Errorf("a counter of %d", v)
		}
	}
	for _, g := range c.Groups {
		if min(g.Calls, g.Refused) < 0 || max(g.Calls, g.Refused) > maxCount {
			return fmt.Errorf("a group of %d calls, %d refused", g.Calls, g.Refused)
		}
	}
	return nil
}

// Life is one run of a node: who counts. Each run counts from nothing.
type Life struct {
	Node  string
	Began int64 // Unix ms
}

func (l Life) compare(o Life) int {
	return cmp.Or(strings.Compare(l.Node, o.Node), cmp.Compare(l.Began, o.Began))
}

// MaxLives bounds a Tally. Beyond it the last by name are left out: a sample is enough.
const MaxLives = 4096

// Row is what one run of a node has counted.
type Row struct {
	Life
	Stable, Candidate Counts
}

// Valid reports what is wrong with a row; nil if nothing is.
func (r *Row) Valid() error {
	if r.Node == "" || len(r.Node) > MaxNode || r.Began < 0 {
		return errors.New("a row of nobody")
	}
	return errors.Join(r.Stable.Valid(), r.Candidate.Valid())
}

// Tally is the outcomes of the calls of a rollout, by who counted them. Merging takes the larger of each counter, so it is a
// semilattice as State is. A Tally has one owner. The zero value is empty.
type Tally struct {
	Of   Key // the candidate
	rows []Row
}

// Rows are all rows, by life. The caller must not change them.
func (t *Tally) Rows() []Row { return t.rows }

// Merge takes a row over and reports whether it said anything new. The row must be valid.
func (t *Tally) Merge(r Row) bool {
	i, known := slices.BinarySearchFunc(t.rows, r.Life, func(r Row, l Life) int { return r.compare(l) })
	if !known {
		if len(t.rows) == MaxLives {
			if i == MaxLives {
				return false
			}
			t.rows = t.rows[:MaxLives-1]
		}
		t.rows = slices.Insert(t.rows, i, r)
		return true
	}
	old := t.rows[i]
	t.rows[i].Stable.max(&r.Stable)
	t.rows[i].Candidate.max(&r.Candidate)
	return t.rows[i] != old
}

// Sum is the outcomes of all.
func (t *Tally) Sum() (stable, candidate Counts) {
	for i := range t.rows {
		stable.Add(&t.rows[i].Stable)
		candidate.Add(&t.rows[i].Candidate)
	}
	return stable, candidate
}

// P99 is the wait that 99 % of the admitted calls did not pass, as a part of the latency budget, rounded up to a step; 1 for longer.
func (c *Counts) P99() float64 {
	for i, longer := range c.Longer {
		if longer*100 <= c.Admitted() {
			return float64(i) / WaitSteps
		}
	}
	return 1
}
