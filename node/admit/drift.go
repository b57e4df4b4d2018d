package admit

import (
	"slices"
	"sync"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// While a candidate is tried, what calls of both arms put out and cost is held to what is usual for their model: the quantile of
// 95 % of what was learned before the trial, or of the first calls of the stable arm. It is fixed before the first call is held
// to it and stays so for the trial, so that more of one arm's calls than of the other's above it are no work of the yardstick's.
//
// A model that a policy puts in the place of the one that a call names may have no past. Its calls are held to what is usual for the one that
// they name, in both arms, which is what their callers had before; if that has no past either, they are counted as held to nothing.

const (
	// maxDrifting bounds the models that a trial compares. Calls of those that come later are not compared.
	maxDrifting = 256
	// maxDriftCosts bounds the budgets of one model whose costs are compared.
	maxDriftCosts = 2 * policy.MaxDraws
)

// drift compares the arms of one trial.
type drift struct {
	mu     sync.Mutex // guards all below
	models map[string]*drifting
	order  []string // in which they came
	counts [2]rollout.Drift
}

// drifting is one model.
type drifting struct {
	output yardstick
	costs  []costYardstick
	free   [2]int64 // calls whose output was held to nothing, by arm
}

type costYardstick struct {
	budget string
	yardstick
}

// yardstick is what is usual, and how calls of both arms are beside it. By arm: 0 is the stable one.
type yardstick struct {
	seen  lengths // until it is fixed
	usual int64   // -1 until then
	calls [2]int64
	above [2]int64
	mean  [2]float64 // of some 64 calls
}

// newDrift begins with what was learned before.
func newDrift(s *sizes) *drift {
	d := &drift{models: map[string]*drifting{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.order {
		m := d.model(k.model)
		if m == nil {
			continue
		}
		z := s.by[k]
		z.mu.Lock()
		m.output.seen.merge(&z.seen)
		for i := range z.costs {
			if y := m.cost(z.costs[i].budget); y != nil {
				y.seen.merge(&z.costs[i].seen)
			}
		}
		z.mu.Unlock()
	}
	for _, m := range d.models {
		m.output.fix()
		for i := range m.costs {
			m.costs[i].fix()
		}
	}
	return d
}

// model makes the one of that name; nil if there are too many.
func (d *drift) model(name string) *drifting {
	m := d.models[name]
	if m == nil && len(d.order) < maxDrifting {
		m = &drifting{output: yardstick{usual: -1}}
		d.models[name] = m
		d.order = append(d.order, name)
	}
	return m
}

func (m *drifting) cost(budget string) *yardstick {
	i := slices.IndexFunc(m.costs, func(c costYardstick) bool { return c.budget == budget })
	if i < 0 {
		if i = len(m.costs); i == maxDriftCosts {
			return nil
		}
		m.costs = append(m.costs, costYardstick{budget, yardstick{usual: -1}})
	}
	return &m.costs[i].yardstick
}

// fix fixes what is usual if enough is known.
func (y *yardstick) fix() {
	if y.usual < 0 && y.seen.n >= sizeFrom {
		y.usual = y.seen.quantile(watchedQuantile)
	}
}

// take holds a call to it, if it is fixed; else one of the stable arm helps to fix it.
func (y *yardstick) take(arm int, v int64) (known, above bool) {
	if y.usual < 0 && arm == 0 {
		y.seen.add(v)
		y.fix()
		return false, false
	}
	return y.hold(arm, v)
}

// hold holds a call to it, if it is fixed.
func (y *yardstick) hold(arm int, v int64) (known, above bool) {
	if y.usual < 0 {
		return false, false
	}
	y.calls[arm]++
	if y.calls[arm] == 1 {
		y.mean[arm] = float64(v)
	}
	y.mean[arm] += (float64(v) - y.mean[arm]) / float64(min(y.calls[arm], lateCalls))
	if v > y.usual {
		y.above[arm]++
		return true, true
	}
	return true, false
}

// settled takes in what a call of an arm came to. Only what its provider or its caller counted is compared, not what it is
// charged for want of that, nor what tells of one kind of tokens only.
func (d *drift) settled(candidate bool, r *record, st *Settlement) {
	usage := st.Usage
	if st.Partial {
		usage = nil
	}
	if usage == nil && len(st.Used) == 0 {
		return
	}
	arm := 0
	if candidate {
		arm = 1
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	m, named := d.model(r.ran()), (*drifting)(nil)
	if r.model != r.ran() {
		named = d.models[r.model]
	}
	if m == nil {
		return
	}
	c := &d.counts[arm]
	if usage != nil {
		known, long := m.output.take(arm, usage.CompletionTokens)
		if !known && named != nil {
			known, long = named.output.hold(arm, usage.CompletionTokens)
		}
		if known {
			c.Outputs++
		} else {
			m.free[arm]++
		}
		if long {
			c.Long++
		}
	}
	some, dear := false, false
	hs := r.held()
	for i := range hs {
		b := r.bound.takes[i].draw.Budget
		told := usage != nil || slices.ContainsFunc(st.Used, func(a policy.Amount) bool { return a.Token == b.Token })
		if b.Spec.Kind == ledger.Slots || !told {
			continue
		}
		v := int64(hs[i].charged)
		known, above := false, false
		if y := m.cost(b.Name); y != nil {
			known, above = y.take(arm, v)
		}
		if !known && named != nil {
			if y := named.cost(b.Name); y != nil {
				known, above = y.hold(arm, v)
			}
		}
		some, dear = some || known, dear || above
	}
	if some { // once, though it draws on several budgets: what it costs at one says much of the others
		c.Costs++
		if dear {
			c.Dear++
		}
	}
}

// ArmDrift is what calls of one model and arm came to beside what is usual for the model.
type ArmDrift struct {
	Calls, Above int64
	Mean         float64 // of some 64 calls
}

// Drifts is one model in both arms of a trial. By arm: 0 is the stable one. Calls that ran with another model in its place, which had no past,
// count here.
type Drifts struct {
	Model  string
	Usual  int64 // tokens of output that 95 % of calls put out at most; -1 while that is not known, and calls are not compared
	Output [2]ArmDrift
	Costs  []CostDrift
	Free   [2]int64 // calls that ran with the model and whose output was held to nothing, as nothing is known of it, nor of the one that they named
}

// CostDrift is the same of what calls are charged at a budget, in its tokens.
type CostDrift struct {
	Budget string
	Usual  int64
	Cost   [2]ArmDrift
}

func (y *yardstick) arms() (a [2]ArmDrift) {
	for i := range a {
		a[i] = ArmDrift{y.calls[i], y.above[i], y.mean[i]}
	}
	return a
}

// Drifts lists the models whose calls are compared between the arms, in the order in which they were met; nil while no candidate is tried.
// Safe for concurrent use.
func (e *Engine) Drifts() (list []Drifts) {
	rev := e.rev.Load()
	if rev.trial == nil {
		return nil
	}
	d := rev.arm.drift
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range d.order {
		m := d.models[name]
		x := Drifts{Model: name, Usual: m.output.usual, Output: m.output.arms(), Free: m.free}
		for i := range m.costs {
			c := &m.costs[i]
			x.Costs = append(x.Costs, CostDrift{c.budget, c.usual, c.arms()})
		}
		list = append(list, x)
	}
	return list
}
