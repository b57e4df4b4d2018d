package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Policy returns the policy in force. See api.Node.
func (n *Node) Policy() (p api.Policy) {
	p = viewPolicy(n.policy.Load())
	_ = n.look(func(ledger.Instant) { p = n.viewPolicies() })
	return p
}

func viewPolicy(a *adopted) api.Policy {
	h := a.policy.Hash()
	v := api.Policy{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:]), Since: a.since, By: a.by, Source: string(a.policy.Source()), Signers: viewSigners(a.policy.Signers())}
	for _, w := range policy.Check(a.policy) {
		v.Warnings = append(v.Warnings, w.String())
	}
	for _, field := range a.policy.Ignored() {
		v.Warnings = append(v.Warnings, field+" is not known to this version, and does nothing here")
	}
	return v
}

// viewPolicies is the policy in force with the candidate. The loop's.
func (n *Node) viewPolicies() api.Policy {
	v := viewPolicy(n.policy.Load())
	v.Trial = n.viewTrial()
	v.Experiments = n.viewExperiments(n.policy.Load().policy)
	return v
}

// viewTrial is the candidate, nil if there is none. The loop's.
func (n *Node) viewTrial() *api.Trial {
	t := n.trying.Load()
	if t == nil {
		return nil
	}
	c := &api.Trial{
		Revision: t.key.Revision, Hash: hex.EncodeToString(t.key.Hash[:]), On: t.trial.How.String(), Since: timeOf(t.trial.At),
		By: t.trial.By, Why: t.trial.Why, Waits: t.waits, Held: t.held,
	}
	if t.paused != nil {
		a := viewAct("paused", t.paused.Word)
		c.Paused = &a
	} else if t.trial.How.Bake > 0 && (t.shadow || len(n.roll.Signers()) == 0) && !t.over(n.now()) {
		until := timeOf(t.since).Add(t.trial.How.Bake)
		c.Until = &until
	}
	if t.shadow {
		c.Shadow = n.viewShadow(t.key)
		c.Shadow.Recent, c.Shadow.Ended = n.shadowCalls(t.key), t.over(n.now())
		return c
	}
	s, cand := n.roll.Tally.Sum()
	c.Stable, c.Candidate, c.Nodes = viewArm(&s), viewArm(&cand), len(n.roll.Tally.Rows())
	c.NoPast = noPast(n.engine.Drifts())
	return c
}

// noPast counts calls of the candidate that ended and were compared with nothing, by model.
func noPast(list []admit.Drifts) (calls []api.NoPast) {
	for _, d := range list {
		if d.Usual < 0 && d.Free[1] > 0 {
			calls = append(calls, api.NoPast{Model: d.Model, Calls: d.Free[1]})
		}
	}
	slices.SortFunc(calls, func(a, b api.NoPast) int { return strings.Compare(a.Model, b.Model) })
	return calls[:min(len(calls), api.MaxNoPast)]
}

func viewArm(c *rollout.Counts) api.Arm {
	part := func(k, n int64) float64 { return float64(k) / float64(max(1, n)) }
	return api.Arm{
		Calls: c.Calls, Refused: c.Refused, DenyRate: part(c.Refused, c.Calls), P99Wait: c.P99(),
		Outputs: c.Outputs, LongRate: part(c.Long, c.Outputs), Costs: c.Costs, DearRate: part(c.Dear, c.Costs),
	}
}

func viewAct(what string, w rollout.Word) api.Act {
	return api.Act{What: what, At: timeOf(w.At), Node: w.Node, By: w.By, Why: w.Why}
}

// PolicyHistory is what this node knows of all revisions. See api.Node.
func (n *Node) PolicyHistory() (h api.History) {
	_ = n.look(func(ledger.Instant) {
		f, seen := n.roll.inForce(), map[string]bool{}
		for _, e := range slices.Backward(n.roll.State.Entries()) {
			r := viewRevision(&e, &f)
			if why := n.roll.refused[e.Hash]; why != "" && n.roll.docs[e.Key] == nil {
				r.State, r.Refused = "refused", why
			}
			if e.Trial != nil && e.Trial.How.Shadow() {
				r.Shadow = n.viewShadow(e.Key)
			}
			if d := n.roll.docs[e.Key]; d != nil {
				for _, x := range n.viewExperiments(d.policy) {
					if !seen[x.ID] { // one goes on under later revisions that have it
						r.Experiments = append(r.Experiments, x)
					}
					seen[x.ID] = true
				}
			}
			h.Revisions = append(h.Revisions, r)
		}
	})
	return h
}

