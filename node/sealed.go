package node

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
)

// What comes under a signature is taken apart and checked here, beside the loop.

// Messages of package seal. Their kinds are far above those of the node itself, so that both can grow.
const (
	msgLetter    byte = iota + 64 // messages under the signature of who sends them
	msgRows                       // rows under the signature of their holder, whoever sends them
	msgProof                      // two rows of one version
	msgKeys                       // keys of nodes that are no members any more
	msgWantProof                  // show me my rows that you know
	msgSeal                       // the signature of a push/pull, beside its other parts
	msgStart                      // what a node says of its start, in a push/pull, and back to whoever is known by its name
)

// openLetter takes a letter apart, and hands on what is in it.
func (n *Node) openLetter(from string, msg []byte) {
	var payloads [][]byte
	var dir uint64
	err := n.checked(from, func() (err error) {
		payloads, dir, err = n.book.OpenLetter(time.Now().UnixMilli(), from, msg)
		return err
	})
	if err != nil {
		n.refuse(from, err)
		return
	}
	for _, p := range payloads {
		n.takeSigned(from, dir, p)
	}
}

// takeRows checks rows that a peer tells, its own or others'.
func (n *Node) takeRows(from string, msg []byte) {
	r, rows, err := seal.ParseRows(msg)
	var proof *seal.Proof
	if err == nil {
		err = n.checked(r.Holder().Node, func() (err error) {
			proof, err = n.book.CheckRows(time.Now().UnixMilli(), from, r, rows)
			return err
		})
	}
	if err != nil {
		n.refuse(from, err)
		n.metrics.RowsReceived(telemetry.Refused, 1)
		return
	}
	if h := r.Holder(); proof == nil && !n.belongs(h.Node, h.Gen) {
		n.notEnrolled(h.Node, "rows of "+h.String())
		n.metrics.RowsReceived(telemetry.Refused, 1)
		return
	}
	_ = n.submit(n.inputs, func(now ledger.Instant) {
		if !n.listens(from, ledger.CharterID{}, msgRows) {
			return
		}
		if proof != nil {
			n.convict(now, from, proof)
			return
		}
		n.receiveSealed(now, from, r, rows)
	})
}

// takeProof checks a proof.
func (n *Node) takeProof(from string, msg []byte) {
	p, err := seal.ParseProof(msg)
	if err != nil {
		n.refuse(from, err)
		return
	}
	_ = n.submit(n.inputs, func(now ledger.Instant) { n.convict(now, from, p) })
}

// takeSigned takes a message out of a letter of a peer that speaks in its directory dir.
func (n *Node) takeSigned(from string, dir uint64, payload []byte) {
	if len(payload) == 0 {
		return
	}
	switch body := payload[1:]; payload[0] {
	case msgLetter, msgSeal: // none has any business here
		n.refuse(from, &seal.Refusal{Reason: seal.Malformed, What: "a letter in a letter"})
	case msgRows:
		n.takeRows(from, body)
	case msgProof:
		n.takeProof(from, body)
	case msgStart:
		n.takeStart(from, body, true)
	case msgKeys:
		if !n.heeds(from, dir, msgKeys) {
			return
		}
		ks, err := wire.DecodeKeys(body)
		if err != nil {
			n.refuse(from, err)
			return
		}
		for _, k := range ks {
			n.book.Hearsay(k.Node, k.Dir, k.Key[:])
		}
	case msgWantProof:
		if !n.heeds(from, dir, msgWantProof) {
			return
		}
		_ = n.submit(n.inputs, func(now ledger.Instant) { n.prove(now, from) })
	default:
		n.takeFrom(from, dir, ledger.CharterID{}, payload)
	}
}
