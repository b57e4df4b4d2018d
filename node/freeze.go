package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
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
		n.log.Warn().Stringer("what", w.Key).Str("by", w.By).Str("why", w.Why).Time("at", time.UnixMilli(w.At).UTC()).Msg("frozen, by an operator's word")
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
		n.log.Warn().Str("event", "audit").Str("what", what).Stringer("of", w.Key).Str("by", w.By).Str("node", w.Node).Str("why", w.Why).
			Time("at", time.UnixMilli(w.At).UTC()).Msg("an operator's word is in force")
		n.auditor.act(audit.Record{Kind: audit.Freeze, What: what, Instance: w.Key.String(), By: w.By, Why: w.Why, Node: w.Node})
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

// receiveFrozen takes a peer's words over.
func (n *Node) receiveFrozen(from string, ws []freeze.Word) { n.enforce(n.frozen.set.Merge(ws), from) }

// haveFrozen is the word of what this node knows.
func (n *Node) haveFrozen() []byte {
	return append([]byte{msgHaveFrozen}, wire.EncodeHaveFrozen(&wire.HaveFrozen{Node: n.opts.Name, Hash: n.frozen.set.Hash()})...)
}

// receiveHaveFrozen tells a peer that knows something else all that this node knows, and asks for the same.
func (n *Node) receiveHaveFrozen(h wire.HaveFrozen) {
	if mine := n.frozen.set.Hash(); h.Node == n.opts.Name || bytes.Equal(h.Hash[:], mine[:]) {
		return
	}
	n.sendFrozen(h.Node)
	n.tell(h.Node, msgWantFrozen, nil)
}

func (n *Node) sendFrozen(to string) {
	for _, p := range wire.EncodeWordsInParts(n.frozen.set.Words()) {
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
		k.Instance = name
	}
	if len(q.By) > freeze.MaxBy {
		q.By = q.By[:freeze.MaxBy]
	}
	said := make(chan freezeResult, 1)
	durable := make(chan error, 1)
	if err := n.submit(n.looks, func(now ledger.Instant) {
		before, _ := n.frozen.set.Of(k)
		w, err := n.frozen.set.Say(int64(now), n.opts.Name, k, on, q.By, q.Why)
		said <- freezeResult{api.FreezeReceipt{Frozen: viewFrozen(w), On: on, Changed: before.Frozen != on}, err}
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
				list = append(list, viewFrozen(w))
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

func viewFrozen(w freeze.Word) api.Frozen {
	return api.Frozen{Instance: w.Instance, Tenant: w.Tenant, Agent: w.Agent, At: time.UnixMilli(w.At).UTC(), Node: w.Node, By: w.By, Why: w.Why}
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
