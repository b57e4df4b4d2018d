package wire

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/topup"
)

// maxTopUp is the most that a signed top-up takes, in bytes.
const maxTopUp = topup.MaxNode + topup.MaxField*(1+topup.MaxKey) + 4*topup.MaxKey + topup.MaxID + topup.MaxWhy + 32 + 64 + 96

// TopUpsAtOnce is how many signed top-ups one message holds, at most.
const TopUpsAtOnce = 64

// MaxTopUps is how many of them a data directory holds, at most.
const MaxTopUps = 2 * topup.MaxActs

// EncodeWantTopUps asks for the signed top-ups at a holder.
func EncodeWantTopUps(h ledger.Holder) []byte { return encode(h.Node, int64(h.Gen)) }

// DecodeWantTopUps reads such a question.
func DecodeWantTopUps(b []byte) (ledger.Holder, error) {
	r, _ := open(b, 2)
	h := ledger.Holder{Node: string(r.bytes(topup.MaxNode)), Gen: uint64(r.int())}
	if r.err == nil && h.Gen == 0 {
		r.fail(fmt.Errorf("a question for the top-ups at no holder"))
	}
	return h, r.err
}

// EncodeTopUps is the inverse of DecodeTopUps.
func EncodeTopUps(as []topup.Act) []byte {
	fields := make([]any, len(as))
	for i := range as {
		a := &as[i]
		key := make([]any, len(a.Key))
		for i, k := range a.Key {
			key[i] = k
		}
		fields[i] = encode(a.Holder.Node, int64(a.Holder.Gen), a.Budget, encode(key...), int64(a.Amount), a.ID, a.Why, a.At, a.Who[:], a.Sig[:])
	}
	return encode(fields...)
}

// DecodeTopUps reads at most most signed top-ups, all of which are valid in form, or none. No signature is checked.
func DecodeTopUps(b []byte, most int) ([]topup.Act, error) {
	r, n := open(b, 0)
	if n > most {
		r.fail(fmt.Errorf("%d signed top-ups, at most %d are allowed", n, most))
	}
	var as []topup.Act
	for range n {
		one := r.bytes(maxTopUp)
		if r.err != nil {
			return nil, r.err
		}
		a, err := decodeTopUp(one)
		if err != nil {
			return nil, err
		}
		as = append(as, a)
	}
	return as, r.err
}

func decodeTopUp(b []byte) (a topup.Act, err error) {
	r, _ := open(b, 10)
	a.Holder = ledger.Holder{Node: string(r.bytes(topup.MaxNode)), Gen: uint64(r.int())}
	a.Budget = string(r.bytes(topup.MaxField))
	if p, n := r.part((topup.MaxField+4)*topup.MaxKey+8, 0); p != nil {
		if n > topup.MaxKey {
			p.fail(fmt.Errorf("a key of %d values", n))
		}
		for range n {
			a.Key = append(a.Key, string(p.bytes(topup.MaxField)))
		}
		r.fail(p.err)
	}
	a.Amount, a.ID, a.Why, a.At = ledger.Tokens(r.int()), string(r.bytes(topup.MaxID)), string(r.bytes(topup.MaxWhy)), r.int()
	r.hash((*[32]byte)(&a.Who))
	r.signature(&a.Sig)
	if r.err == nil {
		r.fail(a.Valid())
	}
	return a, r.err
}
