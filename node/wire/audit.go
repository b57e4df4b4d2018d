package wire

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Bounds of what nodes tell of their audit logs.
const (
	maxAuditNote  = 4 << 10
	maxAuditKey   = 512
	maxAuditProof = 64 // hashes
)

// AuditHead is a checkpoint of a node's audit log, with the proof that it goes on from the one of From records.
type AuditHead struct {
	Node  string
	Key   string
	Note  []byte
	From  int64
	Gone  bool // it cannot be proved: the records are deleted
	Proof [][32]byte
}

// AuditAnswer is what a peer says to it.
type AuditAnswer struct {
	Key            string
	Note           []byte
	Want, Disputed bool
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// EncodeAuditHead is the inverse of DecodeAuditHead.
func EncodeAuditHead(h *AuditHead) []byte {
	proof := make([]byte, 0, len(h.Proof)*32)
	for _, p := range h.Proof {
		proof = append(proof, p[:]...)
	}
	return encode(h.Node, h.Key, h.Note, h.From, flag(h.Gone), proof)
}

// DecodeAuditHead reads a checkpoint. It bounds it, and checks no signature.
func DecodeAuditHead(b []byte) (AuditHead, error) {
	r, _ := open(b, 6)
	h := AuditHead{
		Node: string(r.bytes(ledger.MaxNameLen)), Key: string(r.bytes(maxAuditKey)), Note: r.bytes(maxAuditNote), From: r.int(), Gone: r.int() != 0,
	}
	proof := r.bytes(maxAuditProof * 32)
	if r.err == nil && len(proof)%32 != 0 {
		r.fail(fmt.Errorf("a proof of %d bytes", len(proof)))
	}
	for ; r.err == nil && len(proof) > 0; proof = proof[32:] {
		h.Proof = append(h.Proof, [32]byte(proof))
	}
	return h, r.err
}

// EncodeAuditAnswer is the inverse of DecodeAuditAnswer.
func EncodeAuditAnswer(a *AuditAnswer) []byte {
	return encode(a.Key, a.Note, flag(a.Want), flag(a.Disputed))
}

// DecodeAuditAnswer reads an answer.
func DecodeAuditAnswer(b []byte) (AuditAnswer, error) {
	r, _ := open(b, 4)
	a := AuditAnswer{Key: string(r.bytes(maxAuditKey)), Note: r.bytes(maxAuditNote), Want: r.int() != 0, Disputed: r.int() != 0}
	return a, r.err
}
