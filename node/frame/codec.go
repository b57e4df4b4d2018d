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
	s      string // b as a string: fields that are strings are parts of it
	at     int    // what is read of them
	failed bool
}

// read begins on a body. All its strings are parts of one copy of it.
func read(body []byte) reader { return reader{b: body, s: string(body)} }

func (r *reader) fail() { r.b, r.s, r.at, r.failed = nil, "", 0, true }

// left is how many bytes are not read.
func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) byte() byte {
	if r.left() == 0 {
		r.fail()
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) uint() uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 { // as most are
		r.at++
		return uint64(r.b[r.at-1])
	}
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.fail()
		return 0
	}
	r.at += n
	return v
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(r.left()) {
		r.fail()
		return ""
	}
	s := r.s[r.at : r.at+int(n)]
	r.at += int(n)
	return s
}

func (r *reader) float() float64 {
	if r.left() < 8 {
		r.fail()
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(r.b[r.at:]))
	r.at += 8
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
	if n > MaxList || n > uint64(r.left()/least) {
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
