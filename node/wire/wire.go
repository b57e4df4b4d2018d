// Package wire is the form of what nodes tell each other beside the ledger's messages: policy documents, the
// word of which policy one has, what operators froze, and the parts of a push/pull. It imports little, so that its decoders can be
// fuzzed without compiling the rest of a node.
//
// A byte for the version, then one msgpack array; fields that a newer version adds at the end are passed over.
package wire

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// ErrMalformed is wrapped by every decoding error.
var ErrMalformed = errors.New("malformed message")

const version byte = 1

// Bounds of decoding.
const (
	MaxBy    = 256 // bytes of who applied a policy
	MaxParts = 8   // messages in one push/pull
)

// Document is a policy as it travels and as it lies on disk.
type Document struct {
	Source []byte
	By     string // who applied it
	Since  time.Time
}

// Have says which policy a node has.
type Have struct {
	Node     string
	Revision int64
	Hash     [32]byte
}

// encode writes an array of byte strings, strings and integers. Writing to a bytes.Buffer does not fail.
func encode(fields ...any) []byte {
	var b bytes.Buffer
	b.WriteByte(version)
	enc := msgpack.NewEncoder(&b)
	must := func(err error) {
		if err != nil {
			panic(fmt.Sprintf("BUG: encoding: %v", err))
		}
	}
	must(enc.EncodeArrayLen(len(fields)))
	for _, f := range fields {
		switch f := f.(type) {
		case []byte:
			must(enc.EncodeBytes(f))
		case string:
			must(enc.EncodeString(f))
		case int64:
			must(enc.EncodeInt(f))
		default:
			panic(fmt.Sprintf("BUG: no form for a %T", f))
		}
	}
	return b.Bytes()
}

// reader reads what encode wrote. After its first error it reads nothing more.
type reader struct {
	all int
	dec *msgpack.Decoder
	err error
}

// open reads the head: an array of at least need fields. It returns how many there are.
func open(b []byte, need int) (*reader, int) {
	r := &reader{all: len(b)}
	if len(b) < 2 || b[0] < version {
		r.fail(fmt.Errorf("%d bytes of no known version", len(b)))
		return r, 0
	}
	r.dec = msgpack.NewDecoder(bytes.NewReader(b[1:]))
	n, err := r.dec.DecodeArrayLen()
	if err == nil && n < need {
		err = fmt.Errorf("%d fields, at least %d are needed", n, need)
	}
	r.fail(err)
	return r, n
}

func (r *reader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
}

func (r *reader) bytes(most int) []byte {
	if r.err != nil {
		return nil
	}
	n, err := r.dec.DecodeBytesLen()
	if err == nil && (n < 0 || n > most || n > r.all) {
		err = fmt.Errorf("a field of %d bytes, at most %d are allowed", n, most)
	}
	if err != nil {
		r.fail(err)
		return nil
	}
	b := make([]byte, n)
	r.fail(r.dec.ReadFull(b))
	return b
}

func (r *reader) int() int64 {
	if r.err != nil {
		return 0
	}
	n, err := r.dec.DecodeInt64()
	r.fail(err)
	return n
}

func (r *reader) hash(into *[32]byte) {
	b := r.bytes(len(into))
	if r.err == nil && len(b) != len(into) {
		r.fail(fmt.Errorf("a hash of %d bytes", len(b)))
	}
	copy(into[:], b)
}

// EncodeDocument is the inverse of DecodeDocument.
func EncodeDocument(d *Document) []byte { return encode(d.Source, d.By, d.Since.UnixMilli()) }

// DecodeDocument reads a policy document. It bounds the source, and does not parse it.
func DecodeDocument(b []byte) (Document, error) {
	r, _ := open(b, 3)
	d := Document{Source: r.bytes(policy.MaxSource), By: string(r.bytes(MaxBy))}
	d.Since = time.UnixMilli(r.int())
	return d, r.err
}

// EncodeHave is the inverse of DecodeHave.
func EncodeHave(h *Have) []byte { return encode(h.Node, h.Revision, h.Hash[:]) }

// DecodeHave reads the word of a policy.
func DecodeHave(b []byte) (Have, error) {
	r, _ := open(b, 3)
	h := Have{Node: string(r.bytes(ledger.MaxNameLen)), Revision: r.int()}
	r.hash(&h.Hash)
	return h, r.err
}

// JoinParts puts messages together to the state of a push/pull; at most MaxParts.
func JoinParts(parts [][]byte) []byte {
	fields := make([]any, len(parts))
	for i, p := range parts {
		fields[i] = p
	}
	return encode(fields...)
}

// SplitParts takes a push/pull state apart. Parts beyond MaxParts are a newer version's, and left out. No
// state at all is none, and no error: a plain member of the pool sends none.
func SplitParts(state []byte) ([][]byte, error) {
	if len(state) == 0 {
		return nil, nil
	}
	r, n := open(state, 0)
	var parts [][]byte
	for range min(n, MaxParts) {
		parts = append(parts, r.bytes(len(state)))
	}
	if r.err != nil {
		return nil, r.err
	}
	return parts, nil
}
