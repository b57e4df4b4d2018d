package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/enrol"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// maxEnrolled is the most that a word on a node takes, in bytes.
const maxEnrolled = enrol.MaxNode + enrol.MaxWhy + 2*32 + 64 + 64

// EnrolledAtOnce is how many words on nodes one message holds, at most.
const EnrolledAtOnce = 128

// HaveEnrolled says what a node knows of who belongs to the swarm.
type HaveEnrolled struct {
	Node string
	Hash [32]byte
}

// EncodeHaveEnrolled is the inverse of DecodeHaveEnrolled.
func EncodeHaveEnrolled(h *HaveEnrolled) []byte { return encode(h.Node, h.Hash[:]) }

// DecodeHaveEnrolled reads what a node knows.
func DecodeHaveEnrolled(b []byte) (HaveEnrolled, error) {
	r, _ := open(b, 2)
	h := HaveEnrolled{Node: string(r.bytes(ledger.MaxNameLen))}
	r.hash(&h.Hash)
	return h, r.err
}

// WantEnrolled asks for the words on nodes that the sender lacks: those in which its digest differs. Back says that it was asked for its own
// with the same, so that it need not be asked again.
type WantEnrolled struct {
	Digest enrol.Digest
	Back   bool
}

// EncodeWantEnrolled is the inverse of DecodeWantEnrolled.
func EncodeWantEnrolled(w *WantEnrolled) []byte {
	b := make([]byte, 0, 8*enrol.Buckets)
	for _, n := range w.Digest {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return encode(b, flag(w.Back))
}

// DecodeWantEnrolled reads such a question.
func DecodeWantEnrolled(b []byte) (w WantEnrolled, err error) {
	r, _ := open(b, 2)
	d := r.bytes(8 * enrol.Buckets)
	if r.err == nil && len(d) != 8*enrol.Buckets {
		r.fail(fmt.Errorf("a digest of %d bytes", len(d)))
	}
	w.Back = r.int() != 0
	if r.err != nil {
		return WantEnrolled{}, r.err
	}
	for i := range w.Digest {
		w.Digest[i] = binary.BigEndian.Uint64(d[8*i:])
	}
	return w, nil
}

// EncodeEnrolled is the inverse of DecodeEnrolled.
func EncodeEnrolled(ws []enrol.Word) []byte {
	fields := make([]any, len(ws))
	for i := range ws {
		w := &ws[i]
		fields[i] = encode(w.Node, w.Key[:], flag(w.Expelled), w.At, w.Why, w.Who[:], w.Sig[:])
	}
	return encode(fields...)
}

// DecodeEnrolled reads at most most words on nodes, all of which are valid in form, or none. No signature is checked.
func DecodeEnrolled(b []byte, most int) ([]enrol.Word, error) {
	r, n := open(b, 0)
	if n > most {
		r.fail(fmt.Errorf("%d words on nodes, at most %d are allowed", n, most))
	}
	var ws []enrol.Word
	for range n {
		one := r.bytes(maxEnrolled)
		if r.err != nil {
			return nil, r.err
		}
		w, err := decodeEnrolled(one)
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, r.err
}

func decodeEnrolled(b []byte) (w enrol.Word, err error) {
	r, _ := open(b, 7)
	w.Node = string(r.bytes(enrol.MaxNode))
	r.hash((*[32]byte)(&w.Key))
	w.Expelled = r.int() != 0
	w.At, w.Why = r.int(), string(r.bytes(enrol.MaxWhy))
	r.hash((*[32]byte)(&w.Who))
	r.signature(&w.Sig)
	if r.err == nil {
		r.fail(w.Valid())
	}
	return w, r.err
}

// MaxEnrolled is how many words on nodes a data directory holds, at most.
const MaxEnrolled = 2 * enrol.MaxNodes * trust.MaxSigners
