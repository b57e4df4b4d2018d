package node

import (
	"fmt"
	"strconv"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Operators' signatures. Which words on revisions count is package rollout's; this is where trust begins for this node, what it tells
// of that, and how it has operators' requests signed.

// pinWaits is for how long, in ms, a node that has just joined a cluster waits to be told where trust begins, before it goes by its own
// policy file.
const pinWaits = 10_000

// setCharter has signatures be checked for this cluster.
func (n *Node) setCharter() {
	if c := n.replica.Charter(); !c.ID.IsZero() {
		n.roll.SetCharter(c.ID.String())
	}
}

// pinTrust has trust begin, if a policy came into force without a signature that lists who signs from then on. The loop's.
func (n *Node) pinTrust(now ledger.Instant) {
	cur := n.policy.Load()
	signers := cur.policy.Signers()
	if len(signers) == 0 || !cur.whole || len(n.roll.Signers()) > 0 || n.replica.Charter().ID.IsZero() || now < n.roll.pinAfter {
		return
	}
	k := rollout.KeyOf(cur.policy)
	e, _ := n.roll.State.Of(k)
	if e.Whole == nil || e.Back != nil {
		return
	}
	n.beginTrust(rollout.Anchor{Key: k, Whole: *e.Whole, Signers: signers}, n.opts.Name)
}

// beginTrust takes an anchor over. from is who told of it.
func (n *Node) beginTrust(a rollout.Anchor, from string) {
	n.roll.took(n.roll.Pin(a), telling{}, nil)
	n.roll.changes++
	n.judgeKnown(n.now())
	var names []string
	for _, s := range a.Signers {
		names = append(names, s.Name)
	}
	n.log.Warn().Str("event", "audit").Int64("revision", a.Revision).Strs("signers", names).Str("from", from).
		Msg("trust begins: from now on this node takes changes of the policy, mints and words on dead members only with the signature of one of these")
	n.auditor.act(audit.Record{Kind: audit.Policy, What: "trust begins", Revision: a.Revision, By: a.Whole.By, Node: from, Count: int64(len(a.Signers))})
}

// receiveTrust takes over what a peer knows of signed words. A node that has no signers yet goes by those of the first that it hears.
func (n *Node) receiveTrust(now ledger.Instant, from string, t wire.Trust) {
	if t.Anchor != nil && n.roll.Anchor() == nil && n.replica.Charter().ID.IsZero() {
		return // it does not know yet whether they are of its cluster; it is told again
	}
	if t.Anchor != nil && n.roll.Anchor() == nil {
		n.beginTrust(*t.Anchor, from)
	}
	n.learn(telling{words: t.Words, from: from}, nil, nil)
	n.askFor(now, from)
}

// refuseWord takes note of a word on a revision that is not taken.
func (n *Node) refuseWord(from string, r rollout.Refused) {
	why := seal.NotSigned
	switch r.Why {
	case rollout.Stranger:
		why = seal.NoSigner
	case rollout.Forged:
		why = seal.FalseWord
	}
	n.refuse(from, &seal.Refusal{Reason: why, What: r.What})
}

// generation is how signatures, and people, name this node's generation.
func (n *Node) generation() string { return strconv.FormatUint(n.self().Gen, 16) }

// signWord makes an operator's word on a revision of what is to be said, if it must be signed; nil if it need not be. doc is the document
// that the word is on, nil if it is on one that is known. The loop's.
func (n *Node) signWord(kind string, e rollout.Entry, w rollout.Word, doc *policy.Policy, sig *trust.Signature) (*rollout.Signed, error) {
	n.setCharter()
	shown := doc
	if d := n.roll.docs[e.Key]; shown == nil && kind == trust.Promote && d != nil {
		shown = d.policy
	}
	if err := n.allEnrolled(shown); err != nil {
		return nil, err
	}
	if len(n.roll.Signers()) == 0 {
		name, err := n.firstSigners(kind, e, w, doc, sig)
		for _, said := range []*rollout.Word{e.Whole, trialWord(e.Trial)} {
			if said != nil {
				said.By = signedBy(name, said.By)
			}
		}
		return nil, err
	}
	if sig == nil {
		return nil, api.ErrUnsigned
	}
	x := rollout.Signed{Key: e.Key, Kind: kind, From: rollout.KeyFrom(sig.From), At: sig.At, Why: w.Why, Who: sig.By, Sig: sig.Sig, Node: w.Node}
	if doc != nil {
		x.Next = doc.Signers()
	}
	if kind == trust.Try {
		x.How = e.Trial.How
	}
	if err := x.Valid(); err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrBadSignature, err)
	}
	if err := n.roll.Counts(x); err != nil {
		return nil, fmt.Errorf("%w: %s", api.ErrBadSignature, refusedText(err))
	}
	return &x, nil
}

