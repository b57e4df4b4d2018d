package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// The trial of a candidate: each node tells what became of the calls of both arms, and a few of them judge the sum.

const (
	tallyEvery = 2_000  // ms between two times that a node tells its counters
	tallyLasts = 30_000 // ms after which it tells them again though they have not changed, for those that joined
	writeTally = 5_000  // ms between two times that counters are written
	askEvery   = 2_000  // ms between two times that a missing document is asked for
	// tallyWeight has counters go after words and before most rows: there are few of them.
	tallyWeight = 1e6
	// leastBaked is how many calls a candidate must have had until it is promoted for its time.
	leastBaked = 100
)

// watchRollout counts, tells, judges and promotes. The loop's, at every tick.
func (n *Node) watchRollout(now ledger.Instant) {
	n.askMissing(now)
	t := n.trying.Load()
	if !t.decides() {
		return
	}
	r := &n.roll
	if s, c, ok := n.engine.Outcomes(); ok && r.tally.Merge(rollout.Row{Life: rollout.Life{Node: n.opts.Name, Began: r.began}, Stable: s, Candidate: c}) {
		r.tallied = true
	}
	n.tellTally(int64(now))
	if !n.judges(t.key) {
		return
	}
	s, c := r.tally.Sum()
	w := rollout.Word{At: int64(now), Node: n.opts.Name, By: rollout.Guardian}
	if b := rollout.Judge(t.trial.How.Guard, &s, &c); b != nil {
		w.Why = b.What + ": " + b.Why
		if es, err := r.state.RollBack(w, r.inForce(), r.has); err == nil {
			n.log.Error().Int64("candidate", t.key.Revision).Str("why", w.Why).Msg("the guard rolls the candidate back")
			n.learn(es, nil, "", nil)
		}
		return
	}
	bake := t.trial.How.Bake.Milliseconds()
	if bake == 0 || t.paused != nil || int64(now) < t.since+bake {
		return
	}
	if c.Calls < leastBaked {
		if r.unbaked != t.key {
			r.unbaked = t.key
			n.log.Warn().Int64("candidate", t.key.Revision).Int64("calls", c.Calls).Int("least", leastBaked).Msg("the candidate has baked, and too few of its calls are known to promote it: it goes on")
		}
		return
	}
	w.By, w.Why = rollout.Baked, fmt.Sprintf("%v without a breach, %d calls of it, %d of the stable revision", t.trial.How.Bake, c.Calls, s.Calls)
	if e, err := r.state.Promote(w, r.inForce()); err == nil {
		n.learn([]rollout.Entry{e}, nil, "", nil)
	}
}

// judges reports whether this node is one of those that judge a candidate: the first by a hash, of those that live.
func (n *Node) judges(k rollout.Key) bool {
	rank := func(name string) uint64 { return xxhash.Sum64String(name) ^ k.Seed() }
	first, own := 0, rank(n.opts.Name)
	for _, name := range n.pool.Alive() {
		if o := rank(name); name != n.opts.Name && cmp.Or(cmp.Compare(o, own), strings.Compare(name, n.opts.Name)) < 0 {
			first++
		}
	}
	return first < rollout.Judges
}

// tellTally tells peers what this node has counted, in this run and those before, and makes all counters durable now and then.
func (n *Node) tellTally(now int64) {
	r := &n.roll
	if since := now - r.told; since >= tallyLasts || since < 0 || r.tallied && since >= tallyEvery {
		r.told = now
		var own []rollout.Row
		for _, row := range r.tally.Rows() {
			if row.Node == n.opts.Name {
				own = append(own, row)
			}
		}
		if len(own) > maxOwnLives {
			own = own[len(own)-maxOwnLives:]
		}
		n.pool.Spread("tally/"+n.opts.Name, tallyWeight, append([]byte{msgTally}, wire.EncodeTally(r.tally.Of, own)...))
	}
	if since := now - r.written; r.tallied && (since >= writeTally || since < 0) {
		r.written, r.tallied = now, false
		n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyTally, Value: wire.EncodeTally(r.tally.Of, r.tally.Rows())})
	}
}

// maxOwnLives bounds the runs whose counters one message has: a node that is started again and again leaves the older ones out.
const maxOwnLives = 4

// receiveTally takes a peer's counters over, and tells them on if they are news.
func (n *Node) receiveTally(from string, of rollout.Key, rows []rollout.Row, body []byte) {
	t := n.trying.Load()
	if t == nil || of != t.key || of != n.roll.tally.Of {
		return // of another candidate: the words on it are on their way, and counters are told again
	}
	fresh := false
	for _, row := range rows {
		if row.Node == n.opts.Name && row.Began == n.roll.began {
			continue // nobody else counts for this run
		}
		fresh = n.roll.tally.Merge(row) || fresh
	}
	if fresh && len(rows) > 0 {
		n.roll.tallied = true
		n.pool.Relay(from, "tally/"+rows[0].Node, tallyWeight, append([]byte{msgTally}, body...))
	}
}

// askMissing asks some peer for the documents that would be in force if they were here.
func (n *Node) askMissing(now ledger.Instant) {
	r := &n.roll
	if since := int64(now) - r.asked; since < askEvery && since >= 0 {
		return
	}
	r.asked = int64(now)
	missing := slices.DeleteFunc(r.inForce().Missing, func(k rollout.Key) bool { return r.refused[k.Hash] != "" })
	peers := slices.DeleteFunc(slices.Clone(n.pool.Alive()), func(name string) bool { return name == n.opts.Name })
	if len(missing) == 0 || len(peers) == 0 {
		return
	}
	to := peers[n.rand.IntN(len(peers))]
	for _, k := range missing[:min(len(missing), maxDocuments)] {
		n.tell(to, msgWantDocument, wire.EncodeWant(k))
	}
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// decodeRollout checks a message about revisions and returns what the loop should do with it.
func (n *Node) decodeRollout(from string, payload []byte) (op, error) {
	switch body := payload[1:]; payload[0] {
	case msgRollout:
		es, err := wire.DecodeEntries(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveRevisions(from, es) }, nil
	case msgHaveRollout:
		have, err := wire.DecodeHaveRollout(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveHaveRevisions(have) }, nil
	case msgWantRollout:
		return func(ledger.Instant) { n.sendRevisions(from) }, nil
	case msgWantDocument:
		k, err := wire.DecodeWant(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.sendDocument(from, k) }, nil
	case msgDocument:
		doc, err := wire.DecodeDocument(body)
		if err != nil {
			return nil, err
		}
		p, err := policy.ParseNewer("peer", doc.Source) // slow, so not in the loop
		if err != nil {
			return n.refuseDocument(from, doc.Source, err), nil
		}
		return func(ledger.Instant) { n.receiveDocument(p, doc) }, nil
	case msgTally:
		of, rows, err := wire.DecodeTally(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveTally(from, of, rows, body) }, nil
	}
	panic(fmt.Sprintf("BUG: no message about revisions: %d", payload[0]))
}
