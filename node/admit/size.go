package admit

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// maxSizes bounds the rules and models whose output is learned. The one that came first makes room.
	maxSizes = 1024
	// sizeFrom is after how many calls what was learned is used.
	sizeFrom = 32
	// sizeMemory is how many calls are remembered, about: when there are twice as many, each counts half.
	sizeMemory = 1024
	// sizeSteps is how many steps an octave of lengths has, sizeOctaves how many octaves are told apart.
	sizeSteps, sizeOctaves = 4, 26
)

// sizes are what outputs of calls came to, by rule and model.
type sizes struct {
	mu    sync.Mutex // guards all below
	by    map[sizeKey]*size
	order []sizeKey // in which they came
}

type sizeKey struct {
	rule, model string
	quantile    int64
}

// size is how long the outputs are of the calls of one rule and model, and so what to reserve for one where the ceiling is
// soft: the quantile that the budget asks for, rounded up by at most a quarter.
type size struct {
	key sizeKey
	// learned is the quantile in tokens; -1 until enough calls have ended.
	learned atomic.Int64

	mu    sync.Mutex // guards all below
	seen  lengths
	since int     // calls since the quantile was taken
	mean  float64 // of late
	above float64 // the part of them above what was learned, of late
	costs []cost  // by budget, in the order in which they came; at most policy.MaxDraws, of which the first makes room
}

// lengths counts amounts in steps, the last some thousand of them.
type lengths struct {
	counts [sizeSteps*sizeOctaves + 1]uint16
	n      int // sum of counts
}

func (l *lengths) add(v int64) {
	l.counts[sizeStep(v)]++
	l.n++
	l.forget()
}

// merge takes in those that others have counted.
func (l *lengths) merge(o *lengths) {
	for i, n := range o.counts {
		l.counts[i] += n
	}
	l.n += o.n
	l.forget()
}

func (l *lengths) forget() {
	for l.n >= 2*sizeMemory {
		l.n = 0
		for i := range l.counts {
			l.counts[i] /= 2
			l.n += int(l.counts[i])
		}
	}
}

// quantile is the end of the step in which it lies, ppm in parts per million; -1 where nothing was counted.
func (l *lengths) quantile(ppm int64) int64 {
	want, sum := (int64(l.n)*ppm+whole-1)/whole, int64(0)
	for i, n := range l.counts {
		if sum += int64(n); n > 0 && sum >= want {
			return sizeMost(i)
		}
	}
	return -1
}

// of returns the size for a rule and model, making it.
func (s *sizes) of(k sizeKey) *size {
	s.mu.Lock()
	defer s.mu.Unlock()
	if z := s.by[k]; z != nil {
		return z
	}
	if len(s.order) >= maxSizes {
		delete(s.by, s.order[0])
		s.order = s.order[1:]
	}
	z := &size{key: k}
	z.learned.Store(-1)
	if s.by == nil {
		s.by = map[sizeKey]*size{}
	}
	s.by[k] = z
	s.order = append(s.order, k)
	return z
}

// reserve is the output to reserve for: what was learned, but no more than what the call states, if it states any.
func (z *size) reserve(stated int64) int64 {
	q := z.learned.Load()
	if q < 0 || stated > 0 && stated < q {
		return stated
	}
	return q
}

// learn takes in what a call really put out.
func (z *size) learn(output int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	const late = 1.0 / 64
	if q := z.learned.Load(); q >= 0 {
		x := 0.0
		if output > q {
			x = 1
		}
		z.above += (x - z.above) * late
	}
	if z.seen.n == 0 {
		z.mean = float64(output)
	}
	z.mean += (float64(output) - z.mean) * late
	z.seen.add(output)
	if z.since++; z.seen.n >= sizeFrom && z.since >= sizeFrom/2 {
		z.since = 0
		z.take()
	}
}

// take works out the quantile.
func (z *size) take() {
	first := z.learned.Load() < 0
	z.learned.Store(z.seen.quantile(z.key.quantile))
	if first { // from now on the part above it is known
		z.above = float64(whole-z.key.quantile) / whole
	}
}

// sizeStep is where a length is counted: lengths between two powers of two in sizeSteps steps.
func sizeStep(n int64) int {
	if n <= 0 {
		return 0
	}
	octave := bits.Len64(uint64(n)) - 1
	part := uint64(n) << 2 >> octave & (sizeSteps - 1)
	return min(1+octave*sizeSteps+int(part), sizeSteps*sizeOctaves)
}

// sizeMost is the greatest length that is counted there.
func sizeMost(step int) int64 {
	if step == 0 {
		return 0
	}
	octave, part := (step-1)/sizeSteps, (step-1)%sizeSteps
	next := uint64(sizeSteps+part+1) << octave // of the next step's first, times sizeSteps
	return int64((next+sizeSteps-1)/sizeSteps) - 1
}

