package sim

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// fault begins or ends one fault at its nodes.
func (w *world) fault(e *scenario.Event, begins bool) {
	f := &w.sc.Faults[e.Fault]
	var ns []*node
	for _, i := range e.Nodes {
		for len(w.nodes) <= i {
			w.addNode(len(w.nodes))
		}
		ns = append(ns, w.nodes[i])
	}
	switch e.Kind {
	case scenario.Partition:
		w.partition(e, f, ns, begins)
		return
	case scenario.Revise:
		for _, n := range ns {
			if n.up && !n.paused {
				n.operates(f)
			}
		}
		return
	case scenario.Mint, scenario.Burn:
		for i, n := range ns {
			for range w.nodes { // who gets no answer asks the next one
				if n.up && !n.paused {
					n.do(event{kind: evOrder, p: &order{Fault: f, id: fmt.Sprint(e.Fault, e.At, i), until: w.now + burnWaits}})
					break
				}
				n = w.nodes[(n.i+1)%len(w.nodes)]
			}
		}
		return
	case scenario.Freeze:
		for _, n := range ns {
			for range w.nodes { // who gets no answer asks the next one
				if n.up && !n.paused {
					n.says(f.Freeze, begins)
					break
				}
				n = w.nodes[(n.i+1)%len(w.nodes)]
			}
		}
		return
	}
	for _, n := range ns {
		switch e.Kind {
		case scenario.Crash:
			if n.crashed = begins; begins {
				if n.up { // else it left later than was planned, and is away
					n.stop()
					w.pool.died(n)
				}
				n.gone = e.Until == scenario.Never
				if f.LoseDisk || n.gone {
					w.measure.ends(n)
				}
				if f.LoseDisk {
					n.wipe()
				}
			} else {
				w.back(n)
			}
		case scenario.Pause:
			n.pause(begins)
		case scenario.Clock:
			by := span(f.By)
			if !begins {
				by = -by
			}
			n.wallOff += by
			w.judge.stepped(by)
		case scenario.Link:
			more, loss := span(f.Delay), f.Loss
			if !begins {
				n.linkMore, n.linkLoss = n.linkMore-more, 0
			} else {
				n.linkMore, n.linkLoss = n.linkMore+more, max(n.linkLoss, loss)
			}
		case scenario.DiskSlow:
			if begins {
				n.slow += span(f.Delay)
			} else {
				n.slow -= span(f.Delay)
			}
		case scenario.DiskFail:
			if begins {
				n.failing++
			} else {
				n.failing--
			}
		case scenario.Join:
			n.start()
			w.pool.came(n)
			w.measure.healed()
		case scenario.Leave:
			if begins && n.up && !n.paused { // when it is back depends on when it has left
				n.core.Engine.Drain()
				w.pool.goes(n)
				n.leaving = leaving{since: w.now, away: span(e.Until - e.At), back: e.Until != scenario.Never}
			}
		}
	}
	if !begins && e.Kind != scenario.Leave {
		w.measure.healed()
	}
}

// back starts a node that crashed or left, unless it is there already or has crashed meanwhile.
func (w *world) back(n *node) {
	if !n.up && !n.crashed {
		n.start()
		w.pool.came(n)
		w.measure.healed()
	}
}

// partition cuts nodes off from all others, or ends that.
func (w *world) partition(e *scenario.Event, f *scenario.Fault, ns []*node, begins bool) {
	if !begins {
		for i, c := range w.links.cuts {
			if c.event == e.Fault && c.at == e.At {
				w.links.cuts = append(w.links.cuts[:i:i], w.links.cuts[i+1:]...)
				for _, n := range ns {
					n.side &^= c.bit
				}
				w.pool.healed(c.seen)
				w.measure.healed()
				return
			}
		}
		return
	}
	bit := uint64(1)
	for w.pool.bits&bit != 0 {
		bit <<= 1
	}
	if bit == 0 {
		return // 64 partitions at once are enough
	}
	for _, n := range ns {
		n.side |= bit
	}
	w.links.cuts = append(w.links.cuts, cut{bit: bit, oneWay: f.OneWay, event: e.Fault, at: e.At, seen: w.pool.split(ns, bit)})
}

// pause stops a process and lets it go on.
func (n *node) pause(begins bool) {
	if !n.up {
		return
	}
	if begins {
		n.paused = true
		n.w.pool.died(n)
		return
	}
	n.paused = false
	n.w.pool.came(n)
	n.free()
}

// faultText says what a fault does to so many nodes.
func faultText(f *scenario.Fault, nodes int) string {
	what := string(f.Kind)
	switch {
	case f.OneWay:
		what += ", one way"
	case f.LoseDisk:
		what += ", disk lost"
	case f.Act != "":
		what += ", " + f.Act.Word()
	case f.Kind == scenario.Freeze:
		what += " " + f.Freeze.String()
	case f.Kind == scenario.Mint || f.Kind == scenario.Burn:
		what += orderText(f)
	case f.By != 0:
		what += fmt.Sprintf(" %v", f.By)
	}
	switch {
	case f.Zone != "":
		return what + ": zone " + f.Zone
	case nodes == 1:
		return what + ": a node"
	}
	return fmt.Sprintf("%s: %d nodes", what, nodes)
}
