package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// Bounds of the search for a smaller run that still fails.
const (
	shrinkTries = 60 // runs
	// shrinkEffort is how many events all tries may take, as a multiple of the failing run's, so that a long run is
	// not made sixty times.
	shrinkEffort = 12
	shrinkLeast  = 4_000_000 // events that they may take in any case
)

// Shrunk is the smallest run found that still violates an invariant. It is made again by its scenario with Sets.
type Shrunk struct {
	Sets   []string // changes of the scenario's document, path=value, as of scenario.Set
	Result *result.Result
	Tries  int // runs that were made to find it
}

// Shrink looks for a smaller run than one that violated an invariant: it cuts the end off, leaves out faults and
// streams, takes fewer nodes, and a network that is at fault in fewer ways. What it finds may violate another
// invariant than the first, but a run that failed before its end is never replaced by one that only came to no rest.
// It makes a bounded number of runs, and the same ones whenever it is asked.
//
// edit makes the scenario anew with changes of its document; an error says that this cannot be. The violation of what
// is found gets its Prefix. If ctx ends, what was found so far is returned.
func Shrink(ctx context.Context, edit func(sets []string) (*scenario.Scenario, error), failed *result.Result, o Options) (*Shrunk, error) {
	sc, err := edit(nil)
	if err != nil {
		return nil, err
	}
	if failed.Violation == nil {
		return nil, fmt.Errorf("scenario %q: the run violated nothing", sc.Name)
	}
	o.Progress = nil
	s := &shrinking{ctx: ctx, edit: edit, o: o, whole: sc, best: sc, first: failed, found: &Shrunk{Result: failed}}
	s.effort = max(shrinkLeast, shrinkEffort*failed.Events)
	for before := (*result.Result)(nil); before != s.found.Result; { // until nothing more can go
		before = s.found.Result
		s.cut()
		s.drop("faults", len(sc.Faults), func(sc *scenario.Scenario, i int) bool { return sc.Faults[i].Skip })
		s.drop("workload", len(sc.Workload), func(sc *scenario.Scenario, i int) bool { return sc.Workload[i].Skip })
		s.fewer()
		s.calm()
	}
	v := *s.found.Result.Violation
	v.Prefix = s.prefix()
	r := *s.found.Result
	r.Violation = &v
	s.found.Result = &r
	return s.found, nil
}

// shrinking is a search.
type shrinking struct {
	ctx    context.Context
	edit   func([]string) (*scenario.Scenario, error)
	o      Options
	whole  *scenario.Scenario
	best   *scenario.Scenario
	first  *result.Result
	found  *Shrunk
	effort uint64 // events that tries may still take
}

// try makes the best run with more changes, and takes it if it fails too and is no longer.
func (s *shrinking) try(more ...string) bool {
	if s.found.Tries >= shrinkTries || s.effort == 0 || s.ctx.Err() != nil {
		return false
	}
	sets := replaced(s.found.Sets, more)
	sc, err := s.edit(sets)
	if err != nil {
		return false // such a scenario cannot be
	}
	s.found.Tries++
	o := s.o
	o.most = min(s.effort, s.found.Result.Events)
	r, err := Swarm(s.ctx, sc, o)
	if err != nil {
		return false
	}
	s.effort -= min(s.effort, r.Events)
	if r.Violation == nil || early(s.found.Result, s.best) && !early(r, sc) {
		return false
	}
	s.found.Sets, s.found.Result, s.best = sets, r, sc
	return true
}

// replaced is the changes with more of them, each path changed once.
func replaced(sets, more []string) []string {
	path := func(set string) string { p, _, _ := strings.Cut(set, "="); return p }
	kept := slices.DeleteFunc(slices.Clone(sets), func(old string) bool {
		return slices.ContainsFunc(more, func(set string) bool { return path(set) == path(old) })
	})
	return append(kept, more...)
}

// early reports whether a run failed while calls came or faults lasted, and not for what was left at rest.
func early(r *result.Result, sc *scenario.Scenario) bool {
	return r.Violation.At < sc.Duration+sc.Rest
}

// cut ends the scenario earlier: just after the violation, or by halves where it showed at rest only.
func (s *shrinking) cut() {
	for s.ends(s.best.Duration / 2) {
	}
	if s.ends(s.best.Duration * 3 / 4) {
		return
	}
	if v := s.found.Result.Violation; v.At < s.best.Duration {
		s.ends(v.At.Truncate(time.Second) + time.Second)
	}
}

