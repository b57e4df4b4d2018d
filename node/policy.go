package node

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// adopted is a policy with where it came from.
type adopted struct {
	policy *policy.Policy
	by     string
	since  time.Time
	// whole says that it was applied to all calls, or promoted. Only such a one is told to peers of versions before rollouts, which
	// take what they are told as that.
	whole bool
}

const keyPolicy = "current"

// encode returns nil for the built-in default, which is nobody's decision and does not travel.
func (a *adopted) encode() []byte {
	if a.policy.Revision() == 0 {
		return nil
	}
	return wire.EncodeDocument(&wire.Document{Source: a.policy.Source(), By: a.by, Since: a.since})
}

// have is the word of the policy in force, for peers that know of no rollouts.
func (n *Node) have() []byte {
	h := wire.Have{Node: n.opts.Name}
	if cur := n.policy.Load(); cur.whole {
		h.Revision, h.Hash = cur.policy.Revision(), cur.policy.Hash()
	} else {
		h.Hash = policy.Default().Hash()
	}
	return append([]byte{msgHave}, wire.EncodeHave(&h)...)
}

// loadPolicy takes up what the data directory and --policy have, else the built-in default.
func (n *Node) loadPolicy() error {
	n.setPolicy(builtin(n.started))
	life := rollout.Life{Node: n.opts.Name, Began: n.started.UnixMilli()}
	n.roll.Begin(life, int64(n.opts.GossipBytesPerSecond))
	n.beginOutcomes(life)
	if err := n.loadRevisions(); err != nil {
		return err
	}
	given, by, err := n.givenPolicy()
	if err != nil {
		return err
	}
	if given != nil {
		e, err := n.fileWord(by, given, n.started)
		switch {
		case err != nil:
			n.log.Warn().Err(err).Str("policy", by).Msg("the policy of this node's settings is not used")
		case e != nil:
			n.roll.take(telling{entries: []rollout.Entry{*e}}, &adopted{policy: given, by: by, since: n.started})
		}
	}
	n.putInForce()
	n.roll.said, n.roll.untold = nil, nil // peers ask for what they lack
	if n.roll.changes == n.roll.durable {
		return nil
	}
	ws, documents := n.roll.writes()
	if err := n.store.Commit(ws); err != nil {
		return err
	}
	n.roll.durable, n.roll.stored = n.roll.changes, documents
	return nil
}

func builtin(since time.Time) *adopted {
	return &adopted{policy: policy.Default(), by: "built-in default", since: since}
}

// fileWord is what the policy of --policy says, if that is new: it is for all calls, or is tried as a candidate if it says so and
// there is anything to compare it with. nil if it is known.
func (n *Node) fileWord(by string, p *policy.Policy, now time.Time) (*rollout.Entry, error) {
	k, force := rollout.KeyOf(p), n.roll.inForce()
	if e, known := n.roll.State.Of(k); known {
		if e.Back != nil {
			return nil, fmt.Errorf("revision %d was rolled back by %s at %s: raise its revision to have it used", k.Revision, e.Back.By, timeOf(e.Back.At).Format(time.DateTime))
		}
		return nil, nil
	}
	if len(n.roll.Signers()) > 0 {
		return nil, fmt.Errorf("revision %d needs the signature of an operator: take it from there, and run swarmpurse policy apply --sign-with", p.Revision())
	}
	how := p.Rollout()
	if how != nil && !how.Shadow() && force.Stable != (rollout.Key{}) {
		if _, err := policy.Tryable(n.roll.docs[force.Stable].policy, p); err != nil {
			return nil, fmt.Errorf("it says that it is to be tried on some calls, and it cannot be tried beside revision %d; apply it with swarmpurse policy apply --whole: %w", force.Stable.Revision, err)
		}
	}
	w := rollout.Word{At: max(0, now.UnixMilli()), Node: n.opts.Name, By: clip(by, rollout.MaxBy)}
	e, err := n.roll.State.Apply(w, k, how, force)
	if err != nil {
		return nil, err
	}
	if how != nil && len(n.opts.Join) > 0 && force.Stable == (rollout.Key{}) {
		// The swarm that it joins may have another one, which this one is to be tried beside.
		e.Whole, e.Trial = nil, &rollout.Trial{Word: w, How: *how}
	}
	return &e, nil
}

func clip(s string, most int) string { return s[:min(len(s), most)] }

