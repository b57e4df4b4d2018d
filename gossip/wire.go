package gossip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// A frame of ours is
//
//	kind, version, msgpack array [sender, ...]
//
// The kind stands where serf has its message type. Serf uses 0 to 9 and appends; kinds from 0xD0 to
// 0xDF are ours, known or not, and never reach serf. Elements that a newer node puts at the end of
// an array are not looked at. A frame of a newer version is counted and passed over: a change that
// old nodes cannot read needs a new version, one that they may ignore does not.
const (
	kindMin      = 0xD0
	kindMessages = 0xD1 // [sender, [payload, ...]]
	kindState    = 0xD2 // [sender, state], only at the end of a push/pull state
	kindMax      = 0xDF

	wireVersion = 1
)

// maxBatch bounds the payloads in one frame.
const maxBatch = 512

// The push/pull state is serf's bytes, then our frame, its length as 4 bytes big endian, then
// stateMagic. Serf decodes one msgpack value from the front and ignores what follows.
var stateMagic = [8]byte{0x8f, 's', 'w', 'p', 'u', 'r', 's', 'e'}

// Why a frame was not read. Each is a reason in the drop counter.
var (
	errKind      = errors.New("unknown kind")
	errVersion   = errors.New("newer version")
	errMalformed = errors.New("malformed")
)

// isOurs reports whether a user message belongs to us rather than to serf.
func isOurs(msg []byte) bool { return len(msg) > 0 && msg[0] >= kindMin && msg[0] <= kindMax }

// appendMessages appends a frame with the payloads.
func appendMessages(b []byte, sender string, payloads ...[]byte) []byte {
	b = append(b, kindMessages, wireVersion, 0x92)
	b = appendString(b, sender)
	b = appendArrayLen(b, len(payloads))
	for _, p := range payloads {
		b = appendBin(b, p)
	}
	return b
}

// appendState appends our part of a push/pull state to serf's.
func appendState(b []byte, sender string, state []byte) []byte {
	start := len(b)
	b = append(b, kindState, wireVersion, 0x92)
	b = appendString(b, sender)
	b = appendBin(b, state)
	b = binary.BigEndian.AppendUint32(b, uint32(len(b)-start))
	return append(b, stateMagic[:]...)
}

// The three encodings below are msgpack's, written out: the library's encoder costs an interface
// call per byte written. TestEncodersSpeakMsgpack holds them to the library.

func appendString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 256:
		b = append(b, 0xd9, byte(n))
	default:
		panic("BUG: sender name longer than MaxName")
	}
	return append(b, s...)
}

func appendBin(b, p []byte) []byte {
	switch n := len(p); {
	case n < 1<<8:
		b = append(b, 0xc4, byte(n))
	case n < 1<<16:
		b = append(b, 0xc5, byte(n>>8), byte(n))
	default:
		b = append(b, 0xc6)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, p...)
}

func appendArrayLen(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return append(b, 0xdc, byte(n>>8), byte(n))
}

// binSize is what appendBin adds for a payload of n bytes.
func binSize(n int) int {
	switch {
	case n < 1<<8:
		return n + 2
	case n < 1<<16:
		return n + 3
	}
	return n + 5
}

// frameSize is what appendMessages adds besides the payloads; room for 3 bytes of count.
func frameSize(sender string) int {
	n := 3 + 1 + len(sender) + 3
	if len(sender) >= 32 {
		n++
	}
	return n
}

// header checks kind and version, and returns what follows them.
func header(frame []byte, kind byte) ([]byte, error) {
	switch {
	case len(frame) < 2:
		return nil, errMalformed
	case frame[0] != kind:
		return nil, errKind
	case frame[1] > wireVersion:
		return nil, errVersion
	case frame[1] == 0:
		return nil, errMalformed
	}
	return frame[2:], nil
}

// decodeMessages reads a frame of kindMessages. The payloads are parts of frame, which the caller
// therefore gives away; nothing is allocated by a length that the frame does not hold.
func decodeMessages(frame []byte) (sender string, payloads [][]byte, err error) {
	body, err := header(frame, kindMessages)
	if err != nil {
		return "", nil, err
	}
	r := getReader(body)
	defer putReader(r)
	if sender, err = r.sender(2); err != nil {
		return "", nil, err
	}
	n, err := r.dec.DecodeArrayLen()
	if err != nil || n < 1 || n > maxBatch || n > r.src.Len() {
		return "", nil, errMalformed
	}
	payloads = make([][]byte, 0, n)
	for range n {
		p, err := r.bin(MaxPayload)
		if err != nil {
			return "", nil, err
		}
		payloads = append(payloads, p)
	}
	return sender, payloads, nil
}

// splitState parts a push/pull state into serf's and our frame; ours is nil if there is none.
func splitState(buf []byte) (serfs, ours []byte) {
	const tail = 4 + len(stateMagic)
	if len(buf) < tail || !bytes.Equal(buf[len(buf)-len(stateMagic):], stateMagic[:]) {
		return buf, nil
	}
	rest := buf[:len(buf)-tail]
	n := binary.BigEndian.Uint32(buf[len(buf)-tail:])
	if uint64(n) > uint64(len(rest)) {
		return buf, nil
	}
	cut := len(rest) - int(n)
	return rest[:cut:cut], rest[cut:]
}

// decodeState reads a frame of kindState; the state is a part of it.
func decodeState(frame []byte) (sender string, state []byte, err error) {
	body, err := header(frame, kindState)
	if err != nil {
		return "", nil, err
	}
	r := getReader(body)
	defer putReader(r)
	if sender, err = r.sender(2); err != nil {
		return "", nil, err
	}
	state, err = r.bin(MaxState)
	return sender, state, err
}

// frameReader decodes from one byte slice and hands out parts of it.
type frameReader struct {
	buf []byte
	src bytes.Reader // a ByteScanner, so the decoder does not read ahead
	dec *msgpack.Decoder
}

var readers = sync.Pool{New: func() any { return &frameReader{dec: msgpack.NewDecoder(nil)} }}

func getReader(b []byte) *frameReader {
	r := readers.Get().(*frameReader)
	r.buf = b
	r.src.Reset(b)
	r.dec.Reset(&r.src)
	return r
}

func putReader(r *frameReader) {
	r.buf = nil
	r.src.Reset(nil)
	readers.Put(r)
}

// sender opens the outer array of at least n elements and reads its first.
func (r *frameReader) sender(n int) (string, error) {
	got, err := r.dec.DecodeArrayLen()
	if err != nil || got < n {
		return "", errMalformed
	}
	name, err := r.bin(MaxName)
	if err != nil || len(name) == 0 {
		return "", errMalformed
	}
	return string(name), nil
}

// bin reads one bin or str of at most most bytes.
func (r *frameReader) bin(most int) ([]byte, error) {
	n, err := r.dec.DecodeBytesLen()
	if err != nil || n < 0 || n > most || n > r.src.Len() {
		return nil, errMalformed
	}
	at := len(r.buf) - r.src.Len()
	if _, err := r.src.Seek(int64(n), 1); err != nil {
		return nil, errMalformed
	}
	return r.buf[at : at+n : at+n], nil
}
