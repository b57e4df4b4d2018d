package demo

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// onTheWay is how long a call may take from its admission to the model server. A call that reaches the
// server so soon after a window has turned may have been admitted in the window before.
const onTheWay = time.Second

const million = 1_000_000

// BudgetAudit is one budget instance, judged by the model server's count alone.
type BudgetAudit struct {
	Instance string        `json:"instance"`
	Supply   string        `json:"supply"`
	Ceiling  string        `json:"ceiling"`
	Limit    ledger.Tokens `json:"limit"` // of one window, the grant, the burst, the slots
	// Counted is what the model server counted for it in the whole run; for slots the most at once.
	Counted int64 `json:"counted"`
	// Supplied is what the limit allowed in the whole run: every window that the load touched, or
	// rate × time + burst.
	Supplied int64 `json:"supplied"`
	// Peak is the most in one window; for a rate in the worst span of time, Allowed being what the
	// bound rate × (T + L) + burst allows in it.
	Peak    int64 `json:"peak"`
	Allowed int64 `json:"allowed"`
	// Overspend is what was admitted above the limit: over all windows together, and it must be 0, if the
	// ceiling is hard; in the worst window otherwise.
	Overspend int64 `json:"overspend"`
	// Skipped says why the model server's count cannot judge it; "" when it can.
	Skipped string `json:"skipped,omitempty"`

	hard bool
	// nowLimit and nowSpent are for the live table: of the window in which a call came last, for a rate
	// of the worst span so far.
	nowLimit, nowSpent int64
}

// audit judges every instance that the workload draws on.
func (b *book) audit(counts []SlotCount) []BudgetAudit {
	used := b.use(counts)
	list := make([]BudgetAudit, len(b.accounts))
	for i, a := range b.accounts {
		list[i] = judge(a, counts, used[i])
	}
	return list
}

func judge(a *account, counts []SlotCount, used []int64) BudgetAudit {
	spec := a.budget.Spec
	r := BudgetAudit{
		Instance: a.name, Supply: api.SupplyText(&spec), Ceiling: api.CeilingText(&spec), Limit: spec.Amount,
		Skipped: a.skipped, hard: spec.Ceiling == ledger.Hard,
	}
	if a.skipped != "" {
		return r
	}
	for _, n := range used {
		r.Counted += n
	}
	r.nowLimit, r.nowSpent = int64(spec.Amount), r.Counted
	switch spec.Kind {
	case ledger.Slots:
		r.Counted = a.inUse.top()
		r.Peak, r.Allowed, r.Supplied = r.Counted, int64(spec.Amount), int64(spec.Amount)
		r.Overspend = max(0, r.Peak-r.Allowed)
	case ledger.Grant:
		r.Peak, r.Allowed, r.Supplied = r.Counted, int64(spec.Amount), int64(spec.Amount)
		r.Overspend = max(0, r.Peak-r.Allowed)
	case ledger.Windowed:
		judgeWindows(&r, spec, counts, used)
	case ledger.Rate:
		judgeRate(&r, spec, counts, used)
	}
	return r
}

// judgeWindows finds the run of windows that was overspent most. What reached the server in the first
// moments of a window may belong to the one before, so it is held against both together only: whatever
// had to be admitted within windows i to j must not pass their limits. By Hall's theorem for intervals
// that is all that can be said, and enough.
func judgeWindows(r *BudgetAudit, spec ledger.Spec, counts []SlotCount, used []int64) {
	limit := int64(spec.Amount)
	rollover := limit/million*spec.RolloverPPM + limit%million*spec.RolloverPPM/million
	type sums struct {
		end       ledger.Instant
		all, soon int64 // soon: of all, what came in the first moments
		between   int64 // windows since the one before, in which nothing came
	}
	var windows []sums
	for i, c := range counts {
		at := ledger.Instant(c.Start.UnixMilli())
		_, start, end := spec.Calendar.At(at)
		if n := len(windows); n == 0 || windows[n-1].end < end {
			w := sums{end: end}
			if n > 0 {
				w.between = windowsBetween(spec.Calendar, windows[n-1].end, start)
			}
			windows = append(windows, w)
		}
		s := &windows[len(windows)-1]
		s.all += used[i]
		if at-start < ledger.Instant(onTheWay.Milliseconds()) {
			s.soon += used[i]
		}
	}
	r.Allowed = limit
	// run is the worst of all spans that end with this window, or with the empty one before it.
	worst, run := int64(0), -limit
	for _, s := range windows {
		r.Peak = max(r.Peak, s.all)
		r.Supplied += limit * (s.between + 1)
		if s.between > 0 {
			run = max(run-limit*s.between, -limit)
		}
		run = max(run+s.all, s.all-s.soon) - limit
		worst = max(worst, run)
		r.nowSpent = s.all
	}
	r.Overspend = max(0, worst-rollover)
	if !r.hard {
		r.Overspend = max(0, r.Peak-limit-rollover) // a fraction of each window may be overdrawn, again and again
	}
}

// windowsBetween counts the windows that lie between two instants where one ends or begins.
func windowsBetween(c ledger.Calendar, from, to ledger.Instant) (n int64) {
	for from < to {
		_, _, from = c.At(from)
		n++
	}
	return n
}

// judgeRate finds the span of time in which most was admitted above rate × (T + L) + burst. T is
// counted from the beginning of a slot to the end of another, and what may be on the way is added.
func judgeRate(r *BudgetAudit, spec ledger.Spec, counts []SlotCount, used []int64) {
	perSecond := float64(spec.Per) / float64(spec.PerMillis) * 1000
	slack := perSecond*(float64(spec.Lend)/1000+onTheWay.Seconds()) + float64(spec.Amount)
	if len(counts) > 0 {
		span := counts[len(counts)-1].Start.Sub(counts[0].Start) + slotLength
		r.Supplied = int64(perSecond*span.Seconds()) + int64(spec.Amount)
	}
	// run is the worst of all spans that end with this slot, less rate × T; begun is where it begins.
	run, begun, sum := 0.0, 0, int64(0)
	over := -slack
	for i, c := range counts {
		gap := 0.0
		if i > 0 {
			gap = c.Start.Sub(counts[i-1].Start.Add(slotLength)).Seconds() * perSecond
		}
		if run-gap <= 0 {
			run, begun, sum = 0, i, 0
		} else {
			run -= gap
		}
		run += float64(used[i]) - perSecond*slotLength.Seconds()
		sum += used[i]
		if excess := run - slack; excess > over || i == 0 {
			over = excess
			span := c.Start.Sub(counts[begun].Start) + slotLength
			r.Peak, r.Allowed = sum, int64(perSecond*span.Seconds()+slack)
		}
	}
	r.nowLimit, r.nowSpent = r.Allowed, r.Peak
	// Below a token it is the arithmetic of fractions, not a token.
	if over >= 1 {
		r.Overspend = int64(over)
	}
}
