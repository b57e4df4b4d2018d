package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/enrol"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Who belongs to the swarm. Where the policy in force asks for it (trust.enrol), a node is a peer only if an operator has signed that its name
// and key belong here: of others it takes what operators have signed, which is theirs whoever tells it, and nothing else. Words on nodes
// travel as those on what is frozen do, and are judged by each node.

const (
	keyEnrolled = "enrolled"

	// enrolGrace is for how long after enrolment has come into force here what nodes say that are not enrolled, as far as is known, is dropped without
	// an alarm: the words on them may come later than the policy.
	enrolGrace = 10 * time.Second
	// enrolAsks is how often, in ms, a node that is not enrolled asks some member whether it is, and a peer is answered at most.
	enrolAsks = 2_000
	// enrolPasses is how many words are told on that come together: more are an answer to this node alone.
	enrolPasses = 4
)

// enrolment is what the loop knows of it; view is for all.
type enrolment struct {
	set              enrol.Set
	changes, durable uint64
	judged           judgedEnrolment // what view was made of
	digest           enrol.Digest
	said             bool // that this node is not enrolled
	asked            ledger.Instant
	answered         map[string]ledger.Instant
	view             atomic.Pointer[belonging]
}

type judgedEnrolment struct {
	policy  *policy.Policy
	roll    uint64
	changes uint64
	charter ledger.CharterID
}

// belonging is who belongs.
type belonging struct {
	required bool
	in       map[enrol.Identity]bool
	since    time.Time // from when on it is required here
}

func (b *belonging) has(name string, key []byte) bool {
	return b == nil || !b.required || len(key) == len(trust.Key{}) && b.in[enrol.Identity{Node: name, Key: trust.Key(key)}]
}

// identity is this node as operators enrol it.
func (n *Node) identity() enrol.Identity {
	return enrol.Identity{Node: n.opts.Name, Key: trust.Key(n.key.Public())}
}

// belongs reports whether what a node in a generation, or in the directory that began with it, signs is to be listened to. Safe for concurrent use.
func (n *Node) belongs(name string, gen uint64) bool {
	v := n.enrolled.view.Load()
	if v == nil || !v.required || name == n.opts.Name {
		return true
	}
	pin, ok := n.book.KeyOf(name, gen) // none for 0, as directories are named by what is above it
	return ok && v.has(name, pin.Key)
}

// isPeer reports whether a member, by what it tells of itself, is one of the swarm.
func (n *Node) isPeer(m *gossip.Member) bool {
	v := n.enrolled.view.Load()
	if v == nil || !v.required || m.Self {
		return true
	}
	key, err := seal.ParseTag(m.Tags[tagKey])
	return err == nil && v.has(m.Name, key)
}

// alive names the members that live and belong to the swarm, this node included.
func (n *Node) alive() []string {
	if v := n.enrolled.view.Load(); v == nil || !v.required {
		return n.pool.Alive()
	}
	var names []string
	for _, m := range n.pool.Members() {
		if m.Status == gossip.Alive && n.isPeer(&m) {
			names = append(names, m.Name)
		}
	}
	return names
}

// anybodys reports whether a kind of message is taken from whoever tells it: what is in it was signed by operators, or is judged before it counts.
func anybodys(kind byte) bool {
	switch kind {
	case msgPolicy, msgHave, msgWant, msgProposal, msgVote, msgCharter, msgHaveRollout, msgWantRollout, msgWantDocument, msgDocument, msgTrust,
		msgEnrolled, msgHaveEnrolled, msgWantEnrolled, msgProof:
		return true
	}
	return false
}

// heeds reports whether a message of a peer in one of its directories (0: without a signature) is taken, and counts it if it is not.
func (n *Node) heeds(from string, dir uint64, kind byte) bool {
	if n.isCut(from, kind) {
		return false
	}
	if anybodys(kind) || n.belongs(from, dir) {
		return true
	}
	n.notEnrolled(from, fmt.Sprintf("a message of kind %d", kind))
	return false
}

// notEnrolled takes note of something that a node has said which does not belong to the swarm, as far as is known here.
func (n *Node) notEnrolled(from, what string) {
	if v := n.enrolled.view.Load(); v == nil || time.Since(v.since) < enrolGrace {
		n.refused.total[seal.NotEnrolled].Add(1)
		return
	}
	n.refuse(from, &seal.Refusal{Reason: seal.NotEnrolled, What: what})
}

