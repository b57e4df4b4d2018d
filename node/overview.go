package node

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// Overview is all that is worth watching. See api.Viewer.
func (n *Node) Overview(instances int) api.Overview {
	v := api.Overview{Status: n.Status(), Members: n.Members(), Budgets: []api.Budget{}, Frozen: []api.Frozen{}, Classes: []api.Class{}, LeftOut: n.events.LeftOut()}
	var queued map[string]int
	_ = n.look(func(now ledger.Instant) {
		v.Policy = n.policyInForce()
		queued = n.engine.Queued()
		by := n.instances()
		for _, b := range n.policy.Load().policy.Budgets() {
			ids := by[b.Name]
			n.nearest(ids)
			most := min(len(ids), instances)
			bv := n.budget(now, b, ids[:most], false, api.View{All: true})
			bv.Truncated += len(ids) - most
			v.Budgets = append(v.Budgets, bv)
		}
		words := n.frozen.set.Frozen()
		slices.SortStableFunc(words, func(a, b freeze.Word) int { return cmp.Compare(b.At, a.At) })
		for _, w := range words[:min(len(words), api.MaxFrozenShown)] {
			v.Frozen = append(v.Frozen, n.viewFrozen(w))
		}
	})
	for _, c := range n.metrics.Classes() {
		v.Classes = append(v.Classes, viewClass(&c, queued[c.Name]))
	}
	return v
}

// nearest sorts instances: those nearest to their end first, then those that most is asked of. The loop's.
func (n *Node) nearest(ids []ledger.InstanceID) {
	slices.SortFunc(ids, func(a, b ledger.InstanceID) int {
		x, y := n.engine.Pressure(a), n.engine.Pressure(b)
		return cmp.Or(cmp.Compare(y.Level, x.Level), cmp.Compare(x.Exhausted, y.Exhausted), cmp.Compare(y.Velocity, x.Velocity), cmp.Compare(a, b))
	})
}

func (n *Node) policyInForce() api.PolicyInForce {
	a := n.policy.Load()
	h := a.policy.Hash()
	v := api.PolicyInForce{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:]), Since: a.since, By: a.by, Trial: n.viewTrial()}
	for _, f := range a.policy.Flags() {
		most := min(len(f.Targets), api.MaxTargetsShown)
		v.Flags = append(v.Flags, api.Flag{Name: f.Name, On: float64(f.On) / 1e6, By: f.By, Targets: f.Targets[:most], MoreTargets: len(f.Targets) - most})
	}
	return v
}

func viewClass(c *telemetry.ClassState, waiting int) api.Class {
	v := api.Class{Name: c.Name, Waiting: waiting, Service: viewService(&c.ServiceLevel), Decisions: []api.Outcome{}, Waits: []api.Wait{}}
	for _, d := range c.Decisions {
		v.Decisions = append(v.Decisions, api.Outcome{Decision: d.Verdict, Code: d.Code, Calls: d.Calls})
	}
	for _, w := range c.Waits {
		v.Waits = append(v.Waits, api.Wait{OverMS: float64(w.Over.Microseconds()) / 1000, MostMS: float64(w.Most.Microseconds()) / 1000, Calls: w.Calls})
	}
	return v
}

// Instance is one instance with its holders. See api.Viewer.
func (n *Node) Instance(name string, view api.View) (v api.Budget, err error) {
	p := n.policy.Load().policy
	budget, _, _ := strings.Cut(name, "/")
	b, ok := p.Budget(budget)
	if !ok {
		return v, fmt.Errorf("%w: the policy has none of the name %.64q", api.ErrUnknownBudget, budget)
	}
	lerr := n.look(func(now ledger.Instant) {
		for _, id := range n.instances()[budget] {
			if id.Name() == name && len(n.seen(b, []ledger.InstanceID{id}, view)) > 0 {
				v = n.budget(now, b, []ledger.InstanceID{id}, true, view)
				return
			}
		}
		err = fmt.Errorf("%w: budget %q has no instance %.64q here", api.ErrUnknownBudget, budget, name)
	})
	return v, cmp.Or(lerr, err)
}
