package admit

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// ID names one decision of this node within one run of its process.
type ID uint64

const (
	shardBits = 6
	slotBits  = 14
	seqBits   = 64 - shardBits - slotBits
	seqMask   = 1<<seqBits - 1
)

func makeID(sh uint32, slot int32, seq uint64) ID {
	return ID(uint64(sh)<<(slotBits+seqBits) | uint64(slot)<<seqBits | seq&seqMask)
}

func (id ID) split() (sh uint32, slot int32, seq uint64) {
	return uint32(id >> (slotBits + seqBits)), int32(id >> seqBits & (1<<slotBits - 1)), uint64(id) & seqMask
}

const (
	idLen   = 10 // bytes of an id with the run
	codeLen = 16 // as it is written, 5 bits a character
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Format writes an ID as callers see it: the node's name, and a code that begins with 16 bits drawn when the
// engine was made, so that ids from before a restart are not taken for this run's, whatever the clock did.
func (e *Engine) Format(id ID) string {
	var b [idLen]byte
	binary.BigEndian.PutUint16(b[:], e.run)
	binary.BigEndian.PutUint64(b[2:], uint64(id))
	s := make([]byte, 0, ledger.MaxNameLen+1+codeLen)
	s = append(append(s, e.cfg.Node...), '.')
	return string(idEncoding.AppendEncode(s, b[:]))
}

// Parse reads what Format wrote, and nothing else. The error is ErrUnknownID and says which node to ask.
func (e *Engine) Parse(s string) (ID, error) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 || len(s) > ledger.MaxNameLen+32 {
		return 0, fmt.Errorf("%w %.64q: ids look like NODE.CODE, as admit returned it", ErrUnknownID, s)
	}
	if s[:i] != e.cfg.Node {
		return 0, fmt.Errorf("%w %.64q: it belongs to node %.32q, this is %q", ErrUnknownID, s, s[:i], e.cfg.Node)
	}
	var b [idLen]byte
	code := s[i+1:]
	n := 0
	if len(code) == codeLen { // then there is one way only to write it
		n, _ = idEncoding.Decode(b[:], []byte(code))
	}
	if n != idLen {
		return 0, fmt.Errorf("%w %.64q: ids look like NODE.CODE, as admit returned it", ErrUnknownID, s)
	}
	if binary.BigEndian.Uint16(b[:]) != e.run {
		return 0, fmt.Errorf("%w %q: it was made before node %q was last started; what it reserved then counts as spent", ErrUnknownID, s, e.cfg.Node)
	}
	return ID(binary.BigEndian.Uint64(b[2:])), nil
}
