package telemetry

import "github.com/prometheus/client_golang/prometheus"

// AuditState is how a node's audit log stands.
type AuditState struct {
	Written, Dropped, Alarms, Refused int64
	Failing                           bool
	Witnessed                         int64 // records, at the peer that is furthest behind
	Kept                              bool  // the node keeps a log: it has a data directory
	Size, Bytes                       int64
}

var (
	auditRecords   = Metric{"swarmpurse_audit_records_total", Counter, "Records written to the audit log since the node started.", nil}
	auditDropped   = Metric{"swarmpurse_audit_dropped_total", Counter, "Records that the audit log misses, because it could not be written or not fast enough; the log says how many and where.", nil}
	auditAlarms    = Metric{"swarmpurse_audit_alarms_total", Counter, "Audit logs, of this node or of peers, that were seen not to go on from what they had signed.", nil}
	auditRefused   = Metric{"swarmpurse_audit_refused_total", Counter, "Checkpoints of peers that were refused: not signed by their log, or malformed.", nil}
	auditFailing   = Metric{"swarmpurse_audit_failing", Gauge, "1 while the audit log cannot be written, else 0.", nil}
	auditWitnessed = Metric{"swarmpurse_audit_witnessed_records", Gauge, "Records that the peer which is furthest behind has countersigned, of those that this node tells its log to.", nil}
	auditSize      = Metric{"swarmpurse_audit_size_records", Gauge, "Records in the audit log, with those that are deleted.", nil}
	auditBytes     = Metric{"swarmpurse_audit_bytes", Gauge, "Bytes of the audit log on disk.", nil}
)

var auditMetrics = []Metric{auditRecords, auditDropped, auditAlarms, auditRefused, auditFailing, auditWitnessed, auditSize, auditBytes}

type auditCollector struct {
	descs []*prometheus.Desc
	read  func() AuditState
}

// RegisterAudit adds the metrics of an audit log. read must be safe for concurrent use; it is called at every scrape.
func RegisterAudit(reg prometheus.Registerer, read func() AuditState) error {
	c := auditCollector{read: read}
	for _, m := range auditMetrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.Name, m.Help, nil, nil))
	}
	return reg.Register(c)
}

func (c auditCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

func (c auditCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.read()
	failing := int64(0)
	if s.Failing {
		failing = 1
	}
	values := []int64{s.Written, s.Dropped, s.Alarms, s.Refused, failing, s.Witnessed, s.Size, s.Bytes}
	if !s.Kept {
		values = values[:6]
	}
	for i, v := range values {
		as := prometheus.GaugeValue
		if auditMetrics[i].Type == Counter {
			as = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(c.descs[i], as, float64(v))
	}
}
