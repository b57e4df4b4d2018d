package node

import "github.com/prometheus/client_golang/prometheus"

// register shows how the audit log stands.
func (a *auditor) register(reg prometheus.Registerer) error {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "swarmpurse_audit_" + name, Help: help}, f)
	}
	counter := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "swarmpurse_audit_" + name, Help: help}, f)
	}
	list := []prometheus.Collector{
		counter("records_total", "Records written to the audit log since the node started.", func() float64 { return float64(a.written.Load()) }),
		counter("dropped_total", "Records that the audit log misses, because it could not be written or not fast enough; the log says how many and where.", func() float64 { return float64(a.dropped.Load()) }),
		counter("alarms_total", "Audit logs, of this node or of peers, that were seen not to go on from what they had signed.", func() float64 { return float64(a.alarms.Load()) }),
		counter("refused_total", "Checkpoints of peers that were refused: not signed by their log, or malformed.", func() float64 { return float64(a.refused.Load()) }),
		gauge("failing", "1 while the audit log cannot be written, else 0.", func() float64 {
			if a.failing.Load() != nil {
				return 1
			}
			return 0
		}),
		gauge("witnessed_records", "Records that the peer which is furthest behind has countersigned, of those that this node tells its log to.", func() float64 {
			a.wmu.Lock()
			defer a.wmu.Unlock()
			least := int64(-1)
			for _, w := range a.tells {
				if n := w.size; !w.sure {
					least = 0
				} else if least < 0 || n < least {
					least = n
				}
			}
			return float64(max(least, 0))
		}),
	}
	if a.tl != nil {
		list = append(list,
			gauge("size_records", "Records in the audit log, with those that are deleted.", func() float64 { return float64(a.tl.Usage().Size) }),
			gauge("bytes", "Bytes of the audit log on disk.", func() float64 { return float64(a.tl.Usage().Bytes) }))
	}
	for _, c := range list {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
