package sim

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// What operators freeze. A word is in force at a node as soon as it is there, waits for no disk, and goes on as in production: the node
// that was asked tells all whom it sees, and spreads it as rows spread; whoever hears it passes it on; and where nodes compare what
// they know they compare this, too.

// Messages, beside words themselves.
type (
	haveFrozen struct { // what the sender knows has this hash
		from *node
		hash [32]byte
	}
	wantFrozen struct{ from *node } // the sender wants to know all
)

// says is an operator's word at this node.
func (n *node) says(k freeze.Key, on bool) {
	w, err := n.frozen.Say(int64(n.clockNow()), n.name, k, on, "", "")
	if err != nil {
		n.w.fail("an operator can freeze", "%s: %v", n.name, err)
		return
	}
	n.w.measure.frozen.said(n.w, w)
	n.enforce([]freeze.Word{w})
	n.spread(sizeOf([]freeze.Word{w}), evFrozen, []freeze.Word{w}, -1)
	for _, i := range n.view.live {
		if i != int32(n.i) {
			n.tellWords(n.w.nodes[i], []freeze.Word{w})
		}
	}
}

// hears is a message about words.
func (n *node) hears(m any) {
	switch m := m.(type) {
	case []freeze.Word:
		if n.w.audit.bug == bugDeaf && n.i%10 == 1 {
			return
		}
		if news := n.frozen.Merge(m); len(news) > 0 {
			n.enforce(news)
			if n.passesOn() {
				n.spread(sizeOf(news), evFrozen, news, -1)
			}
		}
	case haveFrozen:
		if m.hash != n.frozen.Hash(nil) {
			n.tellWords(m.from, n.frozen.Words())
			n.send(m.from, wordSize, evFrozen, wantFrozen{n})
		}
	case wantFrozen:
		n.tellWords(m.from, n.frozen.Words())
	}
}

// enforce has the engine go by what is frozen now.
func (n *node) enforce(news []freeze.Word) {
	n.ice = n.frozen.View()
	if n.w.audit.bug != bugThaw {
		n.core.Engine.SetFrozen(n.ice)
	}
	n.w.stir("frozen", n.name)
	for _, w := range news {
		n.w.measure.frozen.heard(n, w)
	}
}

func (n *node) tellWords(to *node, ws []freeze.Word) {
	if len(ws) > 0 {
		n.send(to, sizeOf(ws), evFrozen, ws)
	}
}

func sizeOf(ws []freeze.Word) int {
	size := wordSize
	for _, w := range ws {
		size += len(w.Instance) + len(w.Tenant) + len(w.Agent) + len(w.Node) + len(w.By) + len(w.Why) + 16
	}
	return size
}

// compareFrozen tells a peer what this node knows, where there is anything to know.
func (n *node) compareFrozen(p *node) {
	if len(n.w.measure.frozen.words) > 0 {
		n.send(p, wordSize, evFrozen, haveFrozen{n, n.frozen.Hash(nil)})
	}
}

// checkFrozen judges an admission by what this node knows, and counts it if the whole swarm should have known better.
func (n *node) checkFrozen(c *call) {
	f := &n.w.measure.frozen
	if len(f.words) == 0 {
		return
	}
	word := n.ice.Caller(c.Tenant, c.Agent)
	for i := range c.charges {
		if word == nil {
			word = n.ice.Instance(c.charges[i].Instance.Name())
		}
	}
	if word != nil {
		n.w.fail("nothing that is frozen is admitted", "call %d at %s: %s", c.Seq, n.name, word.Key)
	}
	for i := range f.words {
		x := &f.words[i]
		if x.Frozen && n.w.now > x.at+span(result.FreezeMost) && n.w.now < x.until && x.refuses(c) {
			f.slipped++
			return
		}
	}
}

// frozenMeasure is what figures tell of words.
type frozenMeasure struct {
	words   []saidWord
	longest micros // until a node went by one
	slipped int64
}

type saidWord struct {
	freeze.Word
	at, until micros // until another word of the same key
}

func (x *saidWord) refuses(c *call) bool {
	if x.Instance != "" {
		return slices.ContainsFunc(c.charges, func(ch admit.Charge) bool { return ch.Instance.Name() == x.Instance })
	}
	return (x.Tenant == "" || x.Tenant == c.Tenant) && (x.Agent == "" || x.Agent == c.Agent)
}

func (f *frozenMeasure) said(w *world, word freeze.Word) {
	for i := range f.words {
		if f.words[i].Key == word.Key {
			f.words[i].until = min(f.words[i].until, w.now)
		}
	}
	f.words = append(f.words, saidWord{word, w.now, math.MaxInt64})
}

// heard notes how long a word took to a node. One that started since then has it from others, however long it was away.
func (f *frozenMeasure) heard(n *node, word freeze.Word) {
	i := slices.IndexFunc(f.words, func(x saidWord) bool { return x.Word == word })
	if i >= 0 && n.started <= f.words[i].at {
		f.longest = max(f.longest, n.w.now-f.words[i].at)
	}
}

// takes is the longest that a word took to all nodes, in seconds: +Inf if some node that runs has none later at the end, NaN without a word.
func (f *frozenMeasure) takes(w *world) float64 {
	if len(f.words) == 0 {
		return math.NaN()
	}
	for i := range f.words {
		for _, n := range w.nodes {
			if known, ok := n.frozen.Of(f.words[i].Key); n.up && !n.paused && (!ok || known.At < f.words[i].At) {
				return math.Inf(1)
			}
		}
	}
	return (time.Duration(f.longest) * time.Microsecond).Seconds()
}
