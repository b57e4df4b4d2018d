package sim

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

const (
	samples       = 240 // of each panel
	stalePairs    = 64  // pairs of node and row that a sample looks at
	lookEvery     = 250 * milli
	panelLines    = 8  // budgets shown at most
	pricedMost    = 64 // instances whose prices are looked at
	sweepsASample = 4
)

// measure gathers what the result shows of the swarm.
type measure struct {
	w           *world
	adopted     []int // by policy: at how many running nodes it is in force
	asks        int64
	guards      uint64 // bytes of guarding, within the figures' time
	unheld      int64  // calls that waited for guardians
	successions int64
	ended       []ended
	endedShares float64 // of all instances
	back        micros  // the longest until all of one of them was in use again
	frozen      frozenMeasure
	rollouts    trials
	step        micros

	at                                        []time.Duration
	admitted, deferred, denied, settledTokens []float64
	counts                                    [admit.Deny + 1]int64
	before                                    [admit.Deny + 1]int64
	tokens, tokensBefore                      int64
	queued, queuedMost                        []float64
	known                                     int // instances that one node knew, at most, likewise
	queue                                     int // calls that waited at one node, at most, within the figures' time
	stale                                     []float64
	ages                                      []float64 // all samples of staleness within the figures' time
	bytes                                     []float64
	sentBefore                                uint64
	rights                                    []rightsPanel
	prices                                    []result.Prices // by instance
	priceLines                                map[string][]float64
	drift                                     drifting
	serving                                   serving
	alerting                                  alerting

	budgets []result.Budget // once the last call has been made

	warm     sentBy // once the warmup was over
	cooled   sentBy // once arrivals ended
	looking  bool
	since    micros     // of the last heal
	target   [][]uint32 // versions to be known, by instance and holder
	converge time.Duration
}

// rightsPanel is the rights of one instance over the nodes.
type rightsPanel struct {
	id    ledger.InstanceID
	lines [5][]float64 // least, a tenth, half, nine tenths, most
}

func (m *measure) init(w *world) {
	*m = measure{
		w: w, adopted: make([]int, len(w.sc.Policies)), step: max(lookEvery, w.end/samples), converge: -1,
		priceLines: map[string][]float64{}, serving: newServing(w.sc.Policies[0]),
	}
	w.plan(m.step, evSample, nil, nil)
}

func (m *measure) decided(v admit.Verdict, _ *workload.Call) { m.counts[v]++ }

func (m *measure) settled(c *workload.Call) { m.tokens += c.Prompt + c.Output }

// asked counts an ask, also one for what was offered. Those of the warmup do not count, as its calls do not.
func (m *measure) asked() {
	if m.w.now >= span(m.w.sc.Warmup) {
		m.asks++
	}
}

// guarded counts what a message of guarding put on the wire.
func (m *measure) guarded(bytes uint64) {
	if m.w.now >= span(m.w.sc.Warmup) && m.w.now <= m.w.arrivalsEnd {
		m.guards += bytes
	}
}

// waits counts a call that has to wait at a node.
func (m *measure) waits(n *node) {
	if m.w.now >= span(m.w.sc.Warmup) {
		m.queue = max(m.queue, len(n.waiting))
	}
}

// sample takes a point of every panel.
func (m *measure) sample() {
	w := m.w
	w.plan(w.now+m.step, evSample, nil, nil)
	defer m.sweep()
	m.returned()
	if w.now > w.end {
		return // panels end
	}
	sec := float64(m.step) / float64(second)
	m.at = append(m.at, time.Duration(w.now)*time.Microsecond)
	rate := func(v admit.Verdict) float64 { return float64(m.counts[v]-m.before[v]) / sec }
	m.admitted = append(m.admitted, rate(admit.Admit)+rate(admit.Degrade))
	m.deferred = append(m.deferred, rate(admit.Defer))
	m.denied = append(m.denied, rate(admit.Deny))
	m.before = m.counts
	m.settledTokens = append(m.settledTokens, float64(m.tokens-m.tokensBefore)/sec)
	m.tokensBefore = m.tokens

	all, most, sent := 0, 0, uint64(0)
	for _, n := range w.nodes {
		if n.up {
			all += len(n.waiting)
			most = max(most, len(n.waiting))
			if w.now >= span(w.sc.Warmup) {
				m.known = max(m.known, len(n.core.Replica.Instances()))
			}
			if len(n.waiting) > admit.DefaultMaxQueue {
				w.fail("queues are bounded", "%d calls wait at %s", len(n.waiting), n.name)
			}
		}
		sent += n.out.sent
	}
	m.queued = append(m.queued, float64(all))
	m.queuedMost = append(m.queuedMost, float64(most))
	m.bytes = append(m.bytes, float64(sent-m.sentBefore)/sec/float64(len(w.nodes))+w.pool.idle())
	m.sentBefore = sent
	if m.budgets == nil && w.now >= w.arrivalsEnd {
		m.budgets = w.budgets()
	}
	m.sampleStale()
	m.sampleRights()
	m.samplePrices()
	m.drift.sample(w)
	m.serving.sample(w)
	m.alerting.sample(w)
	m.snap(&m.warm, span(w.sc.Warmup))
	m.snap(&m.cooled, w.arrivalsEnd)
}

