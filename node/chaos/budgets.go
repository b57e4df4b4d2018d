package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// The budgets of a run. Each is drawn on by calls of its own kind, told by their model, so that the book knows
// without asking anybody what a call was charged to.
const (
	Jobs  = "jobs"  // a grant for each job: spent to its end in some seconds, again and again, with new ones
	Turns = "turns" // a window of some seconds
	Pool  = "pool"  // a rate
	Gates = "gates" // slots
	Pace  = "pace"  // a grant that may be overdrawn by a quarter
)

// limits are the amounts of a run's budgets, fitted to what its callers ask for.
type limits struct {
	Job, Turn, Burst, Pace ledger.Tokens
	Rate                   ledger.Tokens // per second
	Slots                  ledger.Tokens
	Window                 time.Duration // of Turns
	Lend                   time.Duration // of Pool
	JobEvery               time.Duration // a new job
	Lease                  time.Duration // of guardians
}

const (
	meanCall  = 300         // tokens, of mixedSize
	perCaller = 12          // calls a second that a caller makes at most
	overdraft = 25          // percent, of Pace
	autonomy  = time.Second // the least that a policy may say: what a generation strands when it is claimed
)

// backWithin is how soon after the end of a generation all that it had is in use again.
func (l *limits) backWithin() time.Duration { return l.Lease + l.Lease/10 + 10*time.Second }

// limitsFor asks for some three times of what there is.
func limitsFor(o *Options) limits {
	perSecond := func(callers int) float64 { return float64(o.Nodes*callers*perCaller) * meanCall }
	l := limits{Window: 5 * time.Second, Lend: 2 * time.Second, Lease: 20 * time.Second}
	if o.Duration < time.Minute {
		l.Lease = 10 * time.Second // the shortest that there is
	}
	l.JobEvery = min(max(o.Duration/12, 4*time.Second), 20*time.Second)
	l.Job = ledger.Tokens(perSecond(callers[Jobs]) * l.JobEvery.Seconds() / 3)
	l.Job -= l.Job % ledger.Tokens(o.Nodes) // so that all founders' seats issue the same part
	l.Turn = ledger.Tokens(perSecond(callers[Turns]) * l.Window.Seconds() / 3)
	l.Rate = ledger.Tokens(perSecond(callers[Pool]) / 3)
	l.Burst = l.Rate
	l.Pace = ledger.Tokens(perSecond(callers[Pace]) * o.Duration.Seconds() / 5)
	l.Slots = ledger.Tokens(o.Nodes * callers[Gates] / 3)
	return l
}

// callers is how many callers of each kind every node has.
var callers = map[string]int{Jobs: 2, Turns: 1, Pool: 1, Gates: 2, Pace: 1}

// policy is the run's policy document.
func (l *limits) policy() string {
	return fmt.Sprintf(`apiVersion: swarmpurse/v1
revision: 1
guardians: 3
lease: %v
autonomy: %v
tokens:
  compute: {unit: token}
  open: {unit: slot}
budgets:
  - {name: jobs, token: compute, per: [tenant], supply: {grant: %d}}
  - {name: turns, token: compute, supply: {window: %v, amount: %d}}
  - {name: pool, token: compute, supply: {rate: %d/s, burst: %d, lend: %v}}
  - {name: gates, token: open, supply: {slots: %d}}
  - {name: pace, token: compute, supply: {grant: %d}, ceiling: {soft: %d%%}}
rules:
  - {when: model == "jobs", draw: [jobs], stop: true}
  - {when: model == "turns", draw: [turns], stop: true}
  - {when: model == "pool", draw: [pool], stop: true}
  - {when: model == "gates", draw: [gates], stop: true}
  - {when: model == "pace", draw: [pace], stop: true}
default: deny
`, l.Lease, autonomy, l.Job, l.Window, l.Turn, l.Rate, l.Burst, l.Lend, l.Slots, l.Pace, overdraft)
}

// born is when the first call for a job may have been made, after the start of the load.
func (l *limits) born(job int) time.Duration { return time.Duration(job) * l.JobEvery }

// tenantOf is whose job that is; jobOf is its number again, from the instance's name.
func tenantOf(job int) string { return "job" + strconv.Itoa(job) }

func jobOf(instance string) (job int, ok bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(instance, Jobs+"/job"))
	return n, err == nil
}

// instanceOf names what a call of that kind draws on.
func instanceOf(budget, tenant string) string {
	if budget == Jobs {
		return Jobs + "/" + tenant
	}
	return budget
}
