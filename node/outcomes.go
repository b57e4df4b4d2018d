package node

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// Sums of what became of calls: of the arms of experiments, and of what a shadow would have decided otherwise. Each node counts its own, tells
// all, and keeps what it knows of the policies whose documents it has.

const (
	keySums = "sums/" // and the id
	// sumsWeight has sums go after words and before most rows: they are paced.
	sumsWeight = 1e6
)

func sumsKey(id outcome.ID) string { return keySums + hex.EncodeToString(id[:]) }

// loadSums takes one stored board over. What cannot be read is counted anew.
func (n *Node) loadSums(b []byte) {
	if id, rows, err := wire.DecodeSums(b); err == nil {
		n.boards.Load(id, rows)
	}
}

// watchOutcomes counts, tells and writes. The loop's, at every tick.
func (n *Node) watchOutcomes(now ledger.Instant) {
	if since := now - n.counted; since < countEvery && since >= 0 {
		return
	}
	n.counted = now
	n.setShadow(now) // its time may be over
	ids := n.shadowIDs()
	for _, d := range n.roll.docs {
		for _, e := range d.policy.Experiments() {
			ids = append(ids, outcome.ID(e.ID))
		}
	}
	for _, id := range n.boards.Keep(ids) {
		n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: sumsKey(id)})
	}
	n.countOutcomes()
	tell, write := n.boards.Tick(int64(now), len(n.alive()))
	for _, t := range tell {
		n.cast(fmt.Sprintf("sums/%x/%s", t.ID[:4], n.opts.Name), sumsWeight, append([]byte{msgSums}, wire.EncodeSums(t.ID, t.Rows)...))
	}
	n.writeOutcomes(write)
}

func (n *Node) countOutcomes() {
	for _, x := range n.engine.Experiments() {
		n.boards.Count(outcome.ID(x.Experiment.ID), outcome.Values(x.Arms))
	}
	n.countShadow(n.shade.Load())
}

// writeOutcomes adds sums to the batch that begins.
func (n *Node) writeOutcomes(ids []outcome.ID) {
	for _, id := range ids {
		n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: sumsKey(id), Value: wire.EncodeSums(id, n.boards.Rows(id))})
	}
}

// lastOutcomes adds what the node has counted since it was last written, as it ends.
func (n *Node) lastOutcomes() {
	n.countOutcomes()
	n.writeOutcomes(n.boards.Last())
}

// countEvery is the pause between two times that a node looks at what it has counted, in ms.
const countEvery ledger.Instant = 500

// receiveSums takes a peer's sums over, and tells them on if they are news.
func (n *Node) receiveSums(from string, id outcome.ID, rows []outcome.Row, body []byte) {
	if n.boards.Receive(id, rows) {
		n.pass(from, fmt.Sprintf("sums/%x/%s", id[:4], rows[0].Node), sumsWeight, append([]byte{msgSums}, body...))
	}
}

// viewExperiments compares the arms of a policy's experiments. The loop's.
func (n *Node) viewExperiments(p *policy.Policy) (list []api.Experiment) {
	for _, e := range p.Experiments() {
		values, lives := n.boards.Sum(outcome.ID(e.ID))
		list = append(list, viewExperiment(e, outcome.Arms(values, len(e.Arms)), lives))
	}
	return list
}

func viewExperiment(e *policy.Experiment, arms []outcome.Sums, lives int) api.Experiment {
	x := api.Experiment{Name: e.Name, ID: hex.EncodeToString(e.ID[:]), By: e.By, When: e.When(), Cost: e.Cost, Nodes: lives, Confidence: outcome.Confidence}
	for i := range e.Arms {
		s := &arms[i]
		a := api.ExperimentArm{Name: e.Arms[i].Name, Does: e.Arms[i].Params.String(), Calls: int64(s.Calls), Refused: int64(s.Refused), Scores: int64(s.Score.N), Settled: int64(s.Latency.N)}
		a.Score, a.Cost, a.LatencyMS = mean(s.Score), mean(s.Cost), mean(s.Latency)
		if a.LatencyMS != nil {
			*a.LatencyMS *= 1000
		}
		if i > 0 {
			for _, c := range outcome.Compare(&arms[0], s, len(e.Arms)) {
				y := api.Compared{Measure: c.Measure, First: c.First.Mean(), Here: c.Here.Mean(), Difference: c.Difference, Verdict: c.Verdict}
				if c.Known {
					y.Low, y.High = &c.Low, &c.High
				}
				a.Compared = append(a.Compared, y)
			}
			a.Verdict = verdict(a.Compared, e.Arms[0].Name)
		}
		x.Arms = append(x.Arms, a)
	}
	return x
}

func mean(m outcome.Moments) *float64 {
	if m.N == 0 {
		return nil
	}
	v := m.Mean()
	return &v
}

// verdict says in a sentence how an arm stands beside the first.
func verdict(list []api.Compared, first string) string {
	by := map[string][]string{}
	known := false
	for _, c := range list {
		by[c.Verdict] = append(by[c.Verdict], c.Measure)
		known = known || c.Low != nil
	}
	if !known {
		return "too few calls yet to compare it with " + first
	}
	var parts []string
	for _, v := range []string{outcome.Better, outcome.Worse} {
		if m := by[v]; m != nil {
			parts = append(parts, v+" in "+strings.Join(m, ", "))
		}
	}
	if len(parts) == 0 {
		return "no difference from " + first + " seen yet"
	}
	return strings.Join(parts, "; ") + " than " + first
}

// beginOutcomes names this run.
func (n *Node) beginOutcomes(l rollout.Life) {
	n.boards.Begin(outcome.Life(l), int64(n.opts.GossipBytesPerSecond))
}
