package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

const (
	keyRevisions = "revisions"
	keyTally     = "tally"
	keyDocument  = "document/" // and the hash
	keyTrust     = "trust"
)

// revisions is what the loop knows of the life of policies.
type revisions struct {
	rollout.Watch
	docs map[rollout.Key]*adopted

	changes, durable uint64
	stored           map[rollout.Key]bool // documents on disk
	waiting          []func(error)        // until what changed is durable
	said             []rollout.Said       // and to be noted then
	untold           []telling            // and to be told on
	pinAfter         ledger.Instant       // until then a node that has just joined waits to be told where trust begins

	refused map[[32]byte]string // documents that this version cannot use, by hash, and why: they are not asked for again
}

// telling is what is news, and who told it.
type telling struct {
	entries []rollout.Entry
	words   []rollout.Signed
	from    string
}

// trying is a candidate that the node tries, or cannot.
type trying struct {
	key    rollout.Key
	policy *policy.Policy
	trial  rollout.Trial
	paused *rollout.Pause
	since  int64
	waits  []string // what else it changes when it is promoted
	held   string   // why it cannot be tried beside the stable one
	shadow bool     // it is only looked at
}

// decides reports whether the candidate decides on calls.
func (t *trying) decides() bool { return t != nil && t.held == "" && !t.shadow }

func (r *revisions) init() {
	r.docs, r.stored, r.refused = map[rollout.Key]*adopted{}, map[rollout.Key]bool{}, map[[32]byte]string{}
}

func (r *revisions) has(k rollout.Key) bool {
	d := r.docs[k]
	return d != nil && r.Lists(k, d.policy.Signers())
}

// useless reports that this version cannot use a document.
func (r *revisions) useless(k rollout.Key) bool { return r.refused[k.Hash] != "" }

// hopeless reports that asking for a document is of no use: also where it is here, and lists others than were signed with it.
func (r *revisions) hopeless(k rollout.Key) bool { return r.useless(k) || r.docs[k] != nil }

func (r *revisions) inForce() rollout.InForce { return r.State.InForce(r.has) }

// take takes words over, and a document if it is of use. It returns which words are not taken.
func (r *revisions) take(t telling, doc *adopted) (no []rollout.Refused) {
	said, entries, no := r.Learn(t.entries)
	more, words, others := r.LearnSigned(t.words)
	t.entries, t.words = entries, words
	r.took(append(said, more...), t, doc)
	return append(no, others...)
}

// took has what is news be made durable.
func (r *revisions) took(said []rollout.Said, t telling, doc *adopted) {
	changed := len(said)+len(t.entries)+len(t.words) > 0
	if doc != nil {
		if k := rollout.KeyOf(doc.policy); r.docs[k] == nil {
			r.docs[k] = doc
			changed = true
		}
	}
	if !changed {
		return
	}
	r.said, r.untold = append(r.said, said...), append(r.untold, t)
	r.refresh()
	r.changes++
}

// refresh drops the documents that are of no use any more, and says of the others who applied them.
func (r *revisions) refresh() {
	keep := map[rollout.Key]bool{}
	for _, k := range r.State.Keep(rollout.MaxDocuments) {
		keep[k] = true
	}
	for k, d := range r.docs {
		if !keep[k] {
			delete(r.docs, k)
			continue
		}
		e, _ := r.State.Of(k)
		if w := e.Whole; w != nil && !d.whole || w == nil && d.whole {
			c := *d // others may read d
			if c.whole = w != nil; c.whole {
				c.by, c.since = w.By, timeOf(w.At)
			}
			r.docs[k] = &c
		}
	}
}

// writes are what makes the words and documents durable, and which documents are on disk then.
func (r *revisions) writes() (ws []store.Write, documents map[rollout.Key]bool) {
	documents = map[rollout.Key]bool{}
	ws = []store.Write{{Bucket: store.Policy, Key: keyRevisions, Value: wire.EncodeEntries(r.Unsigned())}}
	if a := r.Anchor(); a != nil {
		ws = append(ws, store.Write{Bucket: store.Policy, Key: keyTrust, Value: wire.EncodeTrust(&wire.Trust{Anchor: a, Words: r.Words()})})
	}
	for k, d := range r.docs {
		if documents[k] = true; !r.stored[k] {
			ws = append(ws, store.Write{Bucket: store.Policy, Key: documentKey(k), Value: d.encode()})
		}
	}
	for k := range r.stored {
		if r.docs[k] == nil {
			ws = append(ws, store.Write{Bucket: store.Policy, Key: documentKey(k)})
		}
	}
	// For a version before rollouts that is started on this directory.
	if d := r.docs[r.inForce().Stable]; d != nil {
		ws = append(ws, store.Write{Bucket: store.Policy, Key: keyPolicy, Value: d.encode()})
	}
	return ws, documents
}

func documentKey(k rollout.Key) string { return keyDocument + hex.EncodeToString(k.Hash[:]) }

func isDocument(key string) bool { return strings.HasPrefix(key, keyDocument) }

