package result

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// MaxTenants bounds the tenants that a tally tells apart. Those met later count as one, called OtherTenants.
const MaxTenants = 1 << 16

// OtherTenants is the name under which tenants beyond MaxTenants are counted.
const OtherTenants = "(others)"

// maxWait is the longest wait that is told from longer ones.
const maxWait = 7 * 24 * time.Hour

// Tally makes a System of what becomes of calls. The swarm and all that it is compared with are counted by it,
// so that their figures mean the same:
//
//   - A call that arrives before the warmup is over does not count, whenever it ends.
//   - A caller who comes back after a deferral makes no new call: the call is offered once, and ends once. Its
//     wait is all the time from its first arrival to its admission.
//   - A call that nothing could answer, because its node was down, is deferred; nobody told the caller when to
//     come back, so he does not.
//   - Goodput is the tokens that settled calls really used, prompt and output, whatever the policy made of them.
//     A call whose node died while it ran is never settled.
//
// Memory is bounded by the number of classes, MaxTenants and the length of the run. A Tally is deterministic, and not safe for
// concurrent use.
type Tally struct {
	system  System
	warmup  ledger.Millis
	local   int64         // admitted with no remote hop
	classes []*classTally // of all policies, in the order in which they name them
	streams []*classTally // of the workload
	other   string        // the class of calls that name none
	tenants map[string]*Tenant
	others  *Tenant
	served  []served // by steps of time
	returns []int64  // callers that come back, by steps of time
	policy  *policy.Policy
}

type classTally struct {
	name                        string
	budget                      ledger.Millis
	offered, admitted, inBudget int64
	prices                      float64 // that admitted calls paid, summed up
	priced                      int64   // so many of them
	reserved, charged, overrun  int64
	waits                       *hdrhistogram.Histogram // in ms, exact below 2 s, then to one part in a thousand
}

// NewTally counts for the system of that name. Classes are those of all the policies; of one that several have, the
// first says which latency budget is meant. Calls of other classes count in all figures but those of classes.
func NewTally(system string, ps []*policy.Policy, warmup time.Duration) *Tally {
	t := &Tally{
		system:  System{Name: system},
		warmup:  ledger.Millis(warmup.Milliseconds()),
		tenants: map[string]*Tenant{},
	}
	for i, p := range ps {
		if i == 0 {
			t.policy = p
		}
		if c, ok := p.Class(""); i == 0 && ok {
			t.other = c.Name
		}
		for _, c := range p.Classes() {
			if t.classNamed(c.Name) == nil {
				t.classes = append(t.classes, &classTally{
					name: c.Name, budget: ledger.Millis(c.LatencyBudget.Milliseconds()), waits: hdrhistogram.New(1, maxWait.Milliseconds(), 3),
				})
			}
		}
	}
	return t
}

// Streams has it tell the workload's streams apart, too, by their names in order.
func (t *Tally) Streams(list []workload.Stream) {
	for i := range list {
		t.streams = append(t.streams, &classTally{name: list[i].Name, waits: hdrhistogram.New(1, maxWait.Milliseconds(), 3)})
	}
}

// each does f for the class and the stream of a call, as far as they are told apart, with the class's latency budget.
func (t *Tally) each(c *workload.Call, f func(k *classTally, budget ledger.Millis)) {
	k := t.class(c)
	if k == nil {
		return
	}
	f(k, k.budget)
	if c.Stream < len(t.streams) {
		f(t.streams[c.Stream], k.budget)
	}
}

// weight is a tenant's, by the first policy.
func (t *Tally) weight(tenant string) float64 {
	if t.policy == nil {
		return 1
	}
	return float64(t.policy.TenantWeight(tenant))
}

func (t *Tally) classNamed(name string) *classTally {
	for _, k := range t.classes {
		if k.name == name {
			return k
		}
	}
	return nil
}

