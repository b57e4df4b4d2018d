package node

import "github.com/swarmpurse/swarmpurse/node/telemetry"

// state is how the log stands, for metrics. Safe for concurrent use.
func (a *auditor) state() telemetry.AuditState {
	s := telemetry.AuditState{
		Written: a.written.Load(), Dropped: a.dropped.Load(), Alarms: a.alarms.Load(), Refused: a.refused.Load(),
		Failing: a.failing.Load() != nil, Witnessed: max(0, a.leastWitnessed()),
	}
	if a.tl != nil {
		u := a.tl.Usage()
		s.Kept, s.Size, s.Bytes = true, u.Size, u.Bytes
	}
	return s
}

// leastWitnessed is how many records the peer knows that is furthest behind, of those that are told; -1 if none is.
func (a *auditor) leastWitnessed() int64 {
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
	return least
}