// givenPolicy is what the options have, nil for nothing, and whose word it is.
func (n *Node) givenPolicy() (p *policy.Policy, by string, err error) {
	if src := n.opts.Policy; src != "" {
		if p, err = policy.Parse("policy", []byte(src)); err != nil {
			return nil, "", &OptionError{"policy", err, "it is Options.Policy, a document in YAML"}
		}
		return p, "the program", nil
	}
	if n.opts.PolicyFile == "" {
		return nil, "", nil
	}
	p, err = readPolicy(n.opts.PolicyFile)
	return p, "--policy " + n.opts.PolicyFile, err
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

// setPolicy makes a policy the one in force, but for the ledger and the engine.
func (n *Node) setPolicy(a *adopted) {
	n.policy.Store(a)
	n.setCallers(a.policy)
	h := a.policy.Hash()
	info := telemetry.PolicyInfo{Revision: a.policy.Revision(), Hash: hex.EncodeToString(h[:])}
	for _, c := range a.policy.Classes() {
		info.Classes = append(info.Classes, telemetry.ClassInfo{Name: c.Name, LatencyBudget: c.LatencyBudget, Objective: float64(c.Objective) / 1e6})
	}
	for _, f := range a.policy.Flags() {
		info.Flags = append(info.Flags, f.Name)
	}
	for _, b := range a.policy.Budgets() {
		info.Budgets = append(info.Budgets, b.Name)
	}
	n.metrics.SetPolicy(info)
}

// putInForce has calls decided by what all known words on revisions come to. The loop's, when they are durable.
func (n *Node) putInForce() {
	f := n.roll.inForce()
	cur, next := n.policy.Load(), n.roll.docs[f.Stable]
	if next == nil {
		next = builtin(n.started)
		if cur.policy.Revision() == 0 {
			next = cur
		}
	}
	var cand *trying
	if doc := n.roll.docs[f.Candidate]; doc != nil {
		cand = &trying{key: f.Candidate, policy: doc.policy, trial: *f.Trial, since: f.Since}
		if f.Paused != nil {
			cand.paused = f.Paused
		}
		if cand.shadow = f.Trial.How.Shadow(); !cand.shadow { // one that draws on nothing may change anything
			waits, err := policy.Tryable(next.policy, doc.policy)
			if cand.waits = waits; err != nil {
				cand.held = err.Error()
			}
		}
	}
	n.roll.Try(f.Candidate)
	was := n.trying.Load()
	n.trying.Store(cand)
	changed := next.policy != cur.policy
	if changed {
		n.setPolicy(next)
	} else if next != cur {
		n.policy.Store(next)
	}
	if n.engine == nil {
		return
	}
	n.setTrial(cand, changed, was)
	n.setShadow(n.now())
	if !changed {
		return
	}
	n.setAuditing()
	n.auditPolicy(next, cur)
	n.replica.SetGuards(n.now(), next.policy.Guards())
	n.replica.Respec(n.now())
	n.metrics.PolicyChange(telemetry.Applied)
	if list := next.policy.Ignored(); list != nil {
		n.log.Warn().Int64("revision", next.policy.Revision()).Strs("fields", list).Msg("this version does not know all of the policy: what it does not know does nothing here")
	}
	n.log.Info().Int64("revision", next.policy.Revision()).Int64("from", cur.policy.Revision()).Str("by", next.by).Msg("policy in force")
	word := n.have()
	for _, name := range n.pool.Alive() {
		n.tell(name, word[0], word[1:])
	}
	n.retag()
}

// setTrial has the engine decide by the policies in force.
func (n *Node) setTrial(cand *trying, changed bool, was *trying) {
	stable := n.policy.Load().policy
	switch {
	case cand.decides():
		if !changed && was.decides() && was.key == cand.key && was.trial.How.String() == cand.trial.How.String() {
			return
		}
		n.engine.SetTrial(stable, cand.policy, cand.trial.How.Split(cand.key.Seed(), n.opts.Zone))
		n.log.Info().Int64("candidate", cand.key.Revision).Stringer("on", &cand.trial.How).Strs("waits_for_promotion", cand.waits).Msg("a candidate is tried")
	case changed || was.decides():
		n.engine.SetPolicy(stable)
	}
	if cand != nil && cand.held != "" && (was == nil || was.held != cand.held) {
		n.log.Warn().Int64("candidate", cand.key.Revision).Str("why", cand.held).Msg("the candidate cannot be tried beside the revision in force: promote it or roll it back")
	}
}

func (n *Node) sendPolicy(to string) {
	if cur := n.policy.Load(); cur.whole {
		n.tell(to, msgPolicy, cur.encode())
	}
}

// receivePolicy takes over what a peer says is in force for all calls.
func (n *Node) receivePolicy(from string, p *policy.Policy, d wire.Document) {
	w := rollout.Word{At: max(0, d.Since.UnixMilli()), Node: from, By: d.By}
	if from == "" {
		w.Node = n.opts.Name // of a push/pull, whose other side has no name
	}
	e := rollout.Entry{Key: rollout.KeyOf(p), Whole: &w}
	if e.Valid() != nil {
		return // the built-in policy, or a time that cannot be
	}
	cur := n.policy.Load().policy
	if n.roll.Anchor() != nil {
		if _, known := n.roll.State.Of(e.Key); known {
			n.receiveDocument(p, d)
			return
		}
		if len(n.roll.Signers()) > 0 && e.Compare(rollout.KeyOf(cur)) > 0 {
			n.refuseWord(from, rollout.Refused{Of: e.Key, Why: rollout.Unsigned, What: fmt.Sprintf("revision %d as in force, without a signature", p.Revision())})
			return
		}
	}
	if p.Revision() == cur.Revision() && p.Hash() != cur.Hash() {
		n.log.Warn().Int64("revision", p.Revision()).Str("from", from).Msg("two policies have one revision: the one with the higher hash is in force everywhere, the other is lost")
	}
	if old, known := n.roll.State.Of(e.Key); known && (old.Whole != nil || old.Back != nil) && n.roll.docs[e.Key] != nil {
		return
	} else if known && old.Whole != nil {
		e.Whole = old.Whole // only its document was missing
	}
	n.learn(telling{entries: []rollout.Entry{e}, from: from}, &adopted{policy: p, by: d.By, since: d.Since}, nil)
}

// receiveHave asks for a policy that this node does not know, or offers ours.
func (n *Node) receiveHave(h wire.Have) {
	cur := n.policy.Load().policy
	k := rollout.Key{Revision: h.Revision, Hash: h.Hash}
	mine := rollout.KeyOf(cur)
	switch e, known := n.roll.State.Of(k); {
	case h.Node == n.opts.Name || k == mine || n.roll.useless(k):
	case k.Compare(mine) < 0:
		n.sendPolicy(h.Node)
	case h.Revision > 0 && !known && n.roll.Anchor() != nil: // it must show who signed that
		n.tell(h.Node, msgWantRollout, nil)
	case h.Revision > 0 && (!known || e.Back == nil && n.roll.docs[k] == nil):
		n.tell(h.Node, msgWant, nil)
	}
}

// writeRevisions adds to the batch that begins what of the words on revisions is not durable. Only what is durable is in force, and
// told on.
func (n *Node) writeRevisions() {
	r := &n.roll
	if r.changes == r.durable {
		return
	}
	now := r.changes
	ws, documents := r.writes()
	n.extra = append(n.extra, ws...)
	waiting, said, untold := r.waiting, r.said, r.untold
	r.waiting, r.said, r.untold = nil, nil, nil
	n.after = append(n.after, func(err error) {
		if err == nil {
			r.durable, r.stored = now, documents
			n.putInForce()
			n.tellRevisions(said, untold)
			n.pinTrust(n.now())
		} else {
			r.said, r.untold = append(said, r.said...), append(untold, r.untold...) // with the next batch
		}
		for _, done := range waiting {
			done(err)
		}
	})
}

// loadRevisions takes up what the data directory has.
func (n *Node) loadRevisions() error {
	damaged := func(err error) error {
		return &OptionError{"data", fmt.Errorf("the stored policy cannot be read by this version: %w", err), "start the version that stored it"}
	}
	r := &n.roll
	r.init()
	var known wire.Trust
	if err := n.store.Each(store.Policy, func(key string, b []byte) error {
		switch {
		case key == keyRevisions:
			es, err := wire.DecodeEntries(b)
			if err != nil {
				return damaged(err)
			}
			r.State.Merge(es)
		case key == keyTrust:
			var err error
			if known, err = wire.DecodeTrust(b); err != nil {
				return damaged(err)
			}
		case key == keyTally:
			of, rows, err := wire.DecodeTally(b)
			if err != nil {
				return nil // counters only: they are counted anew
			}
			r.Tally.Of = of
			for _, row := range rows {
				r.Tally.Merge(row)
			}
		case strings.HasPrefix(key, keySums):
			n.loadSums(b)
		case isDocument(key):
			a, err := readDocument(b)
			if err != nil {
				return damaged(err)
			}
			k := rollout.KeyOf(a.policy)
			r.docs[k], r.stored[k] = a, true
		}
		return nil
	}); err != nil {
		return err
	}
	r.Restore(known.Anchor, known.Words)
	defer r.refresh()
	b, err := n.store.Get(store.Policy, keyPolicy)
	if err != nil || b == nil {
		return err
	}
	a, err := readDocument(b)
	if err != nil {
		return damaged(err)
	}
	k := rollout.KeyOf(a.policy)
	if _, known := r.State.Of(k); !known { // stored by a version before rollouts
		r.take(telling{entries: []rollout.Entry{{Key: k, Whole: &rollout.Word{At: max(0, a.since.UnixMilli()), Node: n.opts.Name, By: a.by}}}}, a)
	} else if r.docs[k] == nil {
		r.docs[k] = a
	}
	return nil
}

func readDocument(b []byte) (*adopted, error) {
	d, err := wire.DecodeDocument(b)
	if err != nil {
		return nil, err
	}
	p, err := policy.ParseNewer("stored policy", d.Source)
	if err != nil {
		return nil, err
	}
	return &adopted{policy: p, by: d.By, since: d.Since}, nil
}
