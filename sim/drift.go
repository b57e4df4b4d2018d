package sim

import (
	"math"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

// drifting is how far models are from what nodes have learned of them.
type drifting struct {
	any     bool
	most    float64
	since   map[driftKey]micros
	longest micros
}

type driftKey struct {
	node        int
	rule, model string
}

// isDrift is when nodes' alerts take a model for longer than it was: see SwarmpurseModelDrifts in node/telemetry/alerts.yaml, which waits for ten minutes.
func isDrift(z *admit.Size) bool { return z.Above > 2*z.Expected+0.05 }

// sample looks at what some nodes have learned. What they have not enough calls of they say nothing about.
func (d *drifting) sample(w *world) {
	if w.now < span(w.sc.Warmup) || w.now > w.arrivalsEnd {
		return
	}
	if d.since == nil {
		d.since = map[driftKey]micros{}
	}
	for i := 0; i < len(w.nodes); i += max(1, len(w.nodes)/pricedNodes) {
		n := w.nodes[i]
		if !n.up || n.core.Engine == nil {
			continue
		}
		for _, z := range n.core.Engine.Sizes() {
			if z.Reserved < 0 {
				continue
			}
			d.any = true
			d.most = max(d.most, z.Above)
			k := driftKey{i, z.Rule, z.Model}
			switch since, on := d.since[k]; {
			case !isDrift(&z):
				delete(d.since, k)
			case !on:
				d.since[k] = w.now
			default:
				d.longest = max(d.longest, w.now-since)
			}
		}
	}
}

// figures are the part, NaN if nothing was learned, and the time in seconds.
func (d *drifting) figures() (most, lasts float64) {
	if !d.any {
		return math.NaN(), math.NaN()
	}
	return d.most, float64(d.longest) / float64(second)
}