// judgeEnrolment works out who belongs, if anything of it has changed. The loop's, at every tick.
func (n *Node) judgeEnrolment(now ledger.Instant) {
	e := &n.enrolled
	p, signers := n.policy.Load().policy, n.roll.Signers()
	j := judgedEnrolment{p, n.roll.changes, e.changes, n.replica.Charter().ID}
	if old := e.view.Load(); old == nil || j != e.judged {
		n.watchFrozen()
		e.judged, e.digest = j, e.set.Digest(signers)
		v := &belonging{required: p.Enrols() && len(signers) > 0 && !j.charter.IsZero(), in: e.set.Belongs(signers), since: time.Now()}
		if old != nil && old.required == v.required {
			v.since = old.since
		}
		e.view.Store(v)
		if n.pooled.Load() && (v.required || old != nil && old.required) {
			n.meet(now)
		}
		if v.required && (old == nil || !old.required) {
			n.log.Info().Str("event", "audit").Int("enrolled", len(v.in)).Msg("from now on this node listens only to nodes that an operator has enrolled")
			e.said = false
		}
	}
	v := e.view.Load()
	self := v.in[n.identity()]
	switch {
	case !v.required || self && !e.said:
		return
	case self:
		e.said = false
		n.log.Info().Str("event", "audit").Msg("an operator has enrolled this node: its peers listen to it")
		return
	case !e.said && (len(v.in) > 0 || time.Since(v.since) >= enrolGrace):
		e.said = true
		n.log.Error().Str("event", "audit").Str("key", n.identity().Key.String()).Msg("not enrolled: " + n.enrolAdvice())
	}
	if n.pooled.Load() && (now >= e.asked+enrolAsks || now < e.asked) {
		e.asked = now
		others := slices.DeleteFunc(slices.Clone(n.pool.Alive()), func(name string) bool { return name == n.opts.Name })
		if len(others) > 0 {
			n.wantEnrolled(others[n.rand.IntN(len(others))], true)
		}
	}
}

func (n *Node) enrolAdvice() string {
	return fmt.Sprintf("the policy has trust.enrol, and no operator has signed that this node belongs to the swarm, so no peer listens to it: run swarmpurse keys enrol %s --node-key %s --sign-with FILE at any member",
		n.opts.Name, n.identity().Key)
}

// notIn is the reason for which this node is not ready, "" if it is enrolled or need not be. The loop's.
func (n *Node) notIn() string {
	if v := n.enrolled.view.Load(); v == nil || !v.required || v.in[n.identity()] {
		return ""
	}
	return "not enrolled: " + n.enrolAdvice()
}

// loadEnrolled takes up what the data directory has.
func (n *Node) loadEnrolled() error {
	b, err := n.store.Get(store.Policy, keyEnrolled)
	if err != nil || b == nil {
		return err
	}
	ws, err := wire.DecodeEnrolled(b, wire.MaxEnrolled)
	if err != nil {
		return &OptionError{"data", fmt.Errorf("which nodes are enrolled cannot be read by this version: %w", err), "start the version that stored it"}
	}
	n.enrolled.set.Merge(ws, nil)
	return nil
}

// writeEnrolled adds to the batch that begins what of it is not durable.
func (n *Node) writeEnrolled() {
	e := &n.enrolled
	if e.changes == e.durable {
		return
	}
	now := e.changes
	n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyEnrolled, Value: wire.EncodeEnrolled(e.set.All())})
	n.after = append(n.after, func(err error) {
		if err == nil {
			e.durable = now
		}
	})
}

// tookEnrolled puts news in force, says it, and tells it on; from is the peer that told it, "" for this node's own.
func (n *Node) tookEnrolled(now ledger.Instant, news []enrol.Word, from string) {
	if len(news) == 0 {
		return
	}
	n.enrolled.changes++
	n.judgeEnrolment(now)
	for _, w := range news {
		what := "enrolled"
		if w.Expelled {
			what = "expelled"
		}
		by := signedBy(n.roll.NameOf(w.Who), "")
		n.log.Info().Str("event", "audit").Str("what", what).Str("member", w.Node).Str("key", w.Key.String()).Str("by", by).Str("why", w.Why).Msg("an operator's word on a node")
		n.auditor.act(audit.Record{Kind: audit.Member, What: what, Node: w.Node, Hash: w.Key.String(), By: by, Why: w.Why})
	}
	body := append([]byte{msgEnrolled}, wire.EncodeEnrolled(news)...)
	key := fmt.Sprintf("enrolled/%s/%x", news[0].Node, news[0].Key[:4])
	if from != "" {
		if len(news) <= enrolPasses {
			n.pass(from, key, frozenWeight, body)
		}
		return
	}
	n.cast(key, frozenWeight, body)
	for _, name := range n.pool.Alive() {
		n.tell(name, msgEnrolled, body[1:])
	}
}

