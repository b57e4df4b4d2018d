package telemetry

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Source is asked for the node's state at every scrape. It must return within a bounded time; false means
// that the state could not be had, which is counted, and leaves the gauges out of that scrape.
type Source func() (State, bool)

// State is what a node holds at one moment.
type State struct {
	ReservationsActive int
	Budgets            []BudgetState   // one for each budget of the policy
	Queues             []QueueState    // one for each class
	Sizes              []SizeState     // what was learned of outputs
	Upstreams          []UpstreamState // of the policy
	RowsKnown          int
	RowAgeSeconds      float64 // of the oldest row of a live member
	MembersAlive       int
	MembersFailed      int
	MembersLeft        int
	Guard              GuardState
	Frozen             FrozenState
	Candidate          CandidateState
}

// BudgetState is one budget, summed over the instances that the node has an account for. Amounts are
// tokens of this node, but for Limit, which is the swarm's.
type BudgetState struct {
	Budget string
	Token  string // the token type

	Instances int
	Known     int   // of the swarm, as far as this node knows
	Most      int   // that there may be
	Ended     int   // whose lives are over and that are still known
	Forgotten int64 // accounts that went after that
	Limit     int64
	Used      float64 // of the limit, in the swarm, the most of its instances
	Rights    int64
	Reserved  int64
	Spent     int64
	Issued    int64
	Decayed   int64 // these three are what lapsed
	Expired   int64
	Burned    int64
	Ever      Life // since the generation began
	Debt      int64
	Price     float64 // what costs are multiplied by, the largest of its instances

	Level     int     // of backpressure, the highest of its instances
	Velocity  float64 // tokens per second asked for in the swarm, of its instances
	Exhausted float64 // seconds, the least of its instances; +Inf if none is

	Alerts []AlertState // by fraction
	Rate   float64      // the part of a rate that is in force, 0 to 1, the least of its instances

	Guarantee  bool    // it is a tenant's guarantee, or has one for each
	Floor      float64 // tokens per second that go first here, over its instances
	Guaranteed int64   // tokens admitted within it

	Fair        bool // tenants get max-min shares of it in the swarm
	Under, Over int  // tenants that have had less than theirs, and others, while it is shared out

	// ConservationError is the sum over instances of |issued - accounted for|; 0 unless we have a bug.
	ConservationError int64
}

// AlertState is a fraction of a budget that its policy names.
type AlertState struct {
	Fraction  float64 // of the limit
	Instances int     // that have used so much
}

// Life is what accounts minted and what of it lapsed, over all windows.
type Life struct {
	Shares, TopUps, Rolled, Over int64 // minted; Over is beyond the limit
	Decayed, Expired, Burned     int64 // lapsed
}

// Add adds another's.
func (l *Life) Add(o Life) {
	l.Shares += o.Shares
	l.TopUps += o.TopUps
	l.Rolled += o.Rolled
	l.Over += o.Over
	l.Decayed += o.Decayed
	l.Expired += o.Expired
	l.Burned += o.Burned
}

// SizeState is what was learned of the outputs of one rule and model.
type SizeState struct {
	Rule, Model           string
	Calls                 int
	Reserved              int64
	Mean, Above, Expected float64
	Costs                 []CostState // by budget
}

// UpstreamState is what the node knows of an upstream.
type UpstreamState struct {
	Upstream string
	Calls    int64   // that were sent there
	Cost     float64 // money
	Latency  float64 // seconds; only if Known
	Known    bool
	Avoided  bool
	Reach    bool
}

// MaxUpstreams bounds the upstreams that metrics tell of: as many as a policy may have.
const MaxUpstreams = 64

// CostState is what calls of one rule and model came to at a budget: of late, and as a rule.
type CostState struct {
	Budget      string
	Late, Usual float64
}

// maxFractions bounds the fractions of one budget that metrics tell of.
const maxFractions = 8

