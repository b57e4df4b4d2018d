package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
)

// adopted is the policy in force, with where it came from.
type adopted struct {
	policy *policy.Policy
	by     string
	since  time.Time
}

// document is a policy as it travels and as it lies on disk.
type document struct {
	source []byte
	by     string
	since  time.Time
}

const (
	keyPolicy  = "current"
	maxByLen   = 256
	policyForm = 1
)

// encode returns nil for the built-in default, which is nobody's decision and does not travel.
func (a *adopted) encode() []byte {
	if a.policy.Revision() == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteByte(policyForm)
	enc := msgpack.NewEncoder(&b)
	for _, err := range []error{
		enc.EncodeArrayLen(3), enc.EncodeBytes(a.policy.Source()), enc.EncodeString(a.by), enc.EncodeInt(a.since.UnixMilli()),
	} {
		if err != nil {
			panic(fmt.Sprintf("BUG: encoding: %v", err))
		}
	}
	return b.Bytes()
}

func decodePolicy(b []byte) (document, error) {
	var d document
	if len(b) < 2 || b[0] < policyForm {
		return d, errors.New("malformed policy message")
	}
	dec := msgpack.NewDecoder(bytes.NewReader(b[1:]))
	fail := func(err error) (document, error) { return d, fmt.Errorf("malformed policy message: %v", err) }
	bounded := func(most int) ([]byte, error) {
		size, err := dec.DecodeBytesLen()
		if err != nil {
			return nil, err
		}
		if size < 0 || size > most || size > len(b) {
			return nil, fmt.Errorf("%d bytes", size)
		}
		p := make([]byte, size)
		return p, dec.ReadFull(p)
	}
	if n, err := dec.DecodeArrayLen(); err != nil || n < 3 {
		return fail(err)
	}
	src, err := bounded(policy.MaxSource)
	if err != nil {
		return fail(err)
	}
	by, err := bounded(maxByLen)
	if err != nil {
		return fail(err)
	}
	ms, err := dec.DecodeInt64()
	if err != nil {
		return fail(err)
	}
	return document{src, string(by), time.UnixMilli(ms)}, nil
}

// parse compiles the document. It is slow, so it does not run in the loop.
func (d document) parse(from string) (*policy.Policy, error) {
	if from == "" {
		from = "peer"
	}
	return policy.Parse(from, d.source)
}

// have is what peers compare with theirs.
type have struct {
	node     string
	revision int64
	hash     [32]byte
}

func (n *Node) have() []byte {
	p := n.policy.Load().policy
	h := p.Hash()
	var b bytes.Buffer
	b.WriteByte(msgHave)
	b.WriteByte(policyForm)
	enc := msgpack.NewEncoder(&b)
	for _, err := range []error{
		enc.EncodeArrayLen(3), enc.EncodeString(n.opts.Name), enc.EncodeInt(p.Revision()), enc.EncodeBytes(h[:]),
	} {
		if err != nil {
			panic(fmt.Sprintf("BUG: encoding: %v", err))
		}
	}
	return b.Bytes()
}

func decodeHave(b []byte) (h have, err error) {
	if len(b) < 2 || b[0] < policyForm {
		return h, errors.New("malformed word of a policy")
	}
	dec := msgpack.NewDecoder(bytes.NewReader(b[1:]))
	if n, err := dec.DecodeArrayLen(); err != nil || n < 3 {
		return h, fmt.Errorf("malformed word of a policy: %v", err)
	}
	size, err := dec.DecodeBytesLen()
	if err != nil || size < 0 || size > ledger.MaxNameLen {
		return h, fmt.Errorf("malformed word of a policy: a name of %d bytes (%v)", size, err)
	}
	name := make([]byte, size)
	if err := dec.ReadFull(name); err != nil {
		return h, fmt.Errorf("malformed word of a policy: %w", err)
	}
	h.node = string(name)
	if h.revision, err = dec.DecodeInt64(); err != nil {
		return h, fmt.Errorf("malformed word of a policy: %w", err)
	}
	if size, err := dec.DecodeBytesLen(); err != nil || size != len(h.hash) {
		return h, fmt.Errorf("malformed word of a policy: a hash of %d bytes (%v)", size, err)
	}
	return h, dec.ReadFull(h.hash[:])
}

// loadPolicy takes the newest of what the data directory and --policy have, else the built-in default.
func (n *Node) loadPolicy() error {
	cur := &adopted{policy: policy.Default(), by: "built-in default", since: n.started}
	b, err := n.store.Get(store.Policy, keyPolicy)
	if err != nil {
		return err
	}
	if b != nil {
		d, err := decodePolicy(b)
		if err != nil {
			return &OptionError{"data", err, "restore a backup of the directory"}
		}
		p, err := policy.Parse("stored policy", d.source)
		if err != nil {
			return &OptionError{"data", fmt.Errorf("the stored policy cannot be read by this version: %w", err), "start the version that stored it"}
		}
		cur = &adopted{p, d.by, d.since}
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
	}
	h := a.policy.Hash()
	info := telemetry.PolicyInfo{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:])}
	for _, c := range a.policy.Classes() {
		info.Classes = append(info.Classes, c.Name)
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
			n.setPolicy(a)
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

func (n *Node) receivePolicy(_ ledger.Instant, from string, p *policy.Policy, d document) {
	cur := n.policy.Load().policy
	if !policy.Newer(p, cur) {
		if p.Revision() == cur.Revision() && p.Hash() != cur.Hash() {
			n.log.Warn().Int64("revision", p.Revision()).Str("from", from).Msg("two policies have one revision: the one with the higher hash is in force everywhere, the other is lost")
		}
		return
	}
	n.adopt(&adopted{p, d.by, d.since}, func(err error) {
		if err != nil {
			n.log.Warn().Err(err).Msg("a newer policy could not be taken over")
		}
	})
}

// receiveHave asks for a newer policy, or offers ours.
func (n *Node) receiveHave(h have) {
	cur := n.policy.Load().policy
	mine := cur.Hash()
	switch {
	case h.node == n.opts.Name || h.hash == mine:
	case h.revision > cur.Revision() || h.revision == cur.Revision() && bytes.Compare(h.hash[:], mine[:]) > 0:
		if h.revision > 0 {
			n.tell(h.node, msgWant, nil)
		}
	default:
		n.sendPolicy(h.node)
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
	if len(by) > maxByLen {
		by = by[:maxByLen]
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
	if err := n.submit(func(now ledger.Instant) { f(now, func(err error) { done <- err }) }); err != nil {
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
