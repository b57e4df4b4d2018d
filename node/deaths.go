package node

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Where operators sign, a node answers who asks about dead members only if an operator has vouched for their death to him, which it
// checks itself: so no node can have another declared dead on its own word.

const (
	maxDeaths  = 64    // heirs whose words are remembered
	deathAgain = 1_000 // ms until peers are told again
)

// deaths are operators' words by who they were given to. The loop's.
type deaths struct {
	of   map[string]wire.Death
	told ledger.Instant // when peers were told of this node's own
}

// vouchedBy checks that an operator has signed, where that is needed, and says who gives the word.
func (n *Node) vouchedBy(ctx context.Context, q api.RemoveRequest) (by string, err error) {
	d := wire.Death{Heir: n.opts.Name, Dead: append([]string{q.Name}, q.Also...), Stock: statedBy(q.Stock), Limits: statedBy(q.Limits), Unseen: q.Unseen, Why: q.Why}
	err = n.wait(ctx, func(now ledger.Instant, done func(error)) {
		d.Generation = n.generation()
		signer, err := n.operator(now, q.Signature, func(charter string, at int64) *trust.Statement {
			d.At = at
			return d.Statement(charter)
		})
		if signer != "" {
			d.By, d.Sig = q.Signature.By, q.Signature.Sig
			n.deaths.keep(d)
			n.deaths.told = 0
		}
		by = signedBy(signer, q.By)
		done(err)
	})
	return by, err
}

func statedBy(in []api.Stated) (out []trust.Stated) {
	for _, s := range in {
		out = append(out, trust.Stated{Instance: s.Instance, Amount: int64(s.Amount)})
	}
	return out
}

func (d *deaths) keep(x wire.Death) {
	if d.of == nil || len(d.of) >= maxDeaths {
		d.of = map[string]wire.Death{}
	}
	d.of[x.Heir] = x
}

// tellDeath tells all peers the word that this node was given, again and again while it asks them about it. The loop's.
func (n *Node) tellDeath(now ledger.Instant) {
	d, given := n.deaths.of[n.opts.Name]
	if !given || now < n.deaths.told+deathAgain && now >= n.deaths.told {
		return
	}
	n.deaths.told = now
	for _, name := range n.pool.Alive() {
		if name != n.opts.Name {
			n.tell(name, msgDeath, wire.EncodeDeath(&d))
		}
	}
}

// receiveDeath checks an operator's word that a peer was given.
func (n *Node) receiveDeath(now ledger.Instant, from string, d wire.Death) {
	if d.Heir != from {
		n.refuse(from, &seal.Refusal{Reason: seal.NotTheirs, What: fmt.Sprintf("a word on dead members that was given to %.64q", d.Heir)})
		return
	}
	if len(n.roll.Signers()) == 0 {
		return
	}
	sig := &trust.Signature{By: d.By, At: d.At, Sig: d.Sig}
	if _, err := n.operator(now, sig, func(charter string, _ int64) *trust.Statement { return d.Statement(charter) }); err != nil {
		n.refuse(from, &seal.Refusal{Reason: seal.FalseWord, What: fmt.Sprintf("a word on dead members: %v", err)})
		return
	}
	n.deaths.keep(d)
}

// receiveWordAsk answers who asks about dead members, if he may.
func (n *Node) receiveWordAsk(now ledger.Instant, from string, a *ledger.WordAsk) {
	if len(n.roll.Signers()) > 0 {
		d, given := n.deaths.of[from]
		stale := int64(now)-d.At > 2*trust.Lasts || d.Generation != strconv.FormatUint(a.From.Gen, 16)
		other := func(h ledger.Holder) bool { return !slices.Contains(d.Dead, h.Node) }
		if !given || stale || slices.ContainsFunc(a.Dead, other) {
			n.refuse(from, &seal.Refusal{Reason: seal.NoSigner, What: "a question about dead members, of whose death no operator's word is known here"})
			return
		}
	}
	n.receive(now, from, a)
}
