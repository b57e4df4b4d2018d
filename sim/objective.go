package sim

import (
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/service"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// burnFrom is how long calls are counted before burn rates mean anything.
const burnFrom = 30 * second

// serving is how well classes with an objective are served, of all nodes together, as nodes count calls and metrics tell it.
type serving struct {
	counts map[string]service.Counts // of classes with an objective, since the warmup
	past   service.History
	worst  map[string]float64 // the highest burn rate
}

func newServing(p *policy.Policy) serving {
	s := serving{counts: map[string]service.Counts{}, worst: map[string]float64{}}
	for _, c := range p.Classes() {
		if c.Objective > 0 {
			s.counts[c.Name] = service.Counts{}
		}
	}
	return s
}

// served counts a decision.
func (n *node) served(c *call, d *admit.Details) {
	w, s := n.w, &n.w.measure.serving
	class, ok := w.sc.Policies[n.policy].Class(d.Class)
	if !ok || class.Objective == 0 || w.now < span(w.sc.Warmup) {
		return
	}
	of, ok := s.counts[class.Name]
	if !ok {
		return // only a later revision has an objective for it
	}
	took := time.Duration(w.now-c.came) * time.Microsecond
	of.Add(service.Became(max(class.LatencyBudget, service.LeastBudget), d.Verdict.Admitted(), d.Excused(), took))
	s.counts[class.Name] = of
}

// sample looks at burn rates: what is told of is what two windows have, as the alert SwarmpurseClassBurnsFast wants it.
func (s *serving) sample(w *world) {
	if w.now < span(w.sc.Warmup) || w.now > w.arrivalsEnd {
		return
	}
	if len(s.counts) == 0 {
		return
	}
	now := time.UnixMicro(int64(w.now))
	if s.past.Due(now) {
		s.past.Sample(now, s.counts)
	}
	if w.now < span(w.sc.Warmup)+burnFrom {
		return
	}
	for _, c := range w.sc.Policies[0].Classes() {
		if n, ok := s.counts[c.Name]; ok && c.Objective > 0 {
			o := objectiveOf(&c)
			short := s.past.Burn(c.Name, n, o, service.Windows[0].Length)
			long := s.past.Burn(c.Name, n, o, service.Windows[2].Length)
			s.worst[c.Name] = max(s.worst[c.Name], min(short, long))
		}
	}
}

func objectiveOf(c *policy.Class) float64 { return float64(c.Objective) / 1e6 }

// figures adds what is known of classes with an objective.
func (s *serving) figures(w *world, list []result.Class) {
	for i := range list {
		c, ok := w.sc.Policies[0].Class(list[i].Name)
		if n := s.counts[list[i].Name]; ok && c.Objective > 0 && n.Met+n.Missed > 0 {
			list[i].Objective = objectiveOf(c)
			list[i].Met = float64(n.Met) / float64(n.Met+n.Missed)
			list[i].Burn = s.worst[c.Name]
		}
	}
}

// alerting is when nodes told that a fraction of a budget is used.
type alerting struct {
	used map[alert]micros // since when callers have used it; -1: all nodes have told of it
	told map[string]int64 // by budget
	took map[string]micros
	late map[string]bool // it was never told of by all
}

type alert struct {
	id     ledger.InstanceID
	window ledger.Window
	ppm    int64
}

// mostAlerting bounds the instances that are looked at.
const mostAlerting = 64

// sample compares what callers were given, by the judge, with what each node would tell of, by the rows that it knows.
func (a *alerting) sample(w *world) {
	if a.used == nil {
		a.used, a.told, a.took, a.late = map[alert]micros{}, map[string]int64{}, map[string]micros{}, map[string]bool{}
	}
	for _, id := range w.pool.ids[:min(len(w.pool.ids), mostAlerting)] {
		b, _, ok := w.sc.Policies[0].Resolve(w.charter.ID, id)
		if !ok || len(b.Alerts) == 0 {
			continue
		}
		cp := w.judge.of(id, b.Spec.Kind)
		if len(cp.order) == 0 {
			continue
		}
		window := cp.order[len(cp.order)-1]
		g := cp.windows[window]
		part := float64(g.used) / float64(max(1, b.Spec.Amount+g.minted)) * 1e6
		for _, ppm := range b.Alerts {
			k := alert{id, window, ppm}
			since, on := a.used[k]
			if !on && part >= float64(ppm) {
				since, on = w.now, true
				a.used[k] = w.now
			}
			if on && since >= 0 && a.all(w, id, &b.Spec, ppm) {
				a.used[k] = -1
				a.told[b.Name]++
				a.took[b.Name] = max(a.took[b.Name], w.now-since)
			}
		}
	}
}

// all reports whether all nodes that run tell that so much of the instance is used.
func (a *alerting) all(w *world, id ledger.InstanceID, spec *ledger.Spec, ppm int64) bool {
	for _, n := range w.nodes {
		if n.up && !n.paused && ledger.UsedPPM(spec, n.core.Replica.Rows(n.clockNow(), id)) < ppm {
			return false
		}
	}
	return true
}

// figures adds what was told of budgets with alerts. What not all nodes have told of when the run ends, or the window does, never was.
func (a *alerting) figures(w *world, list []result.Budget) {
	for k, since := range a.used {
		if b, _, ok := w.sc.Policies[0].Resolve(w.charter.ID, k.id); ok && since >= 0 {
			a.late[b.Name] = true
		}
	}
	for i := range list {
		b := &list[i]
		b.Alerts, b.Alerted = a.told[b.Name], math.NaN()
		if took, ok := a.took[b.Name]; ok {
			b.Alerted = float64(took) / float64(second)
		}
		if a.late[b.Name] {
			b.Alerted = math.Inf(1)
		}
	}
}
