package node

import (
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// What a node says to single peers is signed by a goroutine of its own, so that the loop does not wait for it, and so that what
// waits for one peer goes under one signature: with the load, letters become fuller, not more.

const (
	maxMail      = 4096     // messages that wait to be signed
	maxMailBytes = 64 << 20 // and their bytes
	mailBatch    = 512      // messages taken together
	// letterRoom is for what a letter takes beside its payloads, so that those that fit in one packet go in one.
	letterRoom = seal.LetterBytes + 3
	// introduceFor is for how long, in ms, a node's key goes with its letters to a peer that it has just met, which may not have heard of
	// its tags yet.
	introduceFor = 10_000
)

// mail is one message for one peer.
type mail struct {
	to      string
	payload []byte
}

type mailer struct {
	queue chan mail
	bytes atomic.Int64
}

// post sends a message to one peer. Safe for concurrent use; it never blocks.
func (n *Node) post(to string, payload []byte) {
	m := &n.mail
	if m.bytes.Add(int64(len(payload))) <= maxMailBytes {
		select {
		case m.queue <- mail{to, payload}:
			return
		default:
		}
	}
	m.bytes.Add(-int64(len(payload)))
	n.metrics.Dropped(telemetry.Overflow)
}

// carry signs and sends what was posted, until the node stops.
func (n *Node) carry() {
	batch := make([]mail, 0, mailBatch)
	for {
		batch = batch[:0]
		select {
		case m := <-n.mail.queue:
			batch = append(batch, m)
		case <-n.stop:
			return
		}
		for len(batch) < mailBatch {
			select {
			case m := <-n.mail.queue:
				batch = append(batch, m)
				continue
			default:
			}
			break
		}
		n.deliver(batch)
		clear(batch)
	}
}

// deliver sends a batch, in the order of each peer.
func (n *Node) deliver(batch []mail) {
	byPeer := make(map[string][][]byte, len(batch))
	var order []string
	for _, m := range batch {
		n.mail.bytes.Add(-int64(len(m.payload)))
		if _, there := byPeer[m.to]; !there {
			order = append(order, m.to)
		}
		byPeer[m.to] = append(byPeer[m.to], m.payload)
	}
	room := n.pool.PacketRoom() - letterRoom
	for _, to := range order {
		payloads := byPeer[to]
		if !n.signs(to) { // of a version before signatures
			for _, p := range payloads {
				n.send(to, p)
			}
			continue
		}
		introduce := n.introduces(to)
		for len(payloads) > 0 {
			k, size := 0, 0
			for k < len(payloads) && (k == 0 || size+len(payloads[k])+3 <= room) {
				size += len(payloads[k]) + 3
				k++
			}
			n.send(to, append([]byte{msgLetter}, n.signer.Letter(to, introduce, payloads[:k]...)...))
			payloads = payloads[k:]
		}
	}
}

func (n *Node) send(to string, payload []byte) {
	if err := n.pool.Send(to, payload); err != nil {
		n.log.Debug().Err(err).Str("to", to).Msg("not sent; it is told again if it matters")
	}
}

// cast spreads a message of this node's own, and pass one that it heard from a peer, under a letter to all.
func (n *Node) cast(key string, weight float64, payload []byte) {
	n.pool.Spread(key, weight, n.toAll(payload))
}

func (n *Node) pass(from, key string, weight float64, payload []byte) {
	n.pool.Relay(from, key, weight, n.toAll(payload))
}

func (n *Node) toAll(payload []byte) []byte {
	return append([]byte{msgLetter}, n.signer.Letter("", n.peers.changed(), payload)...)
}