func viewRevision(e *rollout.Entry, f *rollout.InForce) api.Revision {
	r := api.Revision{Revision: e.Revision, Hash: hex.EncodeToString(e.Hash[:])}
	switch {
	case e.Back != nil:
		r.State = "rolled back"
	case e.Key == f.Stable:
		r.State = "stable"
	case e.Key == f.Candidate:
		r.State = "candidate"
	case slices.Contains(f.Missing, e.Key):
		r.State = "waiting"
	default:
		r.State = "past"
	}
	if t := e.Trial; t != nil {
		a := viewAct("candidate", t.Word)
		a.On = t.How.String()
		r.Acts = append(r.Acts, a)
	}
	if p := e.Pause; p != nil {
		r.Acts = append(r.Acts, viewAct(map[bool]string{true: "paused", false: "resumed"}[p.On], p.Word))
	}
	if w := e.Whole; w != nil {
		r.Acts = append(r.Acts, viewAct(map[bool]string{true: "promoted", false: "for all calls"}[e.Trial != nil], *w))
	}
	if w := e.Back; w != nil {
		r.Acts = append(r.Acts, viewAct("rolled back", *w))
	}
	slices.SortStableFunc(r.Acts, func(a, b api.Act) int { return a.At.Compare(b.At) })
	return r
}