// sweep has the audit look at all of some nodes.
func (m *measure) sweep() {
	w := m.w
	for range sweepsASample {
		if n := w.nodes[w.dice.IntN(len(w.nodes))]; n.up {
			w.audit.sweep(n)
		}
	}
	w.audit.shares()
}

// sentBy is the bytes that each node had sent by some moment: that of a sample, up to a step after the one that is meant. What is sent each
// second is told by when the samples were.
type sentBy struct {
	at    micros
	bytes []uint64 // nil until then
}

// snap takes what nodes have sent by now, once the moment has come.
func (m *measure) snap(to *sentBy, at micros) {
	if to.bytes != nil || m.w.now < at {
		return
	}
	to.at, to.bytes = m.w.now, make([]uint64, len(m.w.nodes))
	for i, n := range m.w.nodes {
		to.bytes[i] = n.out.sent
	}
}

// perSecond is what each node that was there at from sent each second until to.
func perSecond(from, to *sentBy) []float64 {
	rates, sec := make([]float64, len(from.bytes)), max(float64(to.at-from.at)/float64(second), 1e-3)
	for i, n := range from.bytes {
		rates[i] = float64(to.bytes[min(i, len(to.bytes)-1)]-n) / sec
	}
	return rates
}

// sampleStale looks how old the rows are that nodes know, of which there are newer ones.
func (m *measure) sampleStale() {
	w := m.w
	var ages []float64
	if len(w.pool.instances) > 0 && len(w.pool.holders) > 0 {
		for range stalePairs {
			n := w.nodes[w.dice.IntN(len(w.nodes))]
			in, h := int32(w.dice.IntN(len(w.pool.instances))), int32(w.dice.IntN(len(w.pool.holders)))
			x := w.pool.latest(in, h)
			if !n.up || x == nil || x.origin == int32(n.i) {
				continue
			}
			age := 0.0
			if v := n.version(in, h); v < uint32(x.row.Version) {
				// The oldest version that it lacks, of those that are remembered.
				born := x.born
				for _, y := range w.pool.recent[in][h].news {
					if y != nil && uint32(y.row.Version) > v {
						born = min(born, y.born)
					}
				}
				age = float64(w.now-born) / float64(second)
			}
			ages = append(ages, age)
		}
	}
	if m.w.now >= span(w.sc.Warmup) && m.w.now <= w.arrivalsEnd {
		m.ages = append(m.ages, ages...)
	}
	m.stale = append(m.stale, median(ages))
}

