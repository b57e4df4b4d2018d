package scenario

import "github.com/swarmpurse/swarmpurse/sim/workload"

// Source makes the scenario's workload, from its beginning. Every system gets one of its own, and all get the same
// calls.
func (s *Scenario) Source() (workload.Source, error) {
	return workload.New(workload.Config{Streams: s.Workload, Zones: s.ZoneList(), Seed: s.Seed, Duration: s.Duration, Traces: s.Traces})
}
