package telemetry

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/swarmpurse/swarmpurse/node/service"
)

// Bounds of label values. What is beyond them, or not in the policy, is counted under "other".
// Tenants, agents and instances are never labels: their number is the callers' choice.
const (
	MaxClasses = 64
	MaxBudgets = 512
	MaxFlags   = 32

	other       = "other"
	maxLabelLen = 128 // bytes
)

// Options of a Metrics.
type Options struct {
	Registerer prometheus.Registerer // required
	Version    string                // of the build
	Revision   string                // of the source
	// Runtime adds the Go runtime's and the process's metrics of client_golang.
	Runtime bool
}

// Metrics are the metrics of one node. All methods are safe for concurrent use, wait for nothing, and do
// nothing on a nil *Metrics.
type Metrics struct {
	stripes       *stripes
	local, waited *histogram

	charged, overrun, moved, lowered *prometheus.CounterVec // by budget; their children are in table

	expired, rowsSent, writes, written, scrapeErrors prometheus.Counter
	settled, asks, asked, rowsIn, dropped            choice
	changes, commits                                 choice
	transfers                                        map[string]choice // by kind, then direction
	askTime, commitTime                              prometheus.Histogram
	revision                                         prometheus.Gauge
	info                                             *prometheus.GaugeVec

	source   atomic.Pointer[Source]
	policyMu sync.Mutex // one SetPolicy at a time
	table    atomic.Pointer[table]
	history  history
}

// choice is a counter for each of a few fixed label values, made in advance so that a rate over them is
// right from the first event.
type choice map[string]prometheus.Counter

func (c choice) add(value string, n float64) {
	k, ok := c[value]
	if !ok {
		panic(fmt.Sprintf("BUG: no series for the label value %q", value))
	}
	k.Add(n)
}

// Label values of the methods below.
const (
	Settled  = "settled"
	Released = "released"
	Late     = "late"     // settled or released after it had expired
	Repeated = "repeated" // an earlier call had ended it

	Granted    = "granted"
	Refused    = "refused"
	Unanswered = "unanswered"

	In  = "in"
	Out = "out"

	Rights = "rights"
	Shares = "shares"

	News  = "news"
	Stale = "stale"

	Malformed = "malformed"
	Overflow  = "overflow"

	Applied = "applied"

	Here = "here"
	Peer = "peer"
)

// New makes the metrics and registers them. It fails if the registry has one of the names already.
func New(o Options) (*Metrics, error) {
	if o.Registerer == nil {
		return nil, errors.New("telemetry: no registry given")
	}
	m := &Metrics{stripes: newStripes()}
	m.local, m.waited = newHistogram(m.stripes), newHistogram(m.stripes)
	r := &registrar{to: o.Registerer}

	m.charged = r.counters(chargedTokens)
	m.overrun = r.counters(overrunTokens)
	m.moved = r.counters(transferredTokens)
	m.lowered = r.counters(loweredTotal)
	m.expired = r.counter(reservationsExpired)
	m.settled = r.choice(settlementsTotal, Settled, Released, Late, Repeated)
	m.asks = r.choice(asksTotal, Granted, Refused, Unanswered)
	m.asked = r.choice(asksReceived, Granted, Refused)
	m.askTime = r.histogram(askSeconds, 0.00025, 12)
	m.rowsSent = r.counter(rowsSent)
	m.rowsIn = r.choice(rowsReceived, News, Stale, Refused)
	m.dropped = r.choice(messagesDropped, Malformed, Overflow)
	m.changes = r.choice(policyChanges, Applied, Refused)
	m.commits = r.choice(storeCommits, "ok", "error")
	m.commitTime = r.histogram(storeSeconds, 0.0001, 14)
	m.writes = r.counter(storeWrites)
	m.written = r.counter(storeBytes)
	m.scrapeErrors = r.counter(scrapeErrors)

	transfers := r.counters(transfersTotal)
	m.transfers = map[string]choice{}
	for _, kind := range []string{Rights, Shares} {
		m.transfers[kind] = choice{In: transfers.WithLabelValues(In, kind), Out: transfers.WithLabelValues(Out, kind)}
	}
	m.revision = prometheus.NewGauge(prometheus.GaugeOpts{Name: policyRevision.Name, Help: policyRevision.Help})
	m.info = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: policyInfo.Name, Help: policyInfo.Help}, policyInfo.Labels)
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.Labels)
	build.WithLabelValues(labelValue(o.Version), labelValue(cmp.Or(o.Revision, "unknown")), runtime.Version()).Set(1)
	r.register(m.revision, m.info, build, stateCollector{m}, hotCollector{m})
	if o.Runtime {
		r.register(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	if r.err != nil {
		r.undo()
		return nil, fmt.Errorf("telemetry: %w", r.err)
	}
	m.table.Store(newTable(m.stripes, PolicyInfo{}, nil, m.series))
	return m, nil
}

// registrar registers until the first error.
type registrar struct {
	to   prometheus.Registerer
	done []prometheus.Collector
	err  error
}

func (r *registrar) register(cs ...prometheus.Collector) {
	for _, c := range cs {
		if r.err != nil {
			return
		}
		if r.err = r.to.Register(c); r.err == nil {
			r.done = append(r.done, c)
		}
	}
}

func (r *registrar) undo() {
	for _, c := range r.done {
		r.to.Unregister(c)
	}
}

func (r *registrar) counters(m Metric) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
	r.register(v)
	return v
}