// receiveEnrolled takes a peer's words over.
func (n *Node) receiveEnrolled(now ledger.Instant, from string, ws []enrol.Word) {
	charter, signers := n.replica.Charter().ID, n.roll.Signers()
	if charter.IsZero() || len(signers) == 0 {
		return // who signs is not known yet; they are told again
	}
	var good []enrol.Word
	for i := range ws {
		w := &ws[i]
		if n.enrolled.set.Has(w) {
			continue
		}
		err := w.Check(charter.String(), signers)
		if no := (*enrol.Refused)(nil); errors.As(err, &no) {
			if no.Why == enrol.Forged {
				n.refuse(from, &seal.Refusal{Reason: seal.FalseWord, What: no.What})
				break // and no work with what else it says
			}
			n.refuse(from, &seal.Refusal{Reason: seal.NoSigner, What: no.What})
			continue
		}
		good = append(good, *w)
	}
	n.tookEnrolled(now, n.enrolled.set.Merge(good, signers), from)
}

// haveEnrolled is the word of what this node knows; nil while nobody signs.
func (n *Node) haveEnrolled() []byte {
	if len(n.roll.Signers()) == 0 {
		return nil
	}
	return append([]byte{msgHaveEnrolled}, wire.EncodeHaveEnrolled(&wire.HaveEnrolled{Node: n.opts.Name, Hash: n.enrolled.digest.Hash()})...)
}

// receiveHaveEnrolled asks a peer that knows something else for what differs.
func (n *Node) receiveHaveEnrolled(h wire.HaveEnrolled) {
	if h.Node != n.opts.Name && len(n.roll.Signers()) > 0 && h.Hash != n.enrolled.digest.Hash() {
		n.wantEnrolled(h.Node, true)
	}
}

// wantEnrolled asks a peer for what it knows and this node does not; back has it ask the same.
func (n *Node) wantEnrolled(to string, back bool) {
	n.tell(to, msgWantEnrolled, wire.EncodeWantEnrolled(&wire.WantEnrolled{Digest: n.enrolled.digest, Back: back}))
}

// sendEnrolled tells a peer what it lacks, and asks it in turn.
func (n *Node) sendEnrolled(now ledger.Instant, to string, w wire.WantEnrolled) {
	e := &n.enrolled
	if at, ok := e.answered[to]; ok && now < at+enrolAsks/2 && at <= now {
		return
	}
	if e.answered == nil || len(e.answered) >= maxRefusers {
		e.answered = map[string]ledger.Instant{}
	}
	e.answered[to] = now
	if w.Digest == e.digest {
		return
	}
	for ws := range slices.Chunk(e.set.Differ(&w.Digest, n.roll.Signers()), wire.EnrolledAtOnce) {
		n.tell(to, msgEnrolled, wire.EncodeEnrolled(ws))
	}
	if w.Back {
		n.wantEnrolled(to, false)
	}
}

// decodeEnrolled reads messages about who belongs.
func (n *Node) decodeEnrolled(from string, payload []byte) (op, error) {
	switch body := payload[1:]; payload[0] {
	case msgEnrolled:
		ws, err := wire.DecodeEnrolled(body, wire.EnrolledAtOnce)
		if err != nil {
			return nil, err
		}
		return func(now ledger.Instant) { n.receiveEnrolled(now, from, ws) }, nil
	case msgHaveEnrolled:
		h, err := wire.DecodeHaveEnrolled(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveHaveEnrolled(h) }, nil
	default:
		w, err := wire.DecodeWantEnrolled(body)
		if err != nil || from == "" {
			return nil, err
		}
		return func(now ledger.Instant) { n.sendEnrolled(now, from, w) }, nil
	}
}

// Enrol takes an operator's word that a node belongs to the swarm, or does not any more. See api.Node.
func (n *Node) Enrol(ctx context.Context, q api.EnrolRequest) (rc api.EnrolReceipt, err error) {
	key, err := trust.ParseKey(q.Key)
	if err != nil {
		return rc, fmt.Errorf("%w: key: it is no node's public key: that is ed25519: and 64 hexadecimal digits, as swarmpurse keys enrolled shows it", admit.ErrInvalid)
	}
	w := enrol.Word{Identity: enrol.Identity{Node: q.Node, Key: key}, Expelled: q.Expel, Why: q.Why}
	err = n.waitIn(ctx, n.looks, func(now ledger.Instant, done func(error)) {
		if err := n.sayEnrolled(now, &w, q.Signature); err != nil {
			done(err)
			return
		}
		rc = api.EnrolReceipt{EnrolledNode: n.viewEnrolled(&w), Required: n.enrolled.view.Load().required}
		n.after = append(n.after, done)
	})
	if err != nil {
		return api.EnrolReceipt{}, err // the loop may yet write rc
	}
	return rc, nil
}

