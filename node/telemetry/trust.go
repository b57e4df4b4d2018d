package telemetry

import "github.com/prometheus/client_golang/prometheus"

// TrustState is what a node thinks of what peers say.
type TrustState struct {
	Refused []RefusedState
	Keys    int // of nodes, that are known
	Fenced  int // keys of nodes that were proved to lie, or to run twice
}

// RefusedState counts what was refused of peers for one reason.
type RefusedState struct {
	Reason string
	Count  int64
}

var (
	peersRefused = Metric{"swarmpurse_peer_refused_total", Counter, "What peers said and this node refused, by reason: unsigned, unknown_key, wrong_key, forged, not_theirs, replayed, flood, convicted, two_lives, unproved, malformed; and of operators' words, which trust.signers must sign: not_signed, no_signer, false_word; and of nodes that operators have not enrolled, where trust.enrol asks for it: not_enrolled; and of nodes that show more top-ups than operators signed: unsigned_mint. A few unknown_key, no_signer, replayed and unsigned_mint are the network's doing, a few unproved come of an upgrade from a version without signatures; of any of the others somebody should look at the log.", []string{labelReason}}
	peersKeys    = Metric{"swarmpurse_peer_keys", Gauge, "Nodes whose public keys this node knows.", nil}
	peersFenced  = Metric{"swarmpurse_peer_keys_fenced", Gauge, "Keys of nodes that were proved to lie, or to run twice on copies of a directory: all that they sign is refused.", nil}
)

var trustMetrics = []Metric{peersRefused, peersKeys, peersFenced}

type trustCollector struct {
	refused, keys, fenced *prometheus.Desc
	read                  func() TrustState
}

// RegisterTrust adds the metrics of what is refused of peers. read must be safe for concurrent use; it is called at every scrape.
func RegisterTrust(reg prometheus.Registerer, read func() TrustState) error {
	desc := func(m Metric) *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }
	return reg.Register(trustCollector{desc(peersRefused), desc(peersKeys), desc(peersFenced), read})
}

func (c trustCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.refused, c.keys, c.fenced} {
		ch <- d
	}
}

func (c trustCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	for _, r := range s.Refused {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(r.Count), r.Reason)
	}
	ch <- prometheus.MustNewConstMetric(c.keys, prometheus.GaugeValue, float64(s.Keys))
	ch <- prometheus.MustNewConstMetric(c.fenced, prometheus.GaugeValue, float64(s.Fenced))
}
