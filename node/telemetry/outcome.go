package telemetry

// ShadowState is what a shadow would have decided otherwise on this node's calls, since the node began to look at it.
type ShadowState struct {
	On                    bool
	Same, Differ, Dropped int64
	Kinds                 []string // of differences
	Counts                []int64
}

func (s *ShadowState) collect(send func(Metric, float64, ...string)) {
	if !s.On {
		return
	}
	send(shadowCalls, float64(s.Same), "same")
	send(shadowCalls, float64(s.Differ), "differ")
	send(shadowCalls, float64(s.Dropped), "dropped")
	for i, k := range s.Kinds {
		send(shadowDifferences, float64(s.Counts[i]), k)
	}
}

// maxExperimentArms bounds the arms of experiments that metrics tell of: those of two policies.
const maxExperimentArms = 64

// ExperimentState is one arm of an experiment: what became of this node's calls.
type ExperimentState struct {
	Experiment, Arm   string
	Admitted, Refused int64
	Scores            int64
	Score             float64 // the mean
}

func collectExperiments(list []ExperimentState, send func(Metric, float64, ...string)) {
	seen := map[[2]string]bool{}
	for i := range list {
		x := &list[i]
		k := [2]string{labelValue(x.Experiment), labelValue(x.Arm)}
		if len(seen) == maxExperimentArms || seen[k] {
			continue
		}
		seen[k] = true
		send(experimentCalls, float64(x.Admitted), k[0], k[1], "admitted")
		send(experimentCalls, float64(x.Refused), k[0], k[1], "refused")
		if x.Scores > 0 {
			send(experimentScore, x.Score, k[0], k[1])
		}
	}
}
