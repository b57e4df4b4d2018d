package baseline

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/node/freeze"
)

// says has an operator freeze something or end that. What waits is refused at once.
func (r *run) says(k freeze.Key, on bool) {
	if _, err := r.words.Say(int64(r.now), "operator", k, on, "", ""); err != nil {
		return // more than a swarm takes, too
	}
	r.frozen = r.words.View()
	for _, list := range r.waiting {
		for _, c := range slices.Clone(list) {
			if r.isFrozen(c) {
				r.leave(c)
				r.deny(c)
			}
		}
	}
	for _, g := range r.order {
		r.serve(g)
	}
}

// isFrozen reports whether an operator's word refuses a call.
func (r *run) isFrozen(c *call) bool {
	if r.frozen == nil {
		return false
	}
	return r.frozen.Caller(c.Tenant, c.Agent) != nil ||
		slices.ContainsFunc(c.draws, func(d draw) bool { return r.frozen.Instance(d.in.id.Name()) != nil })
}