func (r *registrar) counter(m Metric) prometheus.Counter {
	return r.counters(m).WithLabelValues()
}

func (r *registrar) choice(m Metric, values ...string) choice {
	v, c := r.counters(m), choice{}
	for _, x := range values {
		c[x] = v.WithLabelValues(x)
	}
	return c
}

// histogram has n buckets, each twice as wide as the one before, from first seconds.
func (r *registrar) histogram(m Metric, first float64, n int) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: prometheus.ExponentialBuckets(first, 2, n)})
	r.register(h)
	return h
}

var (
	decisionDesc  = prometheus.NewDesc(decisionsTotal.Name, decisionsTotal.Help, decisionsTotal.Labels, nil)
	admissionDesc = prometheus.NewDesc(admissionSeconds.Name, admissionSeconds.Help, admissionSeconds.Labels, nil)
	flagCallsDesc = prometheus.NewDesc(flagCalls.Name, flagCalls.Help, flagCalls.Labels, nil)
	waitDesc      = prometheus.NewDesc(waitSeconds.Name, waitSeconds.Help, waitSeconds.Labels, nil)

	classCallsDesc     = prometheus.NewDesc(classCalls.Name, classCalls.Help, classCalls.Labels, nil)
	classBudgetDesc    = prometheus.NewDesc(classBudget.Name, classBudget.Help, classBudget.Labels, nil)
	classObjectiveDesc = prometheus.NewDesc(classObjective.Name, classObjective.Help, classObjective.Labels, nil)
	classBurnDesc      = prometheus.NewDesc(classBurn.Name, classBurn.Help, classBurn.Labels, nil)
)

// hotCollector collects what is striped.
type hotCollector struct{ m *Metrics }

func (c hotCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- decisionDesc
	ch <- admissionDesc
	ch <- waitDesc
	ch <- flagCallsDesc
	ch <- classCallsDesc
	ch <- classBudgetDesc
	ch <- classObjectiveDesc
	ch <- classBurnDesc
}

func (c hotCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- c.m.local.metric(admissionDesc, "local")
	ch <- c.m.waited.metric(admissionDesc, "waited")
	c.m.table.Load().collect(ch)
	c.m.collectService(ch)
}

func (m *Metrics) series(budget string) *budgetSeries {
	return &budgetSeries{m.charged.WithLabelValues(budget), m.overrun.WithLabelValues(budget),
		m.moved.WithLabelValues(budget, In), m.moved.WithLabelValues(budget, Out),
		m.lowered.WithLabelValues(budget, Here), m.lowered.WithLabelValues(budget, Peer)}
}

// SetSource sets who is asked for the node's state at a scrape.
func (m *Metrics) SetSource(s Source) {
	if m != nil {
		m.source.Store(&s)
	}
}

// SetPolicy tells of the policy in force. Series of classes and budgets that it no longer has go away.
func (m *Metrics) SetPolicy(p PolicyInfo) {
	if m == nil {
		return
	}
	m.policyMu.Lock()
	defer m.policyMu.Unlock()
	old := m.table.Load()
	t := newTable(m.stripes, p, old, m.series)
	m.table.Store(t)
	m.history.renew()
	for b := range old.budgets {
		if _, ok := t.budgets[b]; !ok {
			m.charged.DeleteLabelValues(b)
			m.overrun.DeleteLabelValues(b)
			m.moved.DeletePartialMatch(prometheus.Labels{labelBudget: b})
			m.lowered.DeletePartialMatch(prometheus.Labels{labelBudget: b})
		}
	}
	m.revision.Set(float64(p.Revision))
	m.info.Reset()
	m.info.WithLabelValues(labelValue(p.Hash[:min(len(p.Hash), 12)])).Set(1)
}