// Offered counts a call that has arrived.
func (t *Tally) Offered(c *workload.Call) {
	if c.At < t.warmup {
		return
	}
	t.system.Offered++
	t.system.OfferedTokens += tokens(c)
	t.each(c, func(k *classTally, _ ledger.Millis) { k.offered++ })
	n := t.tenant(c)
	n.Offered++
	n.OfferedTokens += tokens(c)
	t.arrived(c.At).offered += tokens(c)
}

// Admitted counts a call that may run from at on; local says that no other node had to be asked for it.
func (t *Tally) Admitted(c *workload.Call, at ledger.Millis, local bool) {
	if c.At < t.warmup {
		return
	}
	t.system.Admitted++
	if local {
		t.local++
	}
	t.each(c, func(k *classTally, budget ledger.Millis) {
		k.admitted++
		wait := at - c.At
		if wait <= budget {
			k.inBudget++
		}
		// Nothing between 0 and maxWait can fail.
		_ = k.waits.RecordValue(int64(min(max(wait, 0), ledger.Millis(maxWait.Milliseconds()))))
	})
	t.tenant(c).Admitted++
}

// Paid counts the price at which a call was admitted.
func (t *Tally) Paid(c *workload.Call, price float64) {
	if c.At < t.warmup {
		return
	}
	t.each(c, func(k *classTally, _ ledger.Millis) {
		k.prices += price
		k.priced++
	})
}

// Charged counts what a call was charged on all budgets when it ended, what of that was above what it had set aside, and that.
func (t *Tally) Charged(c *workload.Call, reserved, charged, overrun int64) {
	if c.At < t.warmup {
		return
	}
	t.each(c, func(k *classTally, _ ledger.Millis) {
		k.reserved += reserved
		k.charged += charged
		k.overrun += overrun
	})
}

// Degraded counts a call that is admitted if it runs cheaper.
func (t *Tally) Degraded(c *workload.Call) {
	if c.At >= t.warmup {
		t.system.Degraded++
	}
}

// Refused counts a refusal by the provider of a call that was admitted. Then it was not: its caller comes back, or it is deferred.
func (t *Tally) Refused(c *workload.Call) {
	if c.At >= t.warmup {
		t.system.Refused++
	}
}

// Money counts what a call took at its upstream, in micro-units, and what it would have taken at the first of the policy's that might have run it.
func (t *Tally) Money(c *workload.Call, took, first int64) {
	if c.At >= t.warmup {
		t.system.Money += float64(took) / 1e6
		t.system.MoneyFirst += float64(first) / 1e6
	}
}

// Passed counts bytes of a call's answer that pass now, and whether they do without rights for them.
func (t *Tally) Passed(at ledger.Millis, bytes int64, owed bool) {
	if at < t.warmup {
		return
	}
	t.system.Passed += bytes
	if owed {
		t.system.Owed += bytes
	}
}

// Redirected counts a caller who was told to ask a node in another zone, and does.
func (t *Tally) Redirected(c *workload.Call) {
	if c.At >= t.warmup {
		t.system.Redirected++
	}
}

// Deferred counts a call that was refused for the time being and does not come back.
func (t *Tally) Deferred(c *workload.Call) {
	if c.At >= t.warmup {
		t.system.Deferred++
	}
}

// Denied counts a call that was refused for good.
func (t *Tally) Denied(c *workload.Call) {
	if c.At >= t.warmup {
		t.system.Denied++
	}
}

// Settled counts what an admitted call really used.
func (t *Tally) Settled(c *workload.Call) {
	if c.At < t.warmup {
		return
	}
	t.system.GoodputTokens += tokens(c)
	t.tenant(c).GoodputTokens += tokens(c)
	t.arrived(c.At).good += tokens(c)
}

// Returns counts a caller who was deferred and comes back at that time.
func (t *Tally) Returns(at ledger.Millis) {
	if at < t.warmup {
		return
	}
	i := int(at / ledger.Millis(recoverStep.Milliseconds()))
	for len(t.returns) <= i {
		t.returns = append(t.returns, 0)
	}
	t.returns[i]++
}