// ends tries a shorter duration, and what it takes to make such a scenario: what would come later is left out.
func (s *shrinking) ends(at time.Duration) bool {
	at = at.Round(100 * time.Millisecond)
	if at < time.Second || at >= s.best.Duration {
		return false
	}
	sets := []string{"duration=" + at.String()}
	if s.best.Warmup > 0 {
		sets = append(sets, "warmup=0s")
	}
	for i, f := range s.best.Faults {
		switch {
		case f.Skip:
		case f.At >= at:
			sets = append(sets, fmt.Sprintf("faults.%d.skip=true", i))
		case f.Until > at:
			sets = append(sets, fmt.Sprintf("faults.%d.until=%v", i, at))
		}
	}
	for i, st := range s.best.Workload {
		switch {
		case st.Skip:
		case st.From >= at:
			sets = append(sets, fmt.Sprintf("workload.%d.skip=true", i))
		default:
			if st.Until > at {
				sets = append(sets, fmt.Sprintf("workload.%d.until=%v", i, at))
			}
			if st.Start > at {
				sets = append(sets, fmt.Sprintf("workload.%d.start=%v", i, at))
			}
		}
	}
	return s.try(sets...)
}

// drop leaves out entries of a list: all, then halves, and so on down to single ones.
func (s *shrinking) drop(list string, n int, skipped func(*scenario.Scenario, int) bool) {
	var left []int
	for i := range n {
		if !skipped(s.best, i) {
			left = append(left, i)
		}
	}
	for size := len(left); size > 0; size /= 2 {
		for at := 0; at < len(left); {
			chunk := left[at:min(at+size, len(left))]
			sets := make([]string, len(chunk))
			for k, i := range chunk {
				sets[k] = fmt.Sprintf("%s.%d.skip=true", list, i)
			}
			if s.try(sets...) {
				left = slices.Delete(left, at, at+len(chunk))
			} else {
				at += len(chunk)
			}
		}
	}
}

// fewer takes fewer nodes, in large steps before small ones.
func (s *shrinking) fewer() {
	for _, part := range []func(int) int{
		func(n int) int { return n / 4 }, func(n int) int { return n / 2 }, func(n int) int { return n * 3 / 4 }, func(n int) int { return n - 1 },
	} {
		for n := part(s.best.Nodes); n > 0 && n < s.best.Nodes && s.nodes(n); n = part(s.best.Nodes) {
		}
	}
}

func (s *shrinking) nodes(n int) bool {
	sets := []string{fmt.Sprintf("nodes=%d", n)}
	if s.best.Founders > n {
		sets = append(sets, fmt.Sprintf("founders=%d", n))
	}
	return s.try(sets...)
}

// calm takes from the network what does not matter.
func (s *shrinking) calm() {
	n := &s.best.Network
	for _, x := range []struct {
		on  bool
		set string
	}{
		{n.Loss > 0, "network.loss=0%"}, {n.Duplicate > 0, "network.duplicate=0%"}, {n.Reorder > 0, "network.reorder=0%"},
		{s.best.Retries > 0, "retries=0"},
	} {
		if x.on {
			s.try(x.set)
		}
	}
}

// prefix says in words what is left.
func (s *shrinking) prefix() string {
	r, was, sc := s.found.Result, s.whole, s.best
	parts := []string{
		fmt.Sprintf("%s of %s events", humanize.Comma(int64(r.Events)), humanize.Comma(int64(s.first.Events))),
		fmt.Sprintf("%d of %d nodes", sc.Nodes, was.Nodes),
	}
	var streams []string
	for _, st := range sc.Workload {
		if !st.Skip {
			streams = append(streams, st.Name)
		}
	}
	if len(streams) < len(sc.Workload) {
		parts = append(parts, fmt.Sprintf("%d of %d streams: %s", len(streams), len(was.Workload), listed(streams)))
	}
	var faults []string
	for _, f := range sc.Faults {
		if !f.Skip && f.At <= r.Violation.At {
			faults = append(faults, fmt.Sprintf("%s at %v", f.Kind, f.At))
		}
	}
	if len(was.Faults) > 0 {
		parts = append(parts, "faults: "+listed(faults))
	}
	text := strings.Join(parts, ", ")
	if r.Violation.Invariant != s.first.Violation.Invariant {
		text += fmt.Sprintf("; what breaks there is %q", r.Violation.Invariant)
	}
	return text
}

func listed(words []string) string {
	const most = 6
	switch n := len(words); {
	case n == 0:
		return "none"
	case n > most:
		return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", n-most)
	}
	return strings.Join(words, ", ")
}
