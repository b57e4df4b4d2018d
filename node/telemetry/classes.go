package telemetry

import "time"

// ClassState is how the calls of one class have fared at this node since it started, for views that tell of it as it goes:
// who looks twice knows what became of the calls between.
type ClassState struct {
	Name string // of the policy, or "other"
	ServiceLevel
	Decisions []Decided
	// Waits are the calls that were queued, by how long. Others were decided at once.
	Waits []Waited
}

// Decided counts the decisions of one verdict and code.
type Decided struct {
	Verdict, Code string
	Calls         uint64
}

// Waited counts calls that were queued for longer than Over and at most Most, which is 0 in the last one: it has no bound.
type Waited struct {
	Over, Most time.Duration
	Calls      uint64
}

// Classes tells of all classes of the policy in force, in its order, and of "other" if any call was of none. What is nought is left out.
func (m *Metrics) Classes() []ClassState {
	if m == nil {
		return nil
	}
	t := m.table.Load()
	out := make([]ClassState, len(t.names))
	for i, name := range t.names {
		out[i].Name = name
		if i == len(t.names)-1 {
			n := t.outcome(i)
			out[i].Met, out[i].Missed, out[i].Excused = n.Met, n.Missed, n.Excused
		} else {
			out[i].ServiceLevel, _ = m.ServiceLevel(name)
		}
		if h := t.waits[i].Load(); h != nil {
			out[i].Waits = h.waited()
		}
	}
	for i := range t.cells {
		if n := sumOf(&t.cells[i]); n > 0 {
			class, rest := i%len(t.names), i/len(t.names)
			of := &out[class]
			of.Decisions = append(of.Decisions, Decided{nameAt(verdicts, rest/(len(codes)+1)), nameAt(codes, rest%(len(codes)+1)), n})
		}
	}
	if last := len(out) - 1; len(out[last].Decisions) == 0 {
		out = out[:last]
	}
	return out
}

// nameAt is an entry of a list, or "other" beyond it.
func nameAt(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return other
}

// waited sums the stripes up.
func (h *histogram) waited() (out []Waited) {
	for i := range len(bounds) + 1 {
		w := Waited{}
		if i < len(bounds) {
			w.Most = bounds[i]
		}
		if i > 0 {
			w.Over = bounds[i-1]
		}
		for _, s := range h.slots {
			w.Calls += s.buckets[i].Load()
		}
		if w.Calls > 0 {
			out = append(out, w)
		}
	}
	return out
}
