package sim

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Bytes of answers, as a node's proxy passes them on: it reads a piece, waits until its bytes may pass, and reads the next one. So an
// answer takes as long as its model, or longer where a budget of bytes slows it down. The times are those of package node.
const (
	pieceEvery = 100 * milli   // a model's pieces
	paceTries  = 10 * milli    // between looks whether rights have come
	paceAsks   = 20            // looks from one ask of peers to the next
	paceWaits  = 2_000 * milli // without any byte until the piece is owed
)

// flow is what of a call's answer has not passed.
type flow struct {
	left  ledger.Tokens // bytes
	each  ledger.Tokens // of a piece
	piece ledger.Tokens // what of the present piece has not passed; 0: it is to be read
	owed  ledger.Tokens // what passed without rights
	looks int
	still micros // since when nothing passed
}

// begins has the answer of a call flow that was admitted and runs for so long.
func (w *world) begins(c *call, bytes int64, runs micros) {
	pieces := max(1, runs/pieceEvery)
	c.flow = &flow{left: ledger.Tokens(bytes), each: max(1, (ledger.Tokens(bytes)+ledger.Tokens(pieces)-1)/ledger.Tokens(pieces))}
	w.plan(w.now+min(runs, pieceEvery), evFlow, nil, c)
}

// flows passes on what may of a call's answer.
func (w *world) flows(c *call) {
	n, f := w.nodes[c.Node], c.flow
	switch {
	case !n.up || n.life != c.life:
		w.ends(c) // the connection is broken
		return
	case n.paused:
		w.plan(w.now+pieceEvery, evFlow, nil, c)
		return
	}
	if f.piece == 0 {
		f.piece, f.looks, f.still = min(f.each, f.left), 0, w.now
	}
	n.rouse()
	now := n.clockNow()
	done, lack, paced := n.core.Engine.Pace(now, c.id, f.piece)
	switch {
	case !paced: // it draws on no such budget, or its reservation is over
		w.flowed(n, c, f.piece, false, false)
	case done > 0:
		w.flowed(n, c, done, true, false)
	case w.now-f.still > paceWaits:
		n.core.Engine.Owe(now, c.id, f.piece)
		w.flowed(n, c, f.piece, true, true)
	}
	n.doze()
	switch {
	case f.piece > 0:
		if f.looks%paceAsks == 0 && lack.Need > 0 {
			n.do(event{kind: evLack, p: lack})
		}
		f.looks++
		w.plan(w.now+paceTries, evFlow, nil, c)
	case f.left > 0:
		w.plan(w.now+pieceEvery, evFlow, nil, c)
	default:
		w.lastEnd = max(w.lastEnd, w.now)
		w.ends(c)
	}
}

// flowed books bytes that pass.
func (w *world) flowed(n *node, c *call, bytes ledger.Tokens, paced, owed bool) {
	f := c.flow
	f.piece -= bytes
	f.left -= bytes
	f.still = w.now
	w.tally.Passed(w.millis(), int64(bytes), owed)
	if !paced {
		return
	}
	if owed {
		f.owed += bytes
	}
	for i := range c.charges {
		ch := &c.charges[i]
		b, _, ok := w.sc.Policies[n.policy].Resolve(w.charter.ID, ch.Instance)
		if !ok || b.Unit != policy.ByteUnit {
			continue
		}
		ch.Amount += bytes
		if !owed { // else it is debt, of which callers are given less later
			w.judge.gave(n, ch.Instance, c.at, bytes)
			n.book(c, ch.Instance, bytes)
		}
	}
	n.checkCharges(c)
}

// lacks asks peers for what bytes wait for.
func (n *node) lacks(now ledger.Instant, lack admit.Lack) {
	n.core.Replica.Waiting(now, lack.Instance, ledger.Need{First: lack.First, All: lack.Need, Since: now, Until: now + ledger.Instant(paceWaits/milli)})
}