// hash is of all that peers should know alike: once there are signers, not of what came before them.
func (r *revisions) hash() [32]byte {
	es, a := r.Unsigned(), r.Anchor()
	if a == nil {
		return sha256.Sum256(wire.EncodeEntries(es))
	}
	for len(es) > 0 && es[0].Compare(a.Key) <= 0 {
		es = es[1:]
	}
	return sha256.Sum256(append(wire.EncodeTrust(&wire.Trust{Words: r.Words()}), wire.EncodeEntries(es)...))
}

// learn takes words over, from a peer or this node's own; done hears when they are in force, or why they are not durable.
func (n *Node) learn(t telling, doc *adopted, done func(error)) {
	before := n.roll.changes
	if len(t.words) > 0 {
		n.setCharter()
	}
	for _, r := range n.roll.take(t, doc) {
		n.refuseWord(t.from, r)
	}
	switch {
	case done == nil:
	case n.roll.changes == before:
		done(nil)
	default:
		n.roll.waiting = append(n.roll.waiting, done)
	}
}

// tellRevisions says in the log what has changed, and tells on what is news.
func (n *Node) tellRevisions(said []rollout.Said, untold []telling) {
	for _, s := range said {
		n.auditRevision(s.Old, s.Now)
	}
	for _, t := range untold {
		for _, e := range t.entries {
			n.tellWord(t.from, e.Key, msgRollout, wire.EncodeEntries([]rollout.Entry{e}))
		}
		for _, w := range t.words {
			n.tellWord(t.from, w.Key, msgTrust, wire.EncodeTrust(&wire.Trust{Anchor: n.roll.Anchor(), Words: []rollout.Signed{w}}))
		}
	}
}

// tellWord tells all, and passes on what a peer told.
func (n *Node) tellWord(from string, k rollout.Key, kind byte, body []byte) {
	key := fmt.Sprintf("revision/%d/%x/%d", k.Revision, k.Hash[:8], kind)
	payload := append([]byte{kind}, body...)
	if from != "" {
		n.pass(from, key, frozenWeight, payload)
		return
	}
	n.cast(key, frozenWeight, payload)
	for _, name := range n.pool.Alive() {
		n.tell(name, kind, body)
	}
}

// receiveRevisions takes a peer's words over, and asks it for documents that are missing here.
func (n *Node) receiveRevisions(now ledger.Instant, from string, es []rollout.Entry) {
	n.learn(telling{entries: es, from: from}, nil, nil)
	n.askFor(now, from)
}

// askFor asks who has told of revisions for the documents that are missing.
func (n *Node) askFor(now ledger.Instant, from string) {
	if from == "" {
		return
	}
	for _, k := range n.roll.Ask(int64(now), true, n.roll.has, n.roll.hopeless) {
		n.tell(from, msgWantDocument, wire.EncodeWant(k))
	}
}

// receiveDocument takes a document over that words are known of.
func (n *Node) receiveDocument(p *policy.Policy, d wire.Document) {
	if _, known := n.roll.State.Of(rollout.KeyOf(p)); known {
		n.learn(telling{}, &adopted{policy: p, by: d.By, since: d.Since}, nil)
	}
}

// sendDocument gives a peer a document, if it is here.
func (n *Node) sendDocument(to string, k rollout.Key) {
	if d := n.roll.docs[k]; d != nil {
		n.tell(to, msgDocument, d.encode())
	}
}

// maxRefused bounds the documents that are remembered because this version cannot use them.
const maxRefused = 16

// refuseDocument is what the loop does with a document that this version cannot use: it says so, once.
func (n *Node) refuseDocument(from string, src []byte, why error) op {
	hash := sha256.Sum256(document.Canonical(src))
	return func(ledger.Instant) {
		if n.roll.refused[hash] != "" {
			return
		}
		for h := range n.roll.refused {
			if len(n.roll.refused) < maxRefused {
				break
			}
			delete(n.roll.refused, h)
		}
		n.roll.refused[hash] = why.Error()
		n.metrics.PolicyChange(telemetry.Refused)
		n.log.Error().Str("from", from).Str("hash", hex.EncodeToString(hash[:])).AnErr("why", why).
			Msg("a policy of the swarm cannot be used by this version, so this node keeps the one it has: upgrade it")
	}
}

// haveRevisions is the word of what this node knows.
func (n *Node) haveRevisions() []byte {
	return append([]byte{msgHaveRollout}, wire.EncodeHaveRollout(&wire.HaveRollout{Node: n.opts.Name, Hash: n.roll.hash()})...)
}

// receiveHaveRevisions tells a peer that knows something else all that this node knows, and asks for the same.
func (n *Node) receiveHaveRevisions(h wire.HaveRollout) {
	if h.Node == n.opts.Name || h.Hash == n.roll.hash() {
		return
	}
	n.sendRevisions(h.Node)
	n.tell(h.Node, msgWantRollout, nil)
}

func (n *Node) sendRevisions(to string) {
	for _, es := range n.roll.Parts() {
		n.tell(to, msgRollout, wire.EncodeEntries(es))
	}
	a, ws := n.roll.Anchor(), n.roll.Words()
	for a != nil { // who signs is told before what they signed
		k := min(len(ws), wire.SignedAtOnce)
		n.tell(to, msgTrust, wire.EncodeTrust(&wire.Trust{Anchor: a, Words: ws[:k]}))
		if ws = ws[k:]; len(ws) == 0 {
			break
		}
	}
}