// sayEnrolled checks a word of an operator, and takes it over. The loop's.
func (n *Node) sayEnrolled(now ledger.Instant, w *enrol.Word, sig *trust.Signature) error {
	e, signers := &n.enrolled, n.roll.Signers()
	if len(signers) == 0 {
		return fmt.Errorf("%w: the policy in force lists no trust.signers, so nobody can enrol nodes: apply one that does first", api.ErrEnrolment)
	}
	if sig == nil {
		return api.ErrUnsigned
	}
	w.At, w.Who, w.Sig = sig.At, sig.By, sig.Sig
	if err := w.Valid(); err != nil {
		return fmt.Errorf("%w: %w", admit.ErrInvalid, err)
	}
	last, known := e.set.Of(w.Identity, signers)
	most := int64(now) + trust.Lasts
	if known {
		most = max(most, last.At+1)
	}
	if w.At < int64(now)-trust.Lasts || w.At > most {
		return fmt.Errorf("%w: it is of a time %d s from this node's clock, at most %d s are allowed: sign again, and set the clocks right", api.ErrBadSignature, (int64(now)-w.At)/1000, trust.Lasts/1000)
	}
	if err := w.Check(n.replica.Charter().ID.String(), signers); err != nil {
		return fmt.Errorf("%w: %w", api.ErrBadSignature, err)
	}
	if known && *w == last {
		return nil // asked twice
	}
	if known && last.At >= w.At {
		return fmt.Errorf("%w: %s has said something later of that node: look at it with swarmpurse keys enrolled, and sign again", api.ErrEnrolment, n.roll.NameOf(last.Who))
	}
	if err := e.set.Room(w.Identity); err != nil {
		return fmt.Errorf("%w: %w", api.ErrEnrolment, err)
	}
	n.tookEnrolled(now, e.set.Merge([]enrol.Word{*w}, signers), "")
	return nil
}

// allEnrolled checks that a document does not shut out members that live: each would have to be enrolled once it is in force.
func (n *Node) allEnrolled(doc *policy.Policy) error {
	if doc == nil || !doc.Enrols() {
		return nil
	}
	in := n.enrolled.set.Belongs(doc.Signers())
	var out []string
	charter := n.charterTag()
	for _, m := range n.pool.Members() {
		key, err := seal.ParseTag(m.Tags[tagKey])
		if m.Status != gossip.Alive && !m.Self || stranger(&m, charter) || err == nil && in[enrol.Identity{Node: m.Name, Key: trust.Key(key)}] {
			continue
		}
		if out = append(out, m.Name); len(out) == 8 {
			out = append(out, "…")
			break
		}
	}
	if len(out) == 0 {
		return nil
	}
	first := "run swarmpurse keys enrol --all --sign-with FILE first"
	if len(n.roll.Signers()) == 0 {
		first = "apply it without enrol first, so that signers can enrol nodes (swarmpurse keys enrol --all --sign-with FILE), and then with it"
	}
	return fmt.Errorf("%w: with trust.enrol nobody would listen any more to members that no signer of the document has enrolled: %s: %s, or stop them", api.ErrEnrolment, strings.Join(out, ", "), first)
}

// Enrolment tells which nodes are enrolled, and of those that this node knows which are not. See api.Node.
func (n *Node) Enrolment() (v api.Enrolment) {
	nodes := map[enrol.Identity]api.EnrolledNode{}
	_ = n.look(func(ledger.Instant) {
		if b := n.enrolled.view.Load(); b != nil {
			v.Required = b.required
		}
		for _, w := range n.enrolled.set.Last(n.roll.Signers()) {
			nodes[w.Identity] = n.viewEnrolled(&w)
		}
	})
	add := func(id enrol.Identity, status string) {
		x, known := nodes[id]
		if !known {
			x = api.EnrolledNode{Node: id.Node, Key: id.Key.String()}
		}
		if status != "" {
			x.Status = status
		}
		nodes[id] = x
	}
	for name, keys := range n.book.Pins() {
		for _, k := range keys {
			add(enrol.Identity{Node: name, Key: trust.Key(k)}, "")
		}
	}
	for _, m := range n.pool.Members() {
		if key, err := seal.ParseTag(m.Tags[tagKey]); err == nil {
			add(enrol.Identity{Node: m.Name, Key: trust.Key(key)}, m.Status.String())
		}
	}
	for _, x := range nodes {
		v.Nodes = append(v.Nodes, x)
	}
	slices.SortFunc(v.Nodes, func(a, b api.EnrolledNode) int {
		return strings.Compare(a.Node+"\x00"+a.Key, b.Node+"\x00"+b.Key)
	})
	return v
}

// viewEnrolled is a word on a node, for people. The loop's.
func (n *Node) viewEnrolled(w *enrol.Word) api.EnrolledNode {
	return api.EnrolledNode{
		Node: w.Node, Key: w.Key.String(), Enrolled: !w.Expelled, Expelled: w.Expelled, By: n.roll.NameOf(w.Who), At: w.At, Why: w.Why,
	}
}
