package policy

import (
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// alerts reads the fractions of a budget of which operators want to hear. The supply has been read before.
func (d *decoder) alerts(b *Budget, n *yaml.Node) {
	const advice = "write rising fractions of the limit, as in [50%, 80%, 95%]"
	if b.Spec.Kind == ledger.Rate {
		d.Report(document.Deref(n), "leave it out: levels tell how near a rate is to its end", "a rate comes back all the time, so no fraction of it is ever used up")
		return
	}
	for _, item := range d.Items(n, "alerts", advice, MaxAlerts) {
		ppm, ok := d.Percent(item, "alerts")
		if !ok {
			continue
		}
		if last := len(b.Alerts) - 1; ppm == 0 || last >= 0 && ppm <= b.Alerts[last] {
			d.Report(document.Deref(item), advice, "alerts cannot hold %s here", percent(ppm))
			continue
		}
		b.Alerts = append(b.Alerts, ppm)
	}
}