// CandidateState is the candidate that is tried, and what became of this node's calls by arm.
type CandidateState struct {
	Revision          int64 // 0: there is none
	Held              bool
	Tried             bool
	Stable, Candidate ArmState
	Drifts            []DriftState
	Shadow            ShadowState
	Experiments       []ExperimentState // of the policies in force
}

// ArmState is what became of the calls of one arm.
type ArmState struct{ Admitted, Refused int64 }

func (c *CandidateState) collect(send func(Metric, float64, ...string)) {
	held := 0.0
	if c.Held {
		held = 1
	}
	send(candidateRevision, float64(c.Revision))
	send(candidateHeld, held)
	c.Shadow.collect(send)
	collectExperiments(c.Experiments, send)
	if !c.Tried {
		return
	}
	send(armCalls, float64(c.Stable.Admitted), "stable", "admitted")
	send(armCalls, float64(c.Stable.Refused), "stable", "refused")
	send(armCalls, float64(c.Candidate.Admitted), "candidate", "admitted")
	send(armCalls, float64(c.Candidate.Refused), "candidate", "refused")
	c.collectDrifts(send)
}

// FrozenState counts what operators froze.
type FrozenState struct{ Instances, Tenants, Agents int }

// MaxSizes bounds the rules and models that metrics tell of: those with the most calls.
const MaxSizes = 64

// QueueState is the queue of one class.
type QueueState struct {
	Class  string
	Calls  int
	Tokens int64
}

// stateCollector turns a State into metrics at scrape time.
type stateCollector struct {
	m *Metrics
}

var stateMetrics = append([]Metric{
	reservationsActive, budgetInstances, budgetKnown, budgetMost, budgetEnded, forgottenTotal, budgetLimit, budgetRights, budgetReserved, budgetSpent, budgetIssued, budgetLapsed,
	mintedTokens, lapsedTokens, budgetDebt, budgetPrice, budgetLevel, budgetVelocity, budgetExhausted, budgetUsed, budgetRate, guaranteeRate, guaranteed, fairTenants, budgetAlerts, conservation, queueDepth, queueTokens,
	sizeReserved, sizeMean, sizeAbove, sizeExpected, costLate, costUsual, rowsKnown, rowAge, members, frozenKeys, candidateRevision, candidateHeld, armCalls, shadowCalls, shadowDifferences, experimentCalls, experimentScore, armOutputs, armOutputMean, armCosts, armCostMean,
	upstreamCalls, upstreamCost, upstreamLatency, upstreamAvoided, upstreamReach,
}, guardMetrics...)