func median(xs []float64) float64 {
	if len(xs) == 0 {
		return math.NaN()
	}
	xs = slices.Clone(xs)
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// sampleRights takes how the rights of the first instances lie over the nodes.
func (m *measure) sampleRights() {
	w := m.w
	if len(m.rights) == 0 && len(w.pool.instances) > 0 {
		for _, id := range w.pool.ids[:min(len(w.pool.ids), panelLines)] {
			p := rightsPanel{id: id}
			for k := range p.lines {
				p.lines[k] = slices.Repeat([]float64{math.NaN()}, len(m.at)-1)
			}
			m.rights = append(m.rights, p)
		}
	}
	for i := range m.rights {
		p := &m.rights[i]
		var xs []float64
		for _, n := range w.nodes {
			if !n.up {
				continue
			}
			x := 0.0
			if a := n.core.Replica.Account(p.id); a != nil {
				s, _, _, _ := a.Peek()
				x = float64(s.Balance())
			}
			xs = append(xs, x)
		}
		slices.Sort(xs)
		for k, q := range [...]float64{0, 0.1, 0.5, 0.9, 1} {
			v := math.NaN()
			if len(xs) > 0 {
				v = xs[int(q*float64(len(xs)-1)+0.5)]
			}
			p.lines[k] = append(p.lines[k], v)
		}
	}
}

// pricedNodes is at how many nodes a sample looks for prices.
const pricedNodes = 64

// samplePrices takes what costs are multiplied by: of each instance the smallest and the largest at any of some nodes,
// and of each budget the mean. A node that has no use for an instance has no price of it, but for one that does not move.
func (m *measure) samplePrices() {
	type seen struct{ low, high, sum, n float64 }
	var by [panelLines]seen // the first budgets
	ids := m.w.pool.ids[:min(len(m.w.pool.ids), pricedMost)]
	seenOf := make([]seen, len(ids))
	look := func(s *seen, p float64) {
		if s.n == 0 {
			s.low, s.high = p, p
		}
		s.low, s.high = min(s.low, p), max(s.high, p)
		s.sum += p
		s.n++
	}
	stride := max(1, len(m.w.nodes)/pricedNodes)
	for k := 0; k < len(m.w.nodes); k += stride {
		n := m.w.nodes[k]
		if !n.up {
			continue
		}
		pol := m.w.sc.Policies[n.policy]
		for i, b := range pol.Budgets()[:min(len(pol.Budgets()), panelLines)] {
			if b.Pricing.Mode == policy.FixedPrice {
				look(&by[i], b.Price)
			}
		}
		for i, id := range ids {
			b, _, ok := pol.Resolve(m.w.charter.ID, id)
			if !ok {
				continue
			}
			if b.Pricing.Mode == policy.FixedPrice {
				look(&seenOf[i], b.Price)
			} else if p := n.core.Engine.Price(id); p > 0 {
				look(&seenOf[i], p.Float())
				if j := slices.Index(pol.Budgets(), b); j < panelLines {
					look(&by[j], p.Float())
				}
			}
		}
	}
	nan := math.NaN()
	for i, b := range m.w.sc.Policies[0].Budgets()[:min(len(m.w.sc.Policies[0].Budgets()), panelLines)] {
		line := m.priceLines[b.Name]
		for len(line) < len(m.at)-1 {
			line = append(line, nan)
		}
		mean := nan
		if by[i].n > 0 {
			mean = by[i].sum / by[i].n
		}
		m.priceLines[b.Name] = append(line, mean)
	}
	for len(m.prices) < len(ids) {
		m.prices = append(m.prices, result.Prices{
			Low: slices.Repeat([]float64{nan}, len(m.at)-1), High: slices.Repeat([]float64{nan}, len(m.at)-1),
		})
	}
	for i, s := range seenOf {
		if s.n == 0 {
			s.low, s.high = nan, nan
		}
		m.prices[i].Low, m.prices[i].High = append(m.prices[i].Low, s.low), append(m.prices[i].High, s.high)
	}
}

// amplitude is the largest price less the smallest, of any instance, after the warmup.
func (m *measure) amplitude() (most float64) {
	for _, p := range m.prices {
		low, high := math.Inf(1), math.Inf(-1)
		for i, at := range m.at {
			if at >= m.w.sc.Warmup && !math.IsNaN(p.Low[i]) {
				low, high = min(low, p.Low[i]), max(high, p.High[i])
			}
		}
		most = max(most, high-low)
	}
	return most
}

// healed is told that a fault is over, or a node came: it starts to look for when all nodes know what any node had told
// by now.
func (m *measure) healed() {
	m.since = m.w.now
	m.target = make([][]uint32, len(m.w.pool.recent))
	for in := range m.w.pool.recent {
		m.target[in] = make([]uint32, len(m.w.pool.recent[in]))
		for h := range m.target[in] {
			if x := m.w.pool.latest(int32(in), int32(h)); x != nil {
				m.target[in][h] = uint32(x.row.Version)
			}
		}
	}
	m.converge = -1
	if !m.looking {
		m.looking = true
		m.w.plan(m.w.now+lookEvery, evLook, nil, nil)
	}
}

func (m *measure) look() {
	w := m.w
	for _, n := range w.nodes {
		if !n.up || n.paused {
			continue
		}
		for in, hs := range m.target {
			for h, v := range hs {
				if w.audit.claims[w.pool.names[h]] != nil {
					continue
				}
				// A row of an earlier life says nothing that matters; nor does a node need its own.
				if v > 0 && n.version(int32(in), int32(h)) < v && w.pool.nodeOf[h] != int32(n.i) {
					w.plan(w.now+lookEvery, evLook, nil, nil)
					return
				}
			}
		}
	}
	m.looking = false
	m.converge = time.Duration(w.now-m.since) * time.Microsecond
}

// result makes the result of the run.
func (w *world) result() *result.Result {
	m := &w.measure
	s := w.tally.System()
	s.Overspend, s.OverspendTokens = w.judge.overPart, int64(w.judge.over)
	if s.Offered > 0 {
		s.AsksPerCall = float64(m.asks) / float64(s.Offered)
	}
	sec := float64(min(w.now, w.arrivalsEnd)-span(w.sc.Warmup)) / float64(second)
	m.snap(&m.warm, 0)
	m.snap(&m.cooled, 0)
	for _, b := range perSecond(&m.warm, &m.cooled) {
		b += w.pool.idle()
		s.BytesPerNodeSecond += b / float64(len(m.warm.bytes))
		s.BytesPerNodeSecondMax = max(s.BytesPerNodeSecondMax, b)
	}
	s.PriceAmplitude = m.amplitude()
	moved := slices.DeleteFunc(slices.Clone(m.prices), func(p result.Prices) bool { return p.Still() })
	s.PriceSettle = result.PriceSettle(m.at, moved, scenario.Changes(w.sc, w.faults), w.sc.Duration)
	s.GuardBytesPerNodeSecond = float64(m.guards) / max(sec, 1e-3) / float64(max(1, len(m.warm.bytes)))
	if m.target == nil {
		m.converge = 0
	}
	s.Converge = m.converge
	s.Queue, s.Known = int64(m.queue), int64(m.known)
	if s.Budgets = m.budgets; s.Budgets == nil {
		s.Budgets = w.budgets()
	}
	if s.Offered > 0 {
		s.Unheld = float64(m.unheld) / float64(s.Offered)
	}
	s.Successions = m.successions
	m.serving.figures(w, s.Classes)
	m.alerting.figures(w, s.Budgets)
	m.supply(&s)
	s.Drift, s.DriftLasts = m.drift.figures()
	m.rollouts.figures(&s)
	s.FreezeTakes, s.Slipped = m.frozen.takes(w), m.frozen.slipped
	s.Recover = w.tally.Recover(scenario.Disturbances(w.sc, w.faults), w.sc.Duration)
	if age := median(m.ages); !math.IsNaN(age) {
		s.Stale = time.Duration(age * float64(time.Second))
	}
	r := &result.Result{
		Scenario: w.sc.Name, Description: w.sc.Description, Seed: w.sc.Seed, Nodes: w.sc.Nodes,
		Duration: w.sc.Duration - w.sc.Warmup, Events: w.events, TraceHash: traceHash(w.hash),
		Systems: []result.System{s}, Panels: m.panels(), Violation: w.violation, Unsettled: w.unsettled,
	}
	r.Rollouts = m.rollouts.results()
	for _, f := range w.faults {
		k := result.Mark{At: f.At, Until: f.Until, Kind: string(f.Kind), Text: faultText(&w.sc.Faults[f.Fault], len(f.Nodes))}
		if f.Until == scenario.Never {
			k.Until = f.At
		}
		r.Marks = append(r.Marks, k)
	}
	return r
}

func (m *measure) panels() []result.Panel {
	line := func(name string, vs []float64) result.Line { return result.Line{Name: name, Values: vs} }
	ps := []result.Panel{
		{ID: "decisions", Title: "Calls decided", Unit: "calls/s", Stack: true, At: m.at,
			Lines: []result.Line{line("admitted", m.admitted), line("deferred", m.deferred), line("denied", m.denied)}},
		{ID: "goodput", Title: "Tokens settled", Unit: "tokens/s", At: m.at, Lines: []result.Line{line("goodput", m.settledTokens)}},
		{ID: "queue", Title: "Calls that wait", Unit: "calls", At: m.at,
			Lines: []result.Line{line("all nodes", m.queued), line("longest queue", m.queuedMost)}},
		{ID: "staleness", Title: "Age of rows that nodes know, of which there are newer ones (median)", Unit: "s", At: m.at, Lines: []result.Line{line("median", m.stale)}},
		{ID: "bytes", Title: "Sent by a node on average", Unit: "bytes/s", At: m.at, Lines: []result.Line{line("all gossip and messages", m.bytes)}},
	}
	for _, r := range m.rights {
		p := result.Panel{ID: "rights-" + fileName(r.id.Name()), Title: "Rights of " + r.id.Name() + ", over nodes", Unit: "tokens", At: m.at}
		for k, name := range [...]string{"least", "10 %", "median", "90 %", "most"} {
			p.Lines = append(p.Lines, line(name, r.lines[k]))
		}
		ps = append(ps, p)
	}
	if len(m.priceLines) > 0 {
		p := result.Panel{ID: "price", Title: "Price", Unit: "×", At: m.at}
		for _, b := range m.w.sc.Policies[0].Budgets() {
			vs := m.priceLines[b.Name]
			for len(vs) < len(m.at) {
				vs = append(vs, math.NaN())
			}
			p.Lines = append(p.Lines, line(b.Name, vs))
			if len(p.Lines) == panelLines {
				break
			}
		}
		ps = append(ps, p)
	}
	return ps
}

// fileName makes a panel's name fit for a file.
func fileName(s string) string {
	b := []byte(s)
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			b[i] = '_'
		}
	}
	return string(b)
}
