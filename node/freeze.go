package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// What operators froze. A word is in force at a node and told on by it as soon as it is there; it waits for no batch and no disk,
// since it takes no right and gives none. The node that was asked answers once the word is durable there. A node that forgot one
// in a crash learns it again from any peer.

// frozenWeight has words go before all rows.
const frozenWeight = 1e18

// frozen is what of it the loop keeps.
type frozen struct {
	set     freeze.Set
	changes uint64 // of set
	durable uint64 // what changes was when what is on disk was written

	alone map[freeze.Key]bool // of which watchFrozen has spoken
}

const keyFrozen = "frozen"

// loadFrozen takes up what the data directory has.
func (n *Node) loadFrozen() error {
	b, err := n.store.Get(store.Policy, keyFrozen)
	if err != nil || b == nil {
		return err
	}
	ws, err := wire.DecodeWords(b)
	if err != nil {
		return &OptionError{"data", fmt.Errorf("what operators froze cannot be read by this version: %w", err), "start the version that stored it"}
	}
	n.frozen.set.Merge(ws)
	n.engine.SetFrozen(n.frozen.set.View())
	for _, w := range n.frozen.set.Frozen() {
		n.log.Warn().Stringer("what", w.Key).Str("by", n.frozenBy(&w)).Str("why", w.Why).Time("at", time.UnixMilli(w.At).UTC()).Msg("frozen, by an operator's word")
	}
	return nil
}

// writeFrozen adds to the batch that begins what of it is not durable. What a failed batch had is in the next one.
func (n *Node) writeFrozen() {
	f := &n.frozen
	if f.changes == f.durable {
		return
	}
	now := f.changes
	n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyFrozen, Value: wire.EncodeWords(f.set.Words())})
	n.after = append(n.after, func(err error) {
		if err == nil {
			f.durable = now
		}
	})
}

// enforce puts news in force, says it in the log, and tells it on; from is the peer that told it, "" for this node's own.
func (n *Node) enforce(news []freeze.Word, from string) {
	if len(news) == 0 {
		return
	}
	n.frozen.changes++
	n.engine.SetFrozen(n.frozen.set.View())
	for _, w := range news {
		what := "unfreeze"
		if w.Frozen {
			what = "freeze"
		}
		n.log.Warn().Str("event", "audit").Str("what", what).Stringer("of", w.Key).Str("by", n.frozenBy(&w)).Str("node", w.Node).Str("why", w.Why).
			Time("at", time.UnixMilli(w.At).UTC()).Msg("an operator's word is in force")
		n.auditor.act(audit.Record{Kind: audit.Freeze, What: what, Instance: w.Key.String(), By: n.frozenBy(&w), Why: w.Why, Node: w.Node})
		body := append([]byte{msgFrozen}, wire.EncodeWords([]freeze.Word{w})...)
		key := "frozen/" + w.Key.String()
		if from != "" {
			n.pass(from, key, frozenWeight, body)
			continue
		}
		n.cast(key, frozenWeight, body)
		for _, name := range n.pool.Alive() {
			n.tell(name, msgFrozen, body[1:])
		}
	}
}

// frozenBy says who gave a word.
func (n *Node) frozenBy(w *freeze.Word) string {
	if !w.Signed() {
		return w.By
	}
	return signedBy(cmp.Or(n.roll.NameOf(w.Who), w.Who.String()), "")
}

// tellsFrozen reports whether a word is one that peers take: where operators sign, by one who signs now. Others stay in force where they
// are known, so that nothing thaws because signers have changed, and are told to nobody.
func (n *Node) tellsFrozen(w *freeze.Word) bool {
	signers := n.roll.Signers()
	return len(signers) == 0 || trust.Rank(signers, w.Who) >= 0
}

// watchFrozen says once of what is frozen by a word that peers do not take.
func (n *Node) watchFrozen() {
	alone := map[freeze.Key]bool{}
	for _, w := range n.frozen.set.Frozen() {
		if n.tellsFrozen(&w) {
			continue
		}
		if alone[w.Key] = true; !n.frozen.alone[w.Key] {
			n.log.Warn().Stringer("what", w.Key).Str("by", n.frozenBy(&w)).
				Msg("frozen by a word that nobody has signed who signs now: it stays frozen here, and nodes that join do not hear of it: freeze it again")
		}
	}
	n.frozen.alone = alone
}

