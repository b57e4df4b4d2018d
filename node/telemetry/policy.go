package telemetry

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/service"
)

// PolicyInfo is what the metrics must know of the policy in force: above all which label values there are.
type PolicyInfo struct {
	Revision int64
	Hash     string      // hexadecimal
	Classes  []ClassInfo // those beyond MaxClasses are counted as "other"
	Budgets  []string    // names; those beyond MaxBudgets are counted as "other"
	Flags    []string    // names; those beyond MaxFlags are counted as "other"
}

// The values of the labels code and verdict; any other is "other". A test holds them against package admit,
// which is not imported so that this package stands alone.
var (
	codes = []string{
		codeOK, "no_rule", "budget_exhausted", "exceeds_limit", "rights_elsewhere",
		"headroom", "shed", "backpressure", "queue_full", "fenced", "draining", "too_many_reservations", "disk_slow", "guardians_away", "frozen", "locality", "no_upstream", "too_many_instances", "audit_full",
	}
	verdicts = []string{"admit", "degrade", "defer", "deny"}
)

const codeOK = "ok"

// table is the series that one policy's names lead to. It is replaced as a whole when the policy changes, and
// series of names that both policies have go on.
type table struct {
	s       *stripes
	mu      sync.Mutex     // makes cells
	classes map[string]int // and other, last
	names   []string
	codes   map[string]int
	budgets map[string]*budgetSeries // and other
	flags   map[string]*counter      // and other
	cells   []atomic.Pointer[counter]
	waits   []atomic.Pointer[histogram]

	// By class:
	info    []ClassInfo
	most    []time.Duration                            // that a call may take
	service [][service.Results]atomic.Pointer[counter] // what became of calls
}

type budgetSeries struct{ charged, overrun, in, out, here, peer prometheus.Counter }

func names(in []string, most int) []string {
	out := make([]string, 0, min(len(in), most)+1)
	for _, n := range in {
		n = labelValue(n)
		if len(out) < most && n != other && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return append(out, other)
}

func classNames(cs []ClassInfo) []string {
	list := make([]string, len(cs))
	for i, c := range cs {
		list[i] = c.Name
	}
	return names(list, MaxClasses)
}

// labelValue makes a string fit to be a label value: not empty, UTF-8 and short.
func labelValue(s string) string {
	if s == "" {
		return other
	}
	if len(s) > maxLabelLen {
		s = s[:maxLabelLen]
	}
	return strings.ToValidUTF8(s, "?")
}

func newTable(s *stripes, p PolicyInfo, old *table, series func(budget string) *budgetSeries) *table {
	t := &table{s: s, classes: map[string]int{}, names: classNames(p.Classes), codes: map[string]int{}, budgets: map[string]*budgetSeries{}}
	for i, c := range t.names {
		t.classes[c] = i
	}
	for i, c := range codes {
		t.codes[c] = i
	}
	t.cells = make([]atomic.Pointer[counter], (len(verdicts)+1)*(len(codes)+1)*len(t.names))
	t.waits = make([]atomic.Pointer[histogram], len(t.names))
	t.service = make([][service.Results]atomic.Pointer[counter], len(t.names))
	t.info, t.most = make([]ClassInfo, len(t.names)), make([]time.Duration, len(t.names))
	t.most[len(t.names)-1] = math.MaxInt64
	for _, c := range p.Classes {
		if i, ok := t.classes[labelValue(c.Name)]; ok && i < len(t.names)-1 && t.info[i].Name == "" {
			t.info[i], t.most[i] = c, max(c.LatencyBudget, service.LeastBudget)
			t.info[i].Name = t.names[i]
		}
	}
	if old != nil {
		old.mu.Lock() // no series is made there while we copy
		for i, c := range t.names {
			j, ok := old.classes[c]
			if !ok {
				continue
			}
			for k := range (len(verdicts) + 1) * (len(codes) + 1) {
				t.cells[k*len(t.names)+i].Store(old.cells[k*len(old.names)+j].Load())
			}
			t.waits[i].Store(old.waits[j].Load())
			for k := range t.service[i] {
				t.service[i][k].Store(old.service[j][k].Load())
			}
		}
		old.mu.Unlock()
	}
	t.flags = map[string]*counter{}
	for _, f := range names(p.Flags, MaxFlags) {
		if t.flags[f] = newCounter(s); old != nil && old.flags[f] != nil {
			t.flags[f] = old.flags[f]
		}
	}
	for _, b := range names(p.Budgets, MaxBudgets) {
		t.budgets[b] = series(b)
	}
	return t
}

func (t *table) class(name string) int {
	if len(t.names) <= 8 { // as nearly always; comparing a few strings beats hashing one
		for i, n := range t.names {
			if n == name {
				return i
			}
		}
		return len(t.names) - 1
	}
	if i, ok := t.classes[name]; ok {
		return i
	}
	return len(t.names) - 1
}

func (t *table) budget(name string) *budgetSeries {
	if b, ok := t.budgets[name]; ok {
		return b
	}
	return t.budgets[other]
}

// decision returns the counter of a verdict, code and class; it is made when it is first needed, as most
// combinations never occur.
func (t *table) decision(verdict, code string, class int) *counter {
	v := len(verdicts)
	switch verdict {
	case "admit":
		v = 0
	case "degrade":
		v = 1
	case "defer":
		v = 2
	case "deny":
		v = 3
	}
	c := 0
	if code != codeOK {
		var ok bool
		if c, ok = t.codes[code]; !ok {
			c = len(codes)
		}
	}
	cell := &t.cells[(v*(len(codes)+1)+c)*len(t.names)+class]
	return t.counter(cell)
}

// counter is the one of a cell, which is made when it is first needed.
func (t *table) counter(cell *atomic.Pointer[counter]) *counter {
	if n := cell.Load(); n != nil {
		return n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cell.Load() == nil {
		cell.Store(newCounter(t.s))
	}
	return cell.Load()
}

func sumOf(cell *atomic.Pointer[counter]) uint64 {
	if n := cell.Load(); n != nil {
		return n.sum()
	}
	return 0
}

func (t *table) wait(class int) *histogram {
	cell := &t.waits[class]
	if h := cell.Load(); h != nil {
		return h
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if cell.Load() == nil {
		cell.Store(newHistogram(t.s))
	}
	return cell.Load()
}

// collect sends every series that was ever used.
func (t *table) collect(ch chan<- prometheus.Metric) {
	for i := range t.cells {
		n := t.cells[i].Load()
		if n == nil {
			continue
		}
		class, rest := i%len(t.names), i/len(t.names)
		ch <- prometheus.MustNewConstMetric(decisionDesc, prometheus.CounterValue, float64(n.sum()),
			nameAt(verdicts, rest/(len(codes)+1)), nameAt(codes, rest%(len(codes)+1)), t.names[class])
	}
	for f, n := range t.flags {
		if v := n.sum(); v > 0 {
			ch <- prometheus.MustNewConstMetric(flagCallsDesc, prometheus.CounterValue, float64(v), f)
		}
	}
	for i := range t.waits {
		if h := t.waits[i].Load(); h != nil {
			ch <- h.metric(waitDesc, t.names[i])
		}
	}
}