// Decision counts a decision: the verdict and code of the answer, the call's class, whether a refusal is excused (see
// service.go), how long it was queued (0: it was decided at once) and how long the whole decision took. It allocates nothing.
func (m *Metrics) Decision(verdict, code, class string, excused bool, waited, took time.Duration) {
	if m == nil {
		return
	}
	t := m.table.Load()
	c := t.class(class)
	x := m.stripes.get()
	t.decision(verdict, code, c).inc(x)
	became := service.Became(t.most[c], verdict == "admit" || verdict == "degrade", excused, took)
	t.counter(&t.service[c][became]).inc(x)
	if waited > 0 {
		m.waited.observe(x, took)
		t.wait(c).observe(x, waited)
	} else {
		m.local.observe(x, took)
	}
}

// Flags counts a decision on a call for which flags are on.
func (m *Metrics) Flags(on []string) {
	if m == nil || len(on) == 0 {
		return
	}
	t, x := m.table.Load(), m.stripes.get()
	for _, f := range on {
		n := t.flags[f]
		if n == nil {
			n = t.flags[other]
		}
		n.inc(x)
	}
}

// Settlement counts the end of a reservation by its caller: Settled, Released, Late or Repeated.
func (m *Metrics) Settlement(how string) {
	if m != nil {
		m.settled.add(how, 1)
	}
}

// Charge counts what a settlement charged to one budget, and how much of it was overrun.
func (m *Metrics) Charge(budget string, tokens, overrun int64) {
	if m == nil {
		return
	}
	b := m.table.Load().budget(budget)
	b.charged.Add(amount(tokens))
	b.overrun.Add(amount(overrun))
}

// Expired counts n reservations that ended by their TTL.
func (m *Metrics) Expired(n int) {
	if m != nil {
		m.expired.Add(amount(n))
	}
}

// RightsMoved counts one transfer of rights: direction In or Out.
func (m *Metrics) RightsMoved(direction, budget string, tokens int64) {
	if m == nil {
		return
	}
	m.transfers[Rights].add(direction, 1)
	b := m.table.Load().budget(budget)
	if direction == In {
		b.in.Add(amount(tokens))
	} else {
		b.out.Add(amount(tokens))
	}
}

// Lowered counts one fall of a budget's rate since its provider refused calls: seen Here or by a Peer.
func (m *Metrics) Lowered(budget, by string) {
	if m == nil {
		return
	}
	b := m.table.Load().budget(budget)
	if by == Here {
		b.here.Inc()
	} else {
		b.peer.Inc()
	}
}

// SharesMoved counts one transfer of shares: direction In or Out.
func (m *Metrics) SharesMoved(direction string) {
	if m != nil {
		m.transfers[Shares].add(direction, 1)
	}
}

// Ask counts an ask that this node sent and that has ended: Granted, Refused or Unanswered, after took.
func (m *Metrics) Ask(how string, took time.Duration) {
	if m == nil {
		return
	}
	m.asks.add(how, 1)
	if how != Unanswered {
		m.askTime.Observe(max(took, 0).Seconds())
	}
}

// Asked counts an ask of a peer by this node's answer: Granted or Refused.
func (m *Metrics) Asked(how string) {
	if m != nil {
		m.asked.add(how, 1)
	}
}

// RowsSent counts n rows sent to peers.
func (m *Metrics) RowsSent(n int) {
	if m != nil {
		m.rowsSent.Add(amount(n))
	}
}

// RowsReceived counts n rows from peers that were News, Stale or Refused.
func (m *Metrics) RowsReceived(how string, n int) {
	if m != nil {
		m.rowsIn.add(how, amount(n))
	}
}

// Dropped counts a message that was thrown away: Malformed or Overflow.
func (m *Metrics) Dropped(why string) {
	if m != nil {
		m.dropped.add(why, 1)
	}
}

// PolicyChange counts a policy document that was Applied or Refused.
func (m *Metrics) PolicyChange(how string) {
	if m != nil {
		m.changes.add(how, 1)
	}
}

// Committed counts a transaction of the store; it makes Metrics a store.Observer.
func (m *Metrics) Committed(took time.Duration, writes, bytes int, err error) {
	if m == nil {
		return
	}
	m.commitTime.Observe(max(took, 0).Seconds())
	if err != nil {
		m.commits.add("error", 1)
		return
	}
	m.commits.add("ok", 1)
	m.writes.Add(amount(writes))
	m.written.Add(amount(bytes))
}

// amount keeps a counter from panicking on a negative amount, which would be our bug but no reason to stop a
// node.
func amount[T int | int64](n T) float64 { return float64(max(n, 0)) }
