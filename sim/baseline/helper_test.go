package baseline

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// list is a source of stated calls. A call with a Depth is followed, a second after it has ended, by one that is
// like it.
type list struct {
	calls []workload.Call
	next  int
}

func (l *list) Next() (workload.Call, bool) {
	if l.next == len(l.calls) {
		return workload.Call{}, false
	}
	l.next++
	return l.calls[l.next-1], true
}

func (l *list) Follow(c *workload.Call, at ledger.Millis, ended bool) []workload.Call {
	if !ended || c.Depth == 0 {
		return nil
	}
	next := *c
	next.At, next.Depth = at+1000, c.Depth-1
	return []workload.Call{next}
}

func from(calls []workload.Call) func() (workload.Source, error) {
	return func() (workload.Source, error) { return &list{calls: calls}, nil }
}

// document is a policy whose budget "pool" is as stated. Calls of model "both" draw on the tenant's own, too.
func document(t interface{ Fatal(...any) }, revision int, pool string) *policy.Policy {
	p, err := policy.Parse("test.yaml", []byte(fmt.Sprintf(`
apiVersion: swarmpurse/v1
revision: %d
tokens:
  compute: {unit: token}
  seats: {unit: slot}
  fading: {unit: token, decay: {half_life: 10s}}
classes:
  - {name: now, weight: 4, latency_budget: 0s}
  - {name: fast, weight: 4, latency_budget: 1s}
  - {name: slow, weight: 1, latency_budget: 10s, default: true}
budgets:
  - {name: pool, %s}
  - {name: own, token: compute, per: [tenant], supply: {window: 1m, amount: 150}}
rules:
  - {name: free, when: model == "free", stop: true}
  - {name: own, when: model == "both", draw: [own]}
  - {name: pooled, when: model != "unknown", draw: [pool]}
`, revision, pool)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// c is a call of 10 prompt tokens that reserves n, uses half of it and runs for a second.
func c(at time.Duration, node int, n int64) workload.Call {
	return workload.Call{At: millis(at), Node: node, Tenant: "a", Prompt: 10, Max: n - 10, Output: n/2 - 10, Runs: 1000}
}

// says sums a system up.
func says(s result.System) string {
	text := fmt.Sprintf("%d of %d, %d tokens", s.Admitted, s.Offered, s.GoodputTokens)
	if s.Deferred > 0 {
		text += fmt.Sprintf(", %d deferred", s.Deferred)
	}
	if s.Denied > 0 {
		text += fmt.Sprintf(", %d denied", s.Denied)
	}
	if s.OverspendTokens > 0 {
		text += fmt.Sprintf(", %d over (%.3g%%)", s.OverspendTokens, 100*s.Overspend)
	}
	for _, k := range s.Classes {
		if k.WaitP99 > 0 {
			text += fmt.Sprintf(", %s waits %v", k.Name, k.WaitP99.Truncate(10*time.Millisecond)) // the tally is exact to a thousandth
		}
	}
	return text
}

func mustRun(t *testing.T, kind string, sc *scenario.Scenario, calls []workload.Call, delay time.Duration) result.System {
	t.Helper()
	s, err := Run(kind, sc, from(calls), Options{GossipDelay: delay})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
