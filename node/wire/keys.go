package wire

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// MaxKeys bounds the keys in one message.
const MaxKeys = 256

// Key is the public key of a node in one of its directories.
type Key struct {
	Node string
	Dir  uint64
	Key  [32]byte
}

// EncodeKeys is the inverse of DecodeKeys.
func EncodeKeys(ks []Key) []byte {
	fields := make([]any, 0, 3*len(ks))
	for _, k := range ks {
		fields = append(fields, k.Node, int64(k.Dir), k.Key[:])
	}
	return encode(fields...)
}

// DecodeKeys reads keys of nodes.
func DecodeKeys(b []byte) (ks []Key, err error) {
	r, n := open(b, 0)
	if n%3 != 0 || n > 3*MaxKeys {
		r.fail(fmt.Errorf("%d fields of keys", n))
	}
	for range n / 3 {
		k := Key{Node: string(r.bytes(ledger.MaxNameLen)), Dir: uint64(r.int())}
		r.hash(&k.Key)
		if r.err != nil {
			return nil, r.err
		}
		ks = append(ks, k)
	}
	return ks, r.err
}
