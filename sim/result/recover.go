package result

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// How the figure "recover" is taken.
const (
	// RecoverWindow is the time whose calls must be served as before.
	RecoverWindow = 2 * time.Second
	// RecoverPart says what "as before" is: so much of the part that was served before.
	RecoverPart = 0.9
	// RecoverBefore is the time whose calls say what was served before: so long until the disturbance began, as far as
	// the warmup was over.
	RecoverBefore = 10 * time.Second

	recoverStep = 250 * time.Millisecond // windows begin at multiples of it
)

// Disturbance is a stretch of a run, from its start, in which something was not as before: a fault, or the moment in
// which demand moved elsewhere.
type Disturbance struct{ From, Until time.Duration }

// served is the tokens of the calls that arrived in one step: all, and those of calls that were admitted and settled.
type served struct{ offered, good int64 }

// arrived is where a call's tokens count.
func (t *Tally) arrived(at ledger.Millis) *served {
	i := int(at / ledger.Millis(recoverStep.Milliseconds()))
	for len(t.served) <= i {
		t.served = append(t.served, served{})
	}
	return &t.served[i]
}

// part is the part that was served of what calls asked for that arrived from one moment to another, rounded down to
// steps; NaN if none did.
func (t *Tally) part(from, until time.Duration) float64 {
	var sum served
	for i := int(from / recoverStep); i < int(until/recoverStep) && i < len(t.served); i++ {
		sum.offered += t.served[i].offered
		sum.good += t.served[i].good
	}
	return fraction(sum.good, sum.offered)
}

// Recover is how many seconds it took after a disturbance until calls were served as before, at the longest: from its
// end to the begin of the first RecoverWindow in which the part of the offered tokens that was served (by calls that
// arrived in it) is at least RecoverPart of what it was in the RecoverBefore before the disturbance began.
// Disturbances that overlap or touch count as one. It is infinite if there was no such window before the last call
// came, and NaN if nothing disturbed the run: a disturbance counts if there were RecoverWindow of figures before it
// and so long after it, and something was served before.
func (t *Tally) Recover(list []Disturbance, end time.Duration) float64 {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Disturbance) int { return int(min(max(a.From-b.From, -1), 1)) })
	longest := math.NaN()
	warm := time.Duration(t.warmup) * time.Millisecond
	for len(list) > 0 {
		d := list[0]
		for list = list[1:]; len(list) > 0 && list[0].From <= d.Until; list = list[1:] {
			d.Until = max(d.Until, list[0].Until)
		}
		from := max(warm, d.From-RecoverBefore)
		before := t.part(from, d.From)
		if d.From-from < RecoverWindow || d.Until > end-RecoverWindow || !(before > 0) {
			continue
		}
		took := math.Inf(1)
		for at := (d.Until + recoverStep - 1).Truncate(recoverStep); at+RecoverWindow <= end; at += recoverStep {
			if t.part(at, at+RecoverWindow) >= RecoverPart*before {
				took = max(0, at-d.Until).Seconds()
				break
			}
		}
		if !(longest >= took) {
			longest = took
		}
	}
	return longest
}