func trialWord(t *rollout.Trial) *rollout.Word {
	if t == nil {
		return nil
	}
	return &t.Word
}

// firstSigners checks that the first document that lists signers is signed by one of them, so that nobody shuts all out by a slip, and
// that all members hear of it, since each begins to trust by the first that it hears of. It returns who signed.
func (n *Node) firstSigners(kind string, e rollout.Entry, w rollout.Word, doc *policy.Policy, sig *trust.Signature) (string, error) {
	if doc == nil || len(doc.Signers()) == 0 {
		return "", nil
	}
	for _, m := range n.pool.Members() {
		if m.Status == gossip.Failed {
			return "", fmt.Errorf("%w: member %q has failed: have all members alive when trust.signers begins, or take it off the list first (swarmpurse members remove), so that all begin with the same signers", api.ErrConflict, m.Name)
		}
	}
	if sig == nil {
		return "", fmt.Errorf("%w; the first policy that lists signers is signed by one of them, which shows that the keys are at hand", api.ErrUnsigned)
	}
	x := rollout.Signed{Key: e.Key, Kind: kind, From: rollout.KeyFrom(sig.From), At: sig.At, Why: w.Why, Next: doc.Signers()}
	if kind == trust.Try {
		x.How = e.Trial.How
	}
	at := trust.Rank(doc.Signers(), sig.By)
	switch {
	case at < 0:
		return "", fmt.Errorf("%w: the key %s is not on the list of the document that it signs", api.ErrBadSignature, sig.By)
	case !sig.By.Verify(x.Statement(n.replica.Charter().ID.String()), sig.Sig):
		return "", fmt.Errorf("%w: it is not of this document, in this cluster", api.ErrBadSignature)
	}
	return doc.Signers()[at].Name, nil
}

// operator checks an operator's signature of something that is done once, now, at this node: its name; "" if nobody need sign. The loop's.
func (n *Node) operator(now ledger.Instant, sig *trust.Signature, x func(charter string, at int64) *trust.Statement) (string, error) {
	signers := n.roll.Signers()
	if len(signers) == 0 {
		return "", nil
	}
	if sig == nil {
		return "", api.ErrUnsigned
	}
	at := trust.Rank(signers, sig.By)
	switch age := int64(now) - sig.At; {
	case at < 0:
		return "", fmt.Errorf("%w: the key %s is not one of those that sign now", api.ErrBadSignature, sig.By)
	case age > trust.Lasts || age < -trust.Lasts:
		return "", fmt.Errorf("%w: it is of a time %d s from this node's clock, at most %d s are allowed: sign again, and set the clocks right", api.ErrBadSignature, age/1000, trust.Lasts/1000)
	case !sig.By.Verify(x(n.replica.Charter().ID.String(), sig.At), sig.Sig):
		return "", fmt.Errorf("%w: it is not of this request, at this node in generation %s", api.ErrBadSignature, n.generation())
	}
	return signers[at].Name, nil
}

// signedBy says who did something: the signer, or who called.
func signedBy(signer, by string) string {
	if signer == "" {
		return by
	}
	return signer + " (signed)"
}

// Trust tells what an operator needs to sign. See api.Node.
func (n *Node) Trust() (t api.Trust) {
	_ = n.look(func(now ledger.Instant) {
		t.Node, t.Generation, t.Now = n.opts.Name, n.generation(), int64(now)
		if c := n.replica.Charter(); !c.ID.IsZero() {
			t.Charter = c.ID.String()
		}
		f := n.roll.inForce()
		t.Stable = viewKey(f.Stable)
		if f.Candidate != (rollout.Key{}) {
			c := viewKey(f.Candidate)
			t.Candidate = &c
			if e, _ := n.roll.State.Of(f.Candidate); e.Trial != nil {
				t.Next = e.Trial.At + 1
				if e.Pause != nil {
					t.Next = max(t.Next, e.Pause.At+1)
				}
			}
		}
		for _, l := range n.roll.Links() {
			t.Chain = append(t.Chain, api.TrustLink{TrustRevision: viewKey(l.Key), Signers: viewSigners(l.Signers)})
		}
		t.Signers = viewSigners(n.roll.Signers())
	})
	return t
}

func viewKey(k rollout.Key) api.TrustRevision {
	return api.TrustRevision{Revision: k.Revision, Hash: fmt.Sprintf("%x", k.Hash)}
}

func viewSigners(list []trust.Signer) (out []api.Signer) {
	for _, s := range list {
		out = append(out, api.Signer{Name: s.Name, Key: s.Key.String()})
	}
	return out
}
