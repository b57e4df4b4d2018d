package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
)

// adopted is the policy in force, with where it came from.
type adopted struct {
	policy *policy.Policy
	by     string
	since  time.Time
}

const keyPolicy = "current"

// encode returns nil for the built-in default, which is nobody's decision and does not travel.
func (a *adopted) encode() []byte {
	if a.policy.Revision() == 0 {
		return nil
	}
	return wire.EncodeDocument(&wire.Document{Source: a.policy.Source(), By: a.by, Since: a.since})
}

// have is the word of the policy in force.
func (n *Node) have() []byte {
	p := n.policy.Load().policy
	return append([]byte{msgHave}, wire.EncodeHave(&wire.Have{Node: n.opts.Name, Revision: p.Revision(), Hash: p.Hash()})...)
}

// loadPolicy takes the newest of what the data directory and --policy have, else the built-in default.
func (n *Node) loadPolicy() error {
	cur := &adopted{policy: policy.Default(), by: "built-in default", since: n.started}
	b, err := n.store.Get(store.Policy, keyPolicy)
	if err != nil {
		return err
	}
	if b != nil {
		d, err := wire.DecodeDocument(b)
		if err != nil {
			return &OptionError{"data", fmt.Errorf("the stored policy cannot be read by this version: %w", err), "start the version that stored it"}
		}
		p, err := policy.Parse("stored policy", d.Source)
		if err != nil {
			return &OptionError{"data", fmt.Errorf("the stored policy cannot be read by this version: %w", err), "start the version that stored it"}
		}
		cur = &adopted{p, d.By, d.Since}
	}
	if file := n.opts.PolicyFile; file != "" {
		p, err := readPolicy(file)
		if err != nil {
			return err
		}
		switch {
		case policy.Newer(p, cur.policy):
			cur = &adopted{p, "--policy " + file, n.started}
			err := n.store.Commit([]store.Write{{Bucket: store.Policy, Key: keyPolicy, Value: cur.encode()}})
			if err != nil {
				return err
			}
		case p.Hash() != cur.policy.Hash():
			n.log.Warn().Str("file", file).Int64("revision", p.Revision()).Int64("present", cur.policy.Revision()).
				Msg("the policy file is not newer than what this node has: raise its revision to have it used")
		}
	}
	n.setPolicy(cur)
	return nil
}

func readPolicy(file string) (*policy.Policy, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, &OptionError{"policy", err, "name a file that this user can read"}
	}
	p, err := policy.Parse(file, src)
	if err != nil {
		return nil, &OptionError{"policy", err, "try: swarmpurse policy check " + file}
	}
	return p, nil
}

// setPolicy makes a policy the one in force, but for the ledger.
func (n *Node) setPolicy(a *adopted) {
	n.policy.Store(a)
	if n.engine != nil {
		n.engine.SetPolicy(a.policy)
		n.setAuditing()
	}
	h := a.policy.Hash()
	info := telemetry.PolicyInfo{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:])}
	for _, c := range a.policy.Classes() {
		info.Classes = append(info.Classes, telemetry.ClassInfo{Name: c.Name, LatencyBudget: c.LatencyBudget, Objective: float64(c.Objective) / 1e6})
	}
	for _, b := range a.policy.Budgets() {
		info.Budgets = append(info.Budgets, b.Name)
	}
	n.metrics.SetPolicy(info)
}

// adopt takes a newer policy over, durably, and tells the peers. It runs in the loop; done hears how it went.
func (n *Node) adopt(a *adopted, done func(error)) {
	if !policy.Newer(a.policy, n.policy.Load().policy) {
		cur := n.policy.Load().policy
		done(fmt.Errorf("%w: revision %d is in force, and the document says %d: it must be higher", api.ErrConflict, cur.Revision(), a.policy.Revision()))
		return
	}
	n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyPolicy, Value: a.encode()})
	n.after = append(n.after, func(err error) {
		if err == nil && policy.Newer(a.policy, n.policy.Load().policy) {
			n.auditPolicy(a, n.policy.Load())
			n.setPolicy(a)
			n.replica.SetGuards(n.now(), a.policy.Guards())
			n.replica.Respec(n.now())
			n.metrics.PolicyChange(telemetry.Applied)
			n.log.Info().Int64("revision", a.policy.Revision()).Str("by", a.by).Msg("policy in force")
			word := n.have()
			for _, name := range n.pool.Alive() {
				n.tell(name, word[0], word[1:])
			}
			n.retag()
		}
		done(err)
	})
}

func (n *Node) receivePolicy(_ ledger.Instant, from string, p *policy.Policy, d wire.Document) {
	cur := n.policy.Load().policy
	if !policy.Newer(p, cur) {
		if p.Revision() == cur.Revision() && p.Hash() != cur.Hash() {
			n.log.Warn().Int64("revision", p.Revision()).Str("from", from).Msg("two policies have one revision: the one with the higher hash is in force everywhere, the other is lost")
		}
		return
	}
	n.adopt(&adopted{p, d.By, d.Since}, func(err error) {
		if err != nil {
			n.log.Warn().Err(err).Msg("a newer policy could not be taken over")
		}
	})
}

// receiveHave asks for a newer policy, or offers ours.
func (n *Node) receiveHave(h wire.Have) {
	cur := n.policy.Load().policy
	mine := cur.Hash()
	switch {
	case h.Node == n.opts.Name || h.Hash == mine:
	case h.Revision > cur.Revision() || h.Revision == cur.Revision() && bytes.Compare(h.Hash[:], mine[:]) > 0:
		if h.Revision > 0 {
			n.tell(h.Node, msgWant, nil)
		}
	default:
		n.sendPolicy(h.Node)
	}
}

func (n *Node) sendPolicy(to string) {
	if doc := n.policy.Load().encode(); doc != nil {
		n.tell(to, msgPolicy, doc)
	}
}

// Policy returns the policy in force. See api.Node.
func (n *Node) Policy() api.Policy { return viewPolicy(n.policy.Load()) }

func viewPolicy(a *adopted) api.Policy {
	h := a.policy.Hash()
	v := api.Policy{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:]), Since: a.since, By: a.by, Source: string(a.policy.Source())}
	for _, w := range policy.Check(a.policy) {
		v.Warnings = append(v.Warnings, w.String())
	}
	return v
}

// ApplyPolicy adopts and gossips a newer document. See api.Node.
func (n *Node) ApplyPolicy(ctx context.Context, src []byte, by string) (api.Policy, error) {
	p, err := policy.Parse("policy", src)
	if err != nil {
		return api.Policy{}, fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	if len(by) > wire.MaxBy {
		by = by[:wire.MaxBy]
	}
	a := &adopted{p, by, time.Now()}
	if err := n.wait(ctx, func(now ledger.Instant, done func(error)) { n.adopt(a, done) }); err != nil {
		return api.Policy{}, err
	}
	return viewPolicy(a), nil
}

// wait runs f in the loop and waits until it says that it is done, which it may do after the batch is durable.
func (n *Node) wait(ctx context.Context, f func(now ledger.Instant, done func(error))) error {
	done := make(chan error, 1)
	if err := n.submit(n.inputs, func(now ledger.Instant) { f(now, func(err error) { done <- err }) }); err != nil {
		return fmt.Errorf("%w: %w", api.ErrNotReady, err)
	}
	select {
	case err := <-done:
		return err
	case <-n.stopped:
		return fmt.Errorf("%w: %w", api.ErrNotReady, errStopped)
	case <-ctx.Done():
		return ctx.Err()
	}
}