// ApplyPolicy adopts a newer document and gossips it, or has it tried. See api.Node.
func (n *Node) ApplyPolicy(ctx context.Context, r api.ApplyRequest) (api.Policy, error) {
	p, err := policy.Parse("policy", r.Source)
	if err != nil {
		return api.Policy{}, fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	how := p.Rollout()
	if r.Rollout != nil {
		if how, err = policy.ParseRollout("rollout", how, r.Rollout); err != nil {
			return api.Policy{}, fmt.Errorf("%w: %w", admit.ErrInvalid, err)
		}
	} else if r.Whole {
		how = nil
	}
	return n.word(ctx, r.By, r.Why, r.Signature, func(w rollout.Word) (string, []rollout.Entry, *adopted, error) {
		force := n.roll.inForce()
		if d := n.roll.docs[force.Stable]; how != nil && !how.Shadow() && d != nil {
			if _, err := policy.Tryable(d.policy, p); err != nil {
				return "", nil, nil, fmt.Errorf("%w: the revision cannot be tried beside revision %d: %w", api.ErrConflict, force.Stable.Revision, err)
			}
		}
		e, err := n.roll.State.Apply(w, rollout.KeyOf(p), how, force)
		kind := trust.Apply
		if e.Trial != nil {
			kind = trust.Try
		}
		return kind, []rollout.Entry{e}, &adopted{policy: p, by: w.By, since: timeOf(w.At)}, err
	})
}

// ActOnPolicy promotes, pauses, resumes or rolls back a revision. See api.Node.
func (n *Node) ActOnPolicy(ctx context.Context, what string, q api.PolicyAct) (api.Policy, error) {
	return n.word(ctx, q.By, q.Why, q.Signature, func(w rollout.Word) (kind string, es []rollout.Entry, _ *adopted, err error) {
		s, f := &n.roll.State, n.roll.inForce()
		about := f.Candidate
		if what == api.RollBack && about == (rollout.Key{}) {
			about = f.Stable
		}
		if q.Revision != 0 && q.Revision != about.Revision {
			if about == (rollout.Key{}) {
				return "", nil, nil, fmt.Errorf("%w: there is no candidate, so it is not revision %d", api.ErrConflict, q.Revision)
			}
			return "", nil, nil, fmt.Errorf("%w: it would be about revision %d, not %d", api.ErrConflict, about.Revision, q.Revision)
		}
		var e rollout.Entry
		switch what {
		case api.Promote:
			kind = trust.Promote
			e, err = s.Promote(w, f)
		case api.Pause, api.Resume:
			kind = map[bool]string{true: trust.Pause, false: trust.Resume}[what == api.Pause]
			e, err = s.Pause(w, what == api.Pause, f)
		case api.RollBack:
			es, err = s.RollBack(w, f, n.roll.has)
			return trust.RollBack, es, nil, err
		default:
			err = fmt.Errorf("%w: a policy cannot be %q", admit.ErrInvalid, what)
		}
		return kind, []rollout.Entry{e}, nil, err
	})
}

// word has an operator's word made in the loop, of the kind that his signature says, and waits until it is in force here.
func (n *Node) word(ctx context.Context, by, why string, sig *trust.Signature, f func(rollout.Word) (string, []rollout.Entry, *adopted, error)) (v api.Policy, err error) {
	err = n.waitIn(ctx, n.looks, func(now ledger.Instant, done func(error)) {
		w := rollout.Word{At: max(0, int64(now)), Node: n.opts.Name, By: clip(by, rollout.MaxBy), Why: clip(why, rollout.MaxWhy)}
		kind, es, doc, err := f(w)
		var x *rollout.Signed
		if err == nil {
			var p *policy.Policy
			if doc != nil {
				p = doc.policy
			}
			x, err = n.signWord(kind, es[0], w, p, sig)
		}
		if err != nil {
			if errors.Is(err, rollout.ErrRefused) {
				err = fmt.Errorf("%w: %s", api.ErrConflict, refusedText(err))
			}
			done(err)
			return
		}
		t := telling{entries: es}
		if x != nil {
			t = telling{words: []rollout.Signed{*x}}
		}
		n.learn(t, doc, func(err error) {
			v = n.viewPolicies()
			done(err)
		})
	})
	if err != nil {
		return api.Policy{}, err // the loop may yet write v
	}
	return v, nil
}

// refusedText is what a refusal of package rollout says.
func refusedText(err error) string {
	return strings.TrimPrefix(err.Error(), rollout.ErrRefused.Error()+": ")
}

// wait runs f, which may change the replica, in the loop and waits until it says that it is done, which it may do after the
// batch is durable.
func (n *Node) wait(ctx context.Context, f func(now ledger.Instant, done func(error))) error {
	return n.waitIn(ctx, n.inputs, f)
}

func (n *Node) waitIn(ctx context.Context, ch chan<- op, f func(now ledger.Instant, done func(error))) error {
	done := make(chan error, 1)
	if err := n.submit(ch, func(now ledger.Instant) { f(now, func(err error) { done <- err }) }); err != nil {
		return fmt.Errorf("%w: %w", api.ErrNotReady, err)
	}
	select {
	case err := <-done:
		return err
	case <-n.stopped:
		return fmt.Errorf("%w: %w", api.ErrNotReady, errStopped)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// candidateState tells metrics of the candidate.
func (n *Node) candidateState() (c telemetry.CandidateState) {
	c.Shadow, c.Experiments = n.shadowState(), n.experimentState()
	t := n.trying.Load()
	if t == nil {
		return c
	}
	c.Revision, c.Held = t.key.Revision, t.held != ""
	s, cand, ok := n.engine.Outcomes()
	c.Tried = ok
	c.Stable = telemetry.ArmState{Admitted: s.Admitted(), Refused: s.Refused}
	c.Candidate = telemetry.ArmState{Admitted: cand.Admitted(), Refused: cand.Refused}
	for _, d := range n.engine.Drifts() {
		s := telemetry.DriftState{Model: d.Model, Known: d.Usual >= 0, Output: armDrifts(d.Output)}
		for _, x := range d.Costs {
			s.Costs = append(s.Costs, telemetry.CostDrift{Budget: x.Budget, Known: x.Usual >= 0, Cost: armDrifts(x.Cost)})
		}
		c.Drifts = append(c.Drifts, s)
	}
	return c
}

func armDrifts(in [2]admit.ArmDrift) (out [2]telemetry.ArmDrift) {
	for i := range in {
		out[i] = telemetry.ArmDrift(in[i])
	}
	return out
}
