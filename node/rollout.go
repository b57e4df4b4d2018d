package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// The trial of a candidate: each node tells what became of the calls of both arms, and a few of them judge the sum.

// tallyWeight has counters go after words and before most rows: they are paced.
const tallyWeight = 1e6

// watchRollout counts, tells, judges and promotes. The loop's, at every tick.
func (n *Node) watchRollout(now ledger.Instant) {
	n.pinTrust(now)
	n.askMissing(now)
	t := n.trying.Load()
	if !t.decides() {
		return
	}
	r := &n.roll
	s, c, counted := n.engine.Outcomes()
	do := r.Tick(int64(now), t.key, s, c, counted, n.alive(), r.has)
	if do.Tell != nil {
		body := wire.EncodeTally(r.Tally.Of, do.Tell)
		for _, name := range do.To {
			n.tell(name, msgTally, body)
		}
		if len(do.To) == 0 {
			n.cast("tally/"+n.opts.Name, tallyWeight, append([]byte{msgTally}, body...))
		}
	}
	if do.Write {
		n.extra = append(n.extra, store.Write{Bucket: store.Policy, Key: keyTally, Value: wire.EncodeTally(r.Tally.Of, r.Tally.Rows())})
	}
	if do.Breach != "" {
		n.log.Error().Int64("candidate", t.key.Revision).Str("why", do.Breach).Msg("the guard rolls the candidate back")
	}
	if do.Unbaked >= 0 {
		n.log.Warn().Int64("candidate", t.key.Revision).Int64("calls", do.Unbaked).Msg("the candidate has baked, and too few of its calls are known to promote it: it goes on")
	}
	if do.Say != nil {
		n.learn(telling{entries: do.Say}, nil, nil)
	}
}

// receiveTally takes a peer's counters over, and tells them on if they are news.
func (n *Node) receiveTally(from string, of rollout.Key, rows []rollout.Row, body []byte) {
	if n.roll.Receive(of, rows, n.alive()) {
		n.pass(from, "tally/"+rows[0].Node, tallyWeight, append([]byte{msgTally}, body...))
	}
}

// askMissing asks some peer for the documents that would be in force if they were here.
func (n *Node) askMissing(now ledger.Instant) {
	missing := n.roll.Ask(int64(now), false, n.roll.has, n.roll.hopeless)
	peers := slices.DeleteFunc(slices.Clone(n.pool.Alive()), func(name string) bool { return name == n.opts.Name })
	if len(missing) == 0 || len(peers) == 0 {
		return
	}
	to := peers[n.rand.IntN(len(peers))]
	for _, k := range missing {
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
		return func(now ledger.Instant) { n.receiveRevisions(now, from, es) }, nil
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
	case msgTrust:
		t, err := wire.DecodeTrust(body)
		if err != nil {
			return nil, err
		}
		return func(now ledger.Instant) { n.receiveTrust(now, from, t) }, nil
	case msgTally:
		of, rows, err := wire.DecodeTally(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveTally(from, of, rows, body) }, nil
	}
	panic(fmt.Sprintf("BUG: no message about revisions: %d", payload[0]))
}