// receiveFrozen takes a peer's words over; where operators sign, those that one of them has signed.
func (n *Node) receiveFrozen(now ledger.Instant, from string, ws []freeze.Word) {
	if len(n.roll.Signers()) > 0 {
		charter := n.replica.Charter().ID.String()
		var good []freeze.Word
		for i := range ws {
			w := &ws[i]
			if !n.frozen.set.News(w) {
				continue
			}
			why := seal.NotSigned
			switch {
			case !w.Signed():
			case !n.tellsFrozen(w):
				why = seal.NoSigner
			case w.At > int64(now)+trust.Lasts, !w.Who.Verify(w.Statement(charter), w.Sig):
				why = seal.FalseWord
			default:
				good = append(good, *w)
				continue
			}
			n.refuse(from, &seal.Refusal{Reason: why, What: fmt.Sprintf("a word on %s, that it is frozen: %v", w.Key, w.Frozen)})
			break // and no work with what else it says
		}
		ws = good
	}
	n.enforce(n.frozen.set.Merge(ws), from)
}

// haveFrozen is the word of what this node knows.
func (n *Node) haveFrozen() []byte {
	return append([]byte{msgHaveFrozen}, wire.EncodeHaveFrozen(&wire.HaveFrozen{Node: n.opts.Name, Hash: n.frozen.set.Hash(n.tellsFrozen)})...)
}

// receiveHaveFrozen tells a peer that knows something else all that this node knows, and asks for the same.
func (n *Node) receiveHaveFrozen(h wire.HaveFrozen) {
	if mine := n.frozen.set.Hash(n.tellsFrozen); h.Node == n.opts.Name || bytes.Equal(h.Hash[:], mine[:]) {
		return
	}
	n.sendFrozen(h.Node)
	n.tell(h.Node, msgWantFrozen, nil)
}

func (n *Node) sendFrozen(to string) {
	ws := slices.DeleteFunc(n.frozen.set.Words(), func(w freeze.Word) bool { return !n.tellsFrozen(&w) })
	for _, p := range wire.EncodeWordsInParts(ws) {
		n.tell(to, msgFrozen, p)
	}
}

