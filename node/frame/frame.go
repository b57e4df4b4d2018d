package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxFrame bounds a frame without its four bytes of length; the longest call that any policy can look at has some 200 kB.
const MaxFrame = 256 << 10

// HeaderLen is the length of what says how long a frame is.
const HeaderLen = 4

// Version is the one that this package speaks.
const Version = 1

// Kind says what a frame is. Append only.
type Kind uint8

const (
	KindHello   Kind = 1  // caller: Hello
	KindWelcome Kind = 2  // node: Welcome
	KindAdmit   Kind = 3  // caller: Call
	KindSettle  Kind = 4  // caller: Settlement
	KindRelease Kind = 5  // caller: Release
	KindCancel  Kind = 6  // caller: the request of that id is not waited for any more; no body
	KindAnswer  Kind = 7  // node: Answer, to admit
	KindReceipt Kind = 8  // node: Receipt, to settle and release
	KindError   Kind = 9  // node: Error, to anything; with id 0 to the connection, which ends
	KindBye     Kind = 10 // node: send what is new over another connection; id 0, no body
)

// ErrTooLong and ErrMalformed say that the other side does not speak this protocol: the connection is of no more use.
var (
	ErrTooLong   = errors.New("frame too long")
	ErrMalformed = errors.New("malformed frame")
)

// Frame is one frame that was read.
type Frame struct {
	Kind Kind
	ID   uint64
	Body []byte // of the buffer that it was read from
}

// Next takes one frame off the front of b and says how many bytes it took: 0 if it is not all there yet.
func Next(b []byte) (f Frame, took int, err error) {
	if len(b) < HeaderLen {
		return f, 0, nil
	}
	n := int(min(binary.BigEndian.Uint32(b), MaxFrame+1))
	switch {
	case n > MaxFrame:
		return f, 0, fmt.Errorf("%w: it says %d bytes, at most %d are allowed", ErrTooLong, binary.BigEndian.Uint32(b), MaxFrame)
	case n < 2:
		return f, 0, fmt.Errorf("%w: of %d bytes", ErrMalformed, n)
	case len(b) < HeaderLen+n:
		return f, 0, nil
	}
	in := b[HeaderLen : HeaderLen+n]
	id, w := binary.Uvarint(in[1:])
	if w <= 0 {
		return f, 0, fmt.Errorf("%w: its id", ErrMalformed)
	}
	return Frame{Kind(in[0]), id, in[1+w:]}, HeaderLen + n, nil
}

// Begin appends the head of a frame; the body follows, and then End.
func Begin(b []byte, k Kind, id uint64) []byte {
	b = append(b, 0, 0, 0, 0, byte(k))
	return binary.AppendUvarint(b, id)
}

// End completes the frame that begins at b[at:].
func End(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-HeaderLen))
	return b
}

// Append appends a frame without a body.
func Append(b []byte, k Kind, id uint64) []byte { return End(Begin(b, k, id), len(b)) }
