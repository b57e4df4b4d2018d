package shadow

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Where upstreams have budgets, what a call draws on depends on where it goes. The candidate's choice is its policy's, by what the node knows of upstreams. Of the budgets of
// upstreams to which the call did not go, no more is known than that those had no room which the stable revision passed over.

// send has a call go to the first upstream whose budgets would not refuse it, as nodes do; where all would, it is refused as at the first.
func (e *Evaluator) send(s *Seen, w *would) {
	r := w.plan.Route
	first, full := -1, passed(s)
	for _, i := range s.order(r, &w.call) {
		site := w.plan.Sites[i]
		if !site.Place.Holds(s.Zone) {
			continue
		}
		draws, assumed, refused := draw(s, site, &w.call)
		if was := full[r.Upstreams[i].Name]; refused == "" && was != nil && s.asMuch(site, draws, was) {
			refused = "budget_exhausted: " + r.Upstreams[i].Name + " was passed over for want of room"
		}
		if first < 0 || refused == "" {
			first = i
			w.draws, w.assumed, w.refused, w.upstream = draws, assumed, refused, r.Upstreams[i].Name
		}
		if refused == "" {
			return
		}
	}
	if first < 0 {
		w.refused = "no_upstream"
	}
}

// order is in which order the upstreams of a route are tried: their indices, without those that the node does not reach.
func (s *Seen) order(r *policy.Route, c *policy.Call) (order []int) {
	seen := make([]policy.Seen, len(r.Upstreams))
	for i, u := range r.Upstreams {
		if s.Known != nil {
			seen[i] = s.Known(u)
		}
	}
	for {
		i := r.Choose(c.PromptTokens, c.MaxOutputTokens, s.Zone, seen)
		if i < 0 {
			return order
		}
		order, seen[i].Out = append(order, i), true
	}
}

// passed are the stable revision's plans by the upstreams that had no room, as the call went elsewhere or nowhere.
func passed(s *Seen) map[string]*policy.Plan {
	if s.Plan == nil || s.Plan.Sites == nil || s.Upstream == "" {
		return nil
	}
	r, full := s.Plan.Route, map[string]*policy.Plan{}
	nowhere := s.Short && !slices.ContainsFunc(s.Plan.Draws, func(d policy.Draw) bool { return Instance(&d) == s.Instance })
	found := false
	for _, i := range s.order(r, s.Call) {
		switch name := r.Upstreams[i].Name; {
		case name == s.Upstream:
			found = true
		case !found || nowhere:
			full[name] = s.Plan.Sites[i]
		}
	}
	if !found {
		return nil // the node does not reach it any more
	}
	return full
}

// asMuch reports whether the candidate draws at an upstream at least what the stable revision would have, of budgets that are no larger.
func (s *Seen) asMuch(site *policy.Plan, draws []Draw, was *policy.Plan) bool {
	for i := range was.Draws {
		d := &was.Draws[i]
		name, price := Instance(d), d.Base()
		if x := s.draw(name); x != nil {
			price = x.Price
		}
		n, _, err := d.AmountAt(s.Call, price)
		j := slices.IndexFunc(draws, func(x Draw) bool { return x.Instance == name })
		if err != nil || j < 0 || draws[j].Amount < n || site.Draws[j].Budget.Spec.Amount > d.Budget.Spec.Amount {
			return false
		}
	}
	return true
}