// Freeze has calls denied that draw on an instance, or that a tenant or an agent makes, in the whole swarm; or ends that. See
// api.Node.
func (n *Node) Freeze(ctx context.Context, q api.FreezeRequest, on bool) (api.FreezeReceipt, error) {
	k := freeze.Key{Instance: q.Instance, Tenant: q.Tenant, Agent: q.Agent}
	if err := k.Valid(); err != nil {
		return api.FreezeReceipt{}, fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	if on && k.Instance != "" {
		name, err := instanceName(n.policy.Load().policy, k.Instance)
		if err != nil {
			return api.FreezeReceipt{}, err
		}
		if q.Signature != nil && k.Instance != name {
			return api.FreezeReceipt{}, fmt.Errorf("%w: instance %.64q: write it as %q, as it is signed", admit.ErrInvalid, k.Instance, name)
		}
		k.Instance = name
	}
	if len(q.By) > freeze.MaxBy {
		q.By = q.By[:freeze.MaxBy]
	}
	said := make(chan freezeResult, 1)
	durable := make(chan error, 1)
	if err := n.submit(n.looks, func(now ledger.Instant) {
		before, _ := n.frozen.set.Of(k)
		w, err := n.sayFrozen(now, k, on, q)
		said <- freezeResult{api.FreezeReceipt{Frozen: n.viewFrozen(w), On: on, Changed: before.Frozen != on}, err}
		if err == nil {
			n.enforce([]freeze.Word{w}, "")
			n.after = append(n.after, func(err error) { durable <- err })
		}
	}); err != nil {
		return api.FreezeReceipt{}, fmt.Errorf("%w: %w", api.ErrNotReady, err)
	}
	var r freezeResult
	select {
	case r = <-said:
	case <-n.stopped:
		return api.FreezeReceipt{}, fmt.Errorf("%w: %w", api.ErrNotReady, errStopped)
	case <-ctx.Done():
		return api.FreezeReceipt{}, ctx.Err()
	}
	switch {
	case errors.Is(r.err, api.ErrUnsigned), errors.Is(r.err, api.ErrBadSignature):
		return api.FreezeReceipt{}, r.err
	case errors.Is(r.err, freeze.ErrEarlier):
		return api.FreezeReceipt{}, fmt.Errorf("%w: %w: sign again with a later time, and set the clocks right", api.ErrBadSignature, r.err)
	case errors.Is(r.err, freeze.ErrFull):
		return r.rc, fmt.Errorf("%w: %w", api.ErrConflict, r.err)
	case r.err != nil:
		return r.rc, fmt.Errorf("%w: %w", admit.ErrInvalid, r.err)
	}
	select {
	case err := <-durable:
		r.rc.Undurable = err != nil
	case <-n.stopped:
		r.rc.Undurable = true
	case <-time.After(holdLasts):
		r.rc.Undurable = true
	case <-ctx.Done():
		return r.rc, ctx.Err()
	}
	return r.rc, nil
}

// sayFrozen takes an operator's word over, signed where that is needed. The loop's.
func (n *Node) sayFrozen(now ledger.Instant, k freeze.Key, on bool, q api.FreezeRequest) (freeze.Word, error) {
	if len(n.roll.Signers()) == 0 {
		return n.frozen.set.Say(int64(now), n.opts.Name, k, on, q.By, q.Why)
	}
	w := freeze.Word{Key: k, Frozen: on, Node: n.opts.Name, Why: q.Why}
	if _, err := n.operator(now, q.Signature, func(charter string, at int64) *trust.Statement {
		w.At, w.Who, w.Sig = at, q.Signature.By, q.Signature.Sig
		return w.Statement(charter)
	}); err != nil {
		return w, err
	}
	return w, n.frozen.set.SaySigned(w)
}

type freezeResult struct {
	rc  api.FreezeReceipt
	err error
}

// Frozen lists what is frozen. See api.Node.
func (n *Node) Frozen(v api.View) []api.Frozen {
	list := []api.Frozen{}
	_ = n.look(func(ledger.Instant) {
		for _, w := range n.frozen.set.Frozen() {
			if touches(n.policy.Load().policy, &w, v) {
				list = append(list, n.viewFrozen(w))
			}
		}
	})
	return list
}

// touches reports whether a view may know of what is frozen: a tenant of what is its own, and of instances that it shares with others.
func touches(p *policy.Policy, w *freeze.Word, v api.View) bool {
	if v.All || w.Tenant != "" || w.Instance == "" {
		return v.Sees(w.Tenant)
	}
	name, _, _ := strings.Cut(w.Instance, "/")
	b, ok := p.Budget(name)
	return ok && (len(b.Per) == 0 || instanceOf(p, w.Instance, v.Tenant))
}

func (n *Node) viewFrozen(w freeze.Word) api.Frozen {
	return api.Frozen{Instance: w.Instance, Tenant: w.Tenant, Agent: w.Agent, At: time.UnixMilli(w.At).UTC(), Node: w.Node, By: n.frozenBy(&w), Why: w.Why}
}

// frozenState counts what is frozen by kind.
func (n *Node) frozenState() (s telemetry.FrozenState) {
	for _, w := range n.frozen.set.Frozen() {
		switch w.Kind() {
		case "instance":
			s.Instances++
		case "tenant":
			s.Tenants++
		case "agent":
			s.Agents++
		}
	}
	return s
}

// instanceName checks that a name is that of an instance of some budget, and returns it in its one spelling.
func instanceName(p *policy.Policy, name string) (string, error) {
	parts := strings.Split(name, "/")
	b, ok := p.Budget(parts[0])
	if !ok {
		return "", fmt.Errorf("%w: the policy has none of the name %.64q", api.ErrUnknownBudget, parts[0])
	}
	values := parts[1:]
	for i, v := range values {
		plain, err := url.PathUnescape(v)
		if err != nil {
			return "", fmt.Errorf("%w: instance %.64q: %w", admit.ErrInvalid, name, err)
		}
		values[i] = plain
	}
	id, err := b.Instance(ledger.CharterID{}, values)
	if err != nil {
		return "", fmt.Errorf("%w: instance %.64q: %w; write it as swarmpurse budgets does", admit.ErrInvalid, name, err)
	}
	return id.Name(), nil
}
