package frame

import (
	"encoding/binary"
	"fmt"
	"math"
)

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(v))
}

// appendOptional appends a number that may be missing.
func appendOptional(b []byte, v *float64) []byte {
	if v == nil {
		return append(b, 0)
	}
	return appendFloat(append(b, 1), *v)
}

// reader takes fields off a body. After a field that is not there all that follow are zero, and failed is set.
type reader struct {
	b      []byte
	s      string // b, or what of it is not yet read, as a string: fields that are strings are parts of it
	failed bool
}

// read begins on a body. All its strings are parts of one copy of it.
func read(body []byte) reader { return reader{b: body, s: string(body)} }

func (r *reader) skip(n int) { r.b, r.s = r.b[n:], r.s[n:] }

func (r *reader) fail() { r.b, r.s, r.failed = nil, "", true }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.skip(n)
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.skip(n)
	return v
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	s := r.s[:n]
	r.skip(int(n))
	return s
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(r.b))
	r.skip(8)
	return v
}

func (r *reader) optional() *float64 {
	switch r.uint() {
	case 0:
		return nil
	case 1:
		if v := r.float(); !r.failed {
			return &v
		}
	default:
		r.fail()
	}
	return nil
}

// MaxList bounds every list; how long each may be is the node's to say.
const MaxList = 1024

// list is how many entries follow, each of at least that many bytes.
func (r *reader) list(least int) int {
	n := r.uint()
	if n > MaxList || n > uint64(len(r.b)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) strings() (list []string) {
	if n := r.list(1); n > 0 {
		list = make([]string, n)
		for i := range list {
			list[i] = r.string()
		}
	}
	return list
}

// done reports what was wrong with the body of a frame.
func (r *reader) done(what string) error {
	if r.failed {
		return fmt.Errorf("%w: the body of %s ends early, or holds what it cannot", ErrMalformed, what)
	}
	return nil
}