var stateDescs = func() map[string]*prometheus.Desc {
	ds := make(map[string]*prometheus.Desc, len(stateMetrics))
	for _, m := range stateMetrics {
		ds[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
	}
	return ds
}()

func (c stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range stateMetrics {
		ch <- stateDescs[m.Name]
	}
}

func (c stateCollector) Collect(ch chan<- prometheus.Metric) {
	src := c.m.source.Load()
	if src == nil {
		return
	}
	st, ok := (*src)()
	if !ok {
		c.m.scrapeErrors.Inc()
		return
	}
	send := func(m Metric, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(stateDescs[m.Name], valueType(m), v, labels...)
	}
	send(reservationsActive, float64(st.ReservationsActive))
	st.Guard.collect(send)
	send(rowsKnown, float64(st.RowsKnown))
	send(rowAge, st.RowAgeSeconds)
	send(members, float64(st.MembersAlive), "alive")
	send(members, float64(st.MembersFailed), "failed")
	send(members, float64(st.MembersLeft), "left")
	st.Candidate.collect(send)
	send(frozenKeys, float64(st.Frozen.Instances), "instance")
	send(frozenKeys, float64(st.Frozen.Tenants), "tenant")
	send(frozenKeys, float64(st.Frozen.Agents), "agent")
	for _, b := range mergeBudgets(st.Budgets) {
		send(budgetInstances, float64(b.Instances), b.Budget, b.Token)
		send(budgetKnown, float64(b.Known), b.Budget, b.Token)
		send(budgetMost, float64(b.Most), b.Budget, b.Token)
		send(budgetEnded, float64(b.Ended), b.Budget, b.Token)
		send(forgottenTotal, float64(b.Forgotten), b.Budget, b.Token)
		send(budgetLimit, float64(b.Limit), b.Budget, b.Token)
		send(budgetUsed, b.Used, b.Budget, b.Token)
		send(budgetRights, float64(b.Rights), b.Budget, b.Token)
		send(budgetReserved, float64(b.Reserved), b.Budget, b.Token)
		send(budgetSpent, float64(b.Spent), b.Budget, b.Token)
		send(budgetIssued, float64(b.Issued), b.Budget, b.Token)
		send(budgetLapsed, float64(b.Decayed), b.Budget, b.Token, "decayed")
		send(budgetLapsed, float64(b.Expired), b.Budget, b.Token, "expired")
		send(budgetLapsed, float64(b.Burned), b.Budget, b.Token, "burned")
		send(mintedTokens, float64(b.Ever.Shares), b.Budget, b.Token, "shares")
		send(mintedTokens, float64(b.Ever.TopUps), b.Budget, b.Token, "top_up")
		send(mintedTokens, float64(b.Ever.Rolled), b.Budget, b.Token, "rollover")
		send(mintedTokens, float64(b.Ever.Over), b.Budget, b.Token, "overdraft")
		send(lapsedTokens, float64(b.Ever.Decayed), b.Budget, b.Token, "decayed")
		send(lapsedTokens, float64(b.Ever.Expired), b.Budget, b.Token, "expired")
		send(lapsedTokens, float64(b.Ever.Burned), b.Budget, b.Token, "burned")
		send(budgetDebt, float64(b.Debt), b.Budget, b.Token)
		send(budgetPrice, b.Price, b.Budget, b.Token)
		send(budgetLevel, float64(b.Level), b.Budget, b.Token)
		send(budgetVelocity, b.Velocity, b.Budget, b.Token)
		send(budgetExhausted, b.Exhausted, b.Budget, b.Token)
		for _, a := range b.Alerts {
			send(budgetAlerts, float64(a.Instances), b.Budget, b.Token, strconv.FormatFloat(a.Fraction, 'g', -1, 64))
		}
		send(budgetRate, b.Rate, b.Budget, b.Token)
		if b.Guarantee {
			send(guaranteeRate, b.Floor, b.Budget, b.Token)
			send(guaranteed, float64(b.Guaranteed), b.Budget, b.Token)
		}
		if b.Fair {
			send(fairTenants, float64(b.Under), b.Budget, b.Token, "under")
			send(fairTenants, float64(b.Over), b.Budget, b.Token, "over")
		}
		send(conservation, float64(b.ConservationError), b.Budget, b.Token)
	}
	for _, z := range topSizes(st.Sizes) {
		send(sizeReserved, float64(z.Reserved), z.Rule, z.Model)
		send(sizeMean, z.Mean, z.Rule, z.Model)
		send(sizeAbove, z.Above, z.Rule, z.Model)
		send(sizeExpected, z.Expected, z.Rule, z.Model)
		for _, c := range topCosts(z.Costs) {
			send(costLate, c.Late, z.Rule, z.Model, c.Budget)
			send(costUsual, c.Usual, z.Rule, z.Model, c.Budget)
		}
	}
	for i, u := range st.Upstreams[:min(len(st.Upstreams), MaxUpstreams)] {
		if slices.ContainsFunc(st.Upstreams[:i], func(o UpstreamState) bool { return labelValue(o.Upstream) == labelValue(u.Upstream) }) {
			continue
		}
		name, flag := labelValue(u.Upstream), map[bool]float64{true: 1}
		send(upstreamCalls, float64(u.Calls), name)
		send(upstreamCost, u.Cost, name)
		send(upstreamAvoided, flag[u.Avoided], name)
		send(upstreamReach, flag[u.Reach], name)
		if u.Known {
			send(upstreamLatency, u.Latency, name)
		}
	}
	for _, q := range mergeQueues(st.Queues) {
		send(queueDepth, float64(q.Calls), q.Class)
		send(queueTokens, float64(q.Tokens), q.Class)
	}
}

// maxCosts bounds the budgets of one rule and model that metrics tell of.
const maxCosts = 8

// topCosts are the first ones, each budget once.
func topCosts(in []CostState) (out []CostState) {
	for _, c := range in {
		if c.Budget = labelValue(c.Budget); len(out) < maxCosts && !slices.ContainsFunc(out, func(o CostState) bool { return o.Budget == c.Budget }) {
			out = append(out, c)
		}
	}
	return out
}

// topSizes are those of the most calls, each pair of labels once.
func topSizes(in []SizeState) []SizeState {
	in = slices.Clone(in)
	for i := range in {
		in[i].Rule, in[i].Model = labelValue(in[i].Rule), labelValue(in[i].Model)
	}
	slices.SortStableFunc(in, func(a, b SizeState) int { return cmp.Compare(b.Calls, a.Calls) })
	var out []SizeState
	for _, z := range in {
		if len(out) == MaxSizes {
			break
		}
		if z.Reserved >= 0 && !slices.ContainsFunc(out, func(o SizeState) bool { return o.Rule == z.Rule && o.Model == z.Model }) {
			out = append(out, z)
		}
	}
	return out
}

// mergeBudgets adds up entries of one budget and token type, and what is beyond MaxBudgets as "other":
// one label set twice in a scrape would make Prometheus refuse all of it.
func mergeBudgets(in []BudgetState) []BudgetState {
	type key struct{ budget, token string }
	at := make(map[key]int, len(in))
	var out []BudgetState
	for _, b := range in {
		b.Budget, b.Token = labelValue(b.Budget), labelValue(b.Token)
		b.Alerts = slices.Clone(b.Alerts[:min(len(b.Alerts), maxFractions)])
		k := key{b.Budget, b.Token}
		i, ok := at[k]
		if !ok && len(out) >= MaxBudgets {
			b.Budget, b.Token = other, other
			k = key{other, other}
			i, ok = at[k]
		}
		if !ok {
			at[k] = len(out)
			out = append(out, b)
			continue
		}
		o := &out[i]
		o.Instances += b.Instances
		o.Known += b.Known
		o.Most += b.Most
		o.Ended += b.Ended
		o.Forgotten += b.Forgotten
		o.Limit += b.Limit
		o.Rights += b.Rights
		o.Reserved += b.Reserved
		o.Spent += b.Spent
		o.Issued += b.Issued
		o.Decayed += b.Decayed
		o.Expired += b.Expired
		o.Burned += b.Burned
		o.Ever.Add(b.Ever)
		o.Debt += b.Debt
		o.Price = max(o.Price, b.Price)
		o.Level, o.Exhausted = max(o.Level, b.Level), min(o.Exhausted, b.Exhausted)
		o.Velocity += b.Velocity
		for _, a := range b.Alerts {
			i := slices.IndexFunc(o.Alerts, func(x AlertState) bool { return x.Fraction == a.Fraction })
			switch {
			case i >= 0:
				o.Alerts[i].Instances += a.Instances
			case len(o.Alerts) < maxFractions:
				o.Alerts = append(o.Alerts, a)
			}
		}
		o.Rate = min(o.Rate, b.Rate)
		o.Guarantee = o.Guarantee || b.Guarantee
		o.Floor += b.Floor
		o.Guaranteed += b.Guaranteed
		o.ConservationError += b.ConservationError
	}
	return out
}

func mergeQueues(in []QueueState) []QueueState {
	at := make(map[string]int, len(in))
	var out []QueueState
	for _, q := range in {
		q.Class = labelValue(q.Class)
		i, ok := at[q.Class]
		if !ok && len(out) >= MaxClasses {
			q.Class = other
			i, ok = at[other]
		}
		if !ok {
			at[q.Class] = len(out)
			out = append(out, q)
			continue
		}
		out[i].Calls += q.Calls
		out[i].Tokens += q.Tokens
	}
	return out
}
