package node

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/rls"
	"github.com/swarmpurse/swarmpurse/node/socket"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

//go:generate go test . -run ^TestMetricsAreWrittenDown$ -count 1 -args -update

// Metrics lists everything under swarmpurse_ that a node may tell at /metrics, sorted by name. METRICS.md, dashboard.json and
// alerts.yaml in telemetry are made from it.
func Metrics() []telemetry.Metric {
	all := telemetry.Names()
	for _, part := range [][]prometheus.Collector{api.Metrics(), llm.Metrics(), rls.Metrics(), socket.Metrics(), {gossip.Metrics(), ownDescribed{}, &traces.Counts{}}} {
		all = append(all, telemetry.Describe(part...)...)
	}
	slices.SortFunc(all, func(a, b telemetry.Metric) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// ownDescribed describes what a tenant's own scrape has besides.
type ownDescribed struct{ prometheus.Collector }

func (ownDescribed) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ownRights, ownReserved, ownSpent, ownLimit, ownPrice, ownLevel} {
		to <- d
	}
}
