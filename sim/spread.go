package sim

import "github.com/swarmpurse/swarmpurse/sim/promise"

// What is no row spreads as rows do, but by itself: a packet for each, which waits for no company. Its bytes are taken out of what
// rows may use, as those of all messages.

// waves is a payload on its way to some peers after each other.
type waves struct {
	size  int
	kind  eventKind
	p     any
	peers []int32
}

// spread pushes a payload to a few peers at once, and to a few others somewhat later.
func (n *node) spread(size int, kind eventKind, p any, except int32) {
	n.wave(&waves{size, kind, p, n.view.pick(nil, n, except, n.dice, promise.Fanout*promise.Waves)})
}

// passesOn reports whether a node passes on what is news to it: else the origin reaches all members itself.
func (n *node) passesOn() bool { return len(n.view.live)-1 > promise.Fanout*promise.Waves }

func (n *node) wave(x *waves) {
	k := min(promise.Fanout, len(x.peers))
	for _, i := range x.peers[:k] {
		n.send(n.w.nodes[i], x.size, x.kind, x.p)
	}
	if x.peers = x.peers[k:]; len(x.peers) > 0 {
		n.w.plan(n.w.now+span(promise.WaveGap), evWave, n, x)
	}
}
