package node

import (
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
)

// setCallers makes the table of the keys of the policy in force. Keys that stay keep what they have used of their limits.
func (n *Node) setCallers(p *policy.Policy) { n.callers.Store(caller.NewTable(p, n.callers.Load())) }

// TenantOf tells whose decision that is. See api.Node.
func (n *Node) TenantOf(id string) (string, error) {
	i, err := n.engine.Parse(id)
	if err != nil {
		return "", err
	}
	return n.engine.TenantOf(i)
}

// tenantAt is where in the values of an instance its tenant stands; -1 if instances of the budget are not one tenant's.
func tenantAt(b *policy.Budget) int { return slices.Index(b.Per, "tenant") }

// instanceOf reports whether an instance, by its name, is one of a tenant's own.
func instanceOf(p *policy.Policy, name, tenant string) bool {
	parts := strings.Split(name, "/")
	b, ok := p.Budget(parts[0])
	if !ok {
		return false
	}
	i := tenantAt(b)
	if i < 0 || i+1 >= len(parts) {
		return false
	}
	plain, err := url.PathUnescape(parts[i+1])
	return err == nil && plain == tenant
}

// seen leaves those of a budget's instances that a view may show. The loop's.
func (n *Node) seen(b *policy.Budget, ids []ledger.InstanceID, v api.View) []ledger.InstanceID {
	if v.All {
		return ids
	}
	i := tenantAt(b)
	if i < 0 {
		return nil
	}
	p, charter := n.policy.Load().policy, n.replica.Charter().ID
	return slices.DeleteFunc(slices.Clone(ids), func(id ledger.InstanceID) bool {
		_, values, ok := p.Resolve(charter, id)
		return !ok || i >= len(values) || !v.Sees(values[i])
	})
}

// own is what a node's metrics have of one tenant: the series that name it, and how its instances stand.
type own struct {
	n      *Node
	tenant string
}

const labelTenant = "tenant"

var (
	ownLabels   = []string{labelTenant, "budget", "instance", "token"}
	ownRights   = prometheus.NewDesc("swarmpurse_tenant_rights_tokens", "Tokens of an instance of the tenant that the swarm may still spend, as this node knows it.", ownLabels, nil)
	ownReserved = prometheus.NewDesc("swarmpurse_tenant_reserved_tokens", "Tokens of an instance of the tenant that are set aside for calls in the swarm, as this node knows it.", ownLabels, nil)
	ownSpent    = prometheus.NewDesc("swarmpurse_tenant_spent_tokens", "Tokens of an instance of the tenant that the swarm spent in the present window, as this node knows it.", ownLabels, nil)
	ownLimit    = prometheus.NewDesc("swarmpurse_tenant_limit_tokens", "The limit of an instance of the tenant, with top-ups.", ownLabels, nil)
	ownPrice    = prometheus.NewDesc("swarmpurse_tenant_price", "What costs are multiplied by at an instance of the tenant, at this node.", ownLabels, nil)
	ownLevel    = prometheus.NewDesc("swarmpurse_tenant_backpressure_level", "0 to 3: how near an instance of the tenant is to its end, at this node.", ownLabels, nil)
)

// Describe says nothing: what there is depends on the tenant.
func (o own) Describe(chan<- *prometheus.Desc) {}

func (o own) Collect(to chan<- prometheus.Metric) {
	list := o.n.Budgets(api.View{Tenant: o.tenant})
	for _, b := range list[:min(len(list), telemetry.MaxBudgets)] {
		for i := range b.Instances {
			x := &b.Instances[i]
			gauge := func(d *prometheus.Desc, v float64) {
				to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, o.tenant, b.Name, x.Instance, b.Token)
			}
			gauge(ownRights, float64(x.Swarm.Rights))
			gauge(ownReserved, float64(x.Swarm.Reserved))
			gauge(ownSpent, float64(x.Swarm.Spent))
			gauge(ownLimit, float64(x.Limit))
			gauge(ownPrice, x.Price)
			gauge(ownLevel, float64(x.Backpressure))
		}
	}
}
