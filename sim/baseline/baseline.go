package baseline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// Kinds lists what Run can run, in the order in which it is shown.
func Kinds() []string {
	return []string{result.Omniscient, result.Split, result.SplitKnown, result.Counters, result.LocalOnly}
}

// Options are what a scenario does not say.
type Options struct {
	// GossipDelay is how long a node's counters take to reach the others; result.Counters only.
	GossipDelay time.Duration
}

// Run lets one system admit the scenario's calls. source makes the workload anew each time that it is called: once,
// twice for result.SplitKnown. The same arguments give the same result.
//
//   - Omniscient: one bucket for each instance, which knows everything at once. See DESIGN.md for its order of service.
//   - Split: every node has the same part of each supply.
//   - SplitKnown: like Omniscient, but in partitions each side has the part that its demand is of all.
//   - Counters: every node admits on its own count and the last known ones of others.
//   - LocalOnly: every node applies the whole limit to what it sees itself.
//
// Calls wait for at most their class's latency budget, come back as Scenario.Retries says, run as long as they run
// and are then settled with their real use. A call that runs when its node crashes is never settled: its tokens stay
// spent, but for slots, though its chain goes on.
func Run(kind string, sc *scenario.Scenario, source func() (workload.Source, error), o Options) (result.System, error) {
	switch {
	case !slices.Contains(Kinds(), kind):
		return result.System{}, fmt.Errorf("unknown system %q: there are %s", kind, strings.Join(Kinds(), ", "))
	case len(sc.Policies) == 0:
		return result.System{}, errors.New("the scenario has no policy")
	case sc.Nodes < 1:
		return result.System{}, errors.New("the scenario has no nodes")
	case o.GossipDelay < 0:
		return result.System{}, fmt.Errorf("the delay of gossip is %v; it cannot be negative", o.GossipDelay)
	}
	src, err := source()
	if err != nil {
		return result.System{}, err
	}
	timeline := scenario.Timeline(sc)
	r := newRun(kind, sc, timeline, src)
	switch kind {
	case result.Omniscient:
		r.pool = central()
	case result.Split:
		r.pool, r.local = even(sc.Nodes), true
	case result.LocalOnly:
		r.pool, r.local = alone(), true
	case result.SplitKnown:
		dry, err := source()
		if err != nil {
			return result.System{}, err
		}
		g := newGroups(r.down.Nodes(), timeline)
		r.pool = newKnown(g, foresee(r, g, dry))
		for i, e := range g.epochs[1:] {
			r.changes = append(r.changes, changing{at: e.at, epoch: i + 1})
		}
	case result.Counters:
		r.pool, r.local = newCounters(millis(o.GossipDelay), newGroups(r.down.Nodes(), timeline)), true
	}
	r.run()
	s := r.tally.System()
	s.Queue, s.Recover = int64(r.queue), r.tally.Recover(scenario.Disturbances(sc, timeline), sc.Duration)
	s.OverspendTokens, s.Overspend = int64(r.judge.excess), r.judge.worst
	return s, nil
}
