package policy

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// fairness reads over what tenants get equal parts. What per and ceiling say is known, and if supplied what supply says.
func (d *decoder) fairness(b *Budget, n *yaml.Node, supplied bool) {
	s, ok := d.Text(n, "fairness")
	if !ok {
		return
	}
	n = document.Deref(n)
	kind := b.Spec.Kind
	switch {
	case s == "node":
	case s != "swarm":
		d.Report(n, "write swarm or node", "unknown fairness %q", document.Clip(s))
	case slices.Contains(b.Per, "tenant"):
		d.Report(n, "leave it out", "a budget per tenant is not shared by tenants")
	case supplied && kind != ledger.Rate && kind != ledger.Windowed:
		d.Report(n, "use a rate or a window, or leave it out", "fairness: swarm shares out what comes by time, and this is %s", kind)
	case b.Spec.Ceiling == ledger.Observe:
		d.Report(n, "leave it out", "a budget that only meters refuses nobody, so there is nothing to share out")
	default:
		b.SwarmFairness = true
	}
}