// wave is how many callers came back within one second, at most.
func (t *Tally) wave() (most int64) {
	const steps = int(time.Second / recoverStep)
	sum := int64(0)
	for i, n := range t.returns {
		if sum += n; i >= steps {
			sum -= t.returns[i-steps]
		}
		most = max(most, sum)
	}
	return most
}

// System is what has been counted so far: classes in the policy's order, tenants by offered tokens, largest
// first. Figures that a Tally does not know are zero, or NaN where they are fractions.
func (t *Tally) System() System {
	s := t.system
	s.Goodput, s.AsksPerCall, s.Recover, s.PriceSettle = math.NaN(), math.NaN(), math.NaN(), math.NaN()
	s.Dead, s.Stuck, s.Back, s.Drift = math.NaN(), math.NaN(), math.NaN(), math.NaN()
	s.Local = fraction(t.local, s.Admitted)
	s.Returns = t.wave()
	for _, k := range t.classes {
		s.Classes = append(s.Classes, k.result())
	}
	for _, k := range t.streams {
		s.Streams = append(s.Streams, k.result())
	}
	for _, n := range t.tenants {
		s.Tenants = append(s.Tenants, *n)
	}
	if t.others != nil {
		s.Tenants = append(s.Tenants, *t.others)
	}
	slices.SortFunc(s.Tenants, func(a, b Tenant) int {
		return cmp.Or(cmp.Compare(b.OfferedTokens, a.OfferedTokens), cmp.Compare(a.Name, b.Name))
	})
	s.Jain, s.Unfair = jain(s.Tenants), unfair(s.Tenants, t.weight)
	return s
}

func (k *classTally) result() Class {
	return Class{
		Name: k.name, Offered: k.offered, Admitted: k.admitted,
		WaitP50: k.wait(50), WaitP99: k.wait(99),
		InBudget: fraction(k.inBudget, k.offered),
		Price:    k.prices / float64(max(1, k.priced)), Reserved: k.reserved, Charged: k.charged, Overrun: k.overrun,
	}
}

// Relate states each system's goodput beside the omniscient one's, if that is among them.
func Relate(systems []System) {
	i := slices.IndexFunc(systems, func(s System) bool { return s.Name == Omniscient })
	for j := range systems {
		systems[j].Goodput = math.NaN()
		if i >= 0 {
			systems[j].Goodput = fraction(systems[j].GoodputTokens, systems[i].GoodputTokens)
		}
	}
}

// jain is Jain's index (Jain, Chiu and Hawe, 1984) of what each tenant got of what it wanted: 1 when all got the
// same part, 1/n when one of n got all. Tenants that wanted nothing do not count.
func jain(tenants []Tenant) float64 {
	var n, sum, squares float64
	for _, t := range tenants {
		if t.OfferedTokens > 0 {
			x := float64(t.GoodputTokens) / float64(t.OfferedTokens)
			n, sum, squares = n+1, sum+x, squares+x*x
		}
	}
	if squares == 0 {
		return math.NaN()
	}
	return sum * sum / (n * squares)
}

func tokens(c *workload.Call) int64 { return c.Prompt + c.Output }

func fraction(part, whole int64) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

func (t *Tally) class(c *workload.Call) *classTally {
	return t.classNamed(cmp.Or(c.Class, t.other))
}

func (t *Tally) tenant(c *workload.Call) *Tenant {
	n, ok := t.tenants[c.Tenant]
	switch {
	case ok:
	case len(t.tenants) < MaxTenants:
		n = &Tenant{Name: c.Tenant}
		t.tenants[c.Tenant] = n
	default:
		if t.others == nil {
			t.others = &Tenant{Name: OtherTenants}
		}
		n = t.others
	}
	return n
}

// wait is a quantile, in percent, rounded up to what the histogram tells apart; 0 when nothing was admitted.
func (k *classTally) wait(percent float64) time.Duration {
	if k.admitted == 0 {
		return 0
	}
	return time.Duration(k.waits.ValueAtPercentile(percent)) * time.Millisecond
}