// size returns how long the outputs are of calls that draw there, if their reservations follow it.
func (e *Engine) size(d *policy.Draw, model string) *size {
	b := d.Budget
	if b.Spec.Ceiling != ledger.Soft || b.Size >= whole {
		return nil
	}
	return e.sizes.of(sizeKey{d.Rule, model, b.Size})
}

// amount is what a call takes there at a price, and its cost before that.
func (t *boundTake) amount(c *policy.Call, price policy.PPM) (amount, cost ledger.Tokens, err error) {
	output := c.MaxOutputTokens
	if t.size != nil {
		output = t.size.reserve(output)
	}
	return t.terms.AmountOf(c, output, price)
}

// watchedQuantile is the quantile that outputs are held to where no reservation follows them, in parts per million.
const watchedQuantile = 950_000

// learn takes in how long the output of a call was, and what it came to at each draw. Outputs below hard ceilings are learned,
// too: no reservation follows them, but that a model has become longer shows.
func (e *Engine) learn(r *record, output int64) {
	var learned [policy.MaxDraws]*size
	n := 0
	var rule string // of the last z that was looked up
	var watched *size
	hs := r.held()
	for i := range hs {
		t := &r.bound.takes[i]
		z := t.size
		switch d := t.draw; {
		case z != nil:
		case d.Budget.Spec.Kind == ledger.Slots:
			continue
		case watched != nil && d.Rule == rule:
			z = watched
		default:
			z = e.sizes.of(sizeKey{d.Rule, r.ran(), watchedQuantile})
			rule, watched = d.Rule, z
		}
		if !slices.Contains(learned[:n], z) {
			z.learn(output)
			learned[n] = z
			n++
		}
		z.charge(t.draw.Budget.Name, int64(hs[i].charged))
	}
}

// ran is the model that a call ran with: another than it named if it was made cheaper.
func (r *record) ran() string {
	if r.bound.changed() && r.bound.cheaper.by.Model != "" {
		return r.bound.cheaper.by.Model
	}
	return modelOf(r.bound.came(), r.model)
}

// cost is what calls came to at one budget: of late, and as a rule.
type cost struct {
	budget      string
	calls       int
	late, usual float64
	seen        lengths
}

const (
	lateCalls  = 64
	usualCalls = 2048
)

// charge takes in what a call came to at a budget.
func (z *size) charge(budget string, tokens int64) {
	z.mu.Lock()
	defer z.mu.Unlock()
	i := slices.IndexFunc(z.costs, func(c cost) bool { return c.budget == budget })
	if i < 0 {
		if len(z.costs) == policy.MaxDraws { // no call draws on more: some are of earlier policies
			z.costs = slices.Delete(z.costs, 0, 1)
		}
		i = len(z.costs)
		z.costs = append(z.costs, cost{budget: budget})
	}
	c := &z.costs[i]
	c.calls = min(c.calls+1, usualCalls)
	c.seen.add(tokens)
	c.late += (float64(tokens) - c.late) / float64(min(c.calls, lateCalls))
	c.usual += (float64(tokens) - c.usual) / float64(c.calls)
}

// Size is what was learned of the outputs of one rule and model.
type Size struct {
	Rule, Model string
	Calls       int     // that it rests on
	Reserved    int64   // the quantile: tokens of output that are reserved below soft ceilings for a call that states more or none; -1 until enough have ended
	Mean        float64 // of late
	Above       float64 // the part of calls, of late, that put out more than was reserved: more than Expected means that they have become longer
	Expected    float64
	Costs       []Cost // by budget
}

// Cost is what calls of one rule and model came to at one budget, in its tokens: the mean of some 64 calls, and of some 2,048.
type Cost struct {
	Budget      string
	Late, Usual float64
}

// Sizes lists what was learned, in the order in which rules and models were met. Safe for concurrent use.
func (e *Engine) Sizes() []Size {
	e.sizes.mu.Lock()
	defer e.sizes.mu.Unlock()
	list := make([]Size, 0, len(e.sizes.order))
	for _, k := range e.sizes.order {
		z := e.sizes.by[k]
		z.mu.Lock()
		list = append(list, Size{
			Rule: k.rule, Model: k.model, Calls: z.seen.n, Reserved: z.learned.Load(), Mean: z.mean, Above: z.above,
			Expected: float64(whole-k.quantile) / whole,
		})
		for _, c := range z.costs {
			s := &list[len(list)-1]
			s.Costs = append(s.Costs, Cost{c.budget, c.late, c.usual})
		}
		z.mu.Unlock()
	}
	return list
}
