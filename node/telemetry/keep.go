package telemetry

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
)

// Series is one series at the moment at which it was gathered.
type Series struct {
	Name  string // with its labels, as Prometheus writes it
	Value float64
}

// kept are the metrics that a review of an incident needs: what was decided, how budgets, queues and the swarm stood. The first are
// the most telling. Histograms are not among them: what waited is in the decisions.
var kept = []Metric{
	budgetLimit, budgetSpent, budgetRights, budgetReserved, budgetDebt, budgetPrice, budgetLevel, budgetVelocity, budgetExhausted, budgetRate,
	decisionsTotal, queueDepth, queueTokens, reservationsActive, reservationsExpired, conservation, members, rowAge, stuckTokens, stuckShares,
	leaseSeconds, guardians, claimsTotal, transfersTotal, asksTotal, classBurn, policyRevision, candidateRevision, frozenKeys, messagesDropped,
	upstreamAvoided, scrapeErrors,
}

// Kept gathers the metrics that are kept for reviews, at most so many series. What is infinite or no number is left out: a budget
// without swarmpurse_budget_exhaustion_seconds is not being used up. Safe for concurrent use; it costs what a scrape does.
func Kept(from prometheus.Gatherer, most int) ([]Series, error) {
	families, err := from.Gather()
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
	}
	var list []Series
	for _, m := range kept {
		for _, x := range byName[m.Name].GetMetric() {
			v := x.GetGauge().GetValue() + x.GetCounter().GetValue() // it is one of them
			if math.IsInf(v, 0) || math.IsNaN(v) {
				continue
			}
			if len(list) >= most {
				return list, err
			}
			name := model.Metric{model.MetricNameLabel: model.LabelValue(m.Name)}
			for _, l := range x.GetLabel() {
				name[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
			}
			list = append(list, Series{name.String(), v})
		}
	}
	return list, err
}
