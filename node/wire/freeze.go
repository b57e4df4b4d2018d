package wire

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
)

// maxWord is the most that one word takes, in bytes: its fields, and what surrounds them.
const maxWord = 2*48 + freeze.MaxInstance + 2*freeze.MaxField + freeze.MaxNode + freeze.MaxBy + freeze.MaxWhy + 64

// wordsInParts is how many bytes of words one message holds, about.
const wordsInParts = 32 << 10

// HaveFrozen says what a node knows of what operators froze.
type HaveFrozen struct {
	Node string
	Hash [32]byte
}

// EncodeWords is the inverse of DecodeWords; at most freeze.MaxWords.
func EncodeWords(ws []freeze.Word) []byte {
	fields := make([]any, len(ws))
	for i, w := range ws {
		fields[i] = encodeWord(&w)
	}
	return encode(fields...)
}

// EncodeWordsInParts is EncodeWords for messages of a moderate size.
func EncodeWordsInParts(ws []freeze.Word) (parts [][]byte) {
	for len(ws) > 0 {
		n := min(len(ws), wordsInParts/maxWord)
		parts = append(parts, EncodeWords(ws[:n]))
		ws = ws[n:]
	}
	return parts
}

func encodeWord(w *freeze.Word) []byte {
	frozen := int64(0)
	if w.Frozen {
		frozen = 1
	}
	fields := []any{w.Instance, w.Tenant, w.Agent, frozen, w.At, w.Node, w.By, w.Why}
	if w.Signed() { // which versions before signed words pass over
		fields = append(fields, w.Who[:], w.Sig[:])
	}
	return encode(fields...)
}

// DecodeWords reads words, all of which are valid, or none.
func DecodeWords(b []byte) ([]freeze.Word, error) {
	r, n := open(b, 0)
	if n > freeze.MaxWords {
		r.fail(fmt.Errorf("%d words, at most %d are allowed", n, freeze.MaxWords))
	}
	var ws []freeze.Word
	for range n {
		one := r.bytes(maxWord)
		if r.err != nil {
			return nil, r.err
		}
		w, err := decodeWord(one)
		if err != nil {
			return nil, err
		}
		ws = append(ws, w)
	}
	return ws, r.err
}

func decodeWord(b []byte) (freeze.Word, error) {
	r, n := open(b, 8)
	var w freeze.Word
	w.Instance, w.Tenant, w.Agent = string(r.bytes(freeze.MaxInstance)), string(r.bytes(freeze.MaxField)), string(r.bytes(freeze.MaxField))
	frozen := r.int()
	w.Frozen, w.At = frozen == 1, r.int()
	w.Node, w.By, w.Why = string(r.bytes(freeze.MaxNode)), string(r.bytes(freeze.MaxBy)), string(r.bytes(freeze.MaxWhy))
	if n >= 10 {
		r.hash((*[32]byte)(&w.Who))
		r.signature(&w.Sig)
	}
	if r.err == nil && frozen != 0 && frozen != 1 {
		r.fail(fmt.Errorf("a word that something is frozen %d", frozen))
	}
	if r.err == nil {
		r.fail(w.Valid())
	}
	return w, r.err
}

// EncodeHaveFrozen is the inverse of DecodeHaveFrozen.
func EncodeHaveFrozen(h *HaveFrozen) []byte { return encode(h.Node, h.Hash[:]) }

// DecodeHaveFrozen reads what a node knows of what operators froze.
func DecodeHaveFrozen(b []byte) (HaveFrozen, error) {
	r, _ := open(b, 2)
	h := HaveFrozen{Node: string(r.bytes(ledger.MaxNameLen))}
	r.hash(&h.Hash)
	return h, r.err
}
