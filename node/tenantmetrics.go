package node

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// tenantMetrics serves what a tenant may see of the node's metrics: its own series. What has no tenant is about the node, or about all
// tenants together.
func (n *Node) tenantMetrics(tenant string) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(own{n, tenant})
	named := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err := n.opts.Registry.Gather()
		return ofTenant(all, tenant), err
	})
	return promhttp.HandlerFor(prometheus.Gatherers{named, reg}, promhttp.HandlerOpts{})
}

// ofTenant leaves the series that are labelled with a tenant.
func ofTenant(all []*dto.MetricFamily, tenant string) (kept []*dto.MetricFamily) {
	for _, f := range all {
		var of []*dto.Metric
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == labelTenant && l.GetValue() == tenant {
					of = append(of, m)
				}
			}
		}
		if of != nil {
			f.Metric = of
			kept = append(kept, f)
		}
	}
	return kept
}
