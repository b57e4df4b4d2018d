package admit

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// ID names one decision of this node within one life of its data directory.
type ID uint64

const (
	shardBits = 6
	slotBits  = 14
	seqBits   = 64 - shardBits - slotBits
	numShards = 1 << shardBits
	inline    = 4 // draws kept without an allocation
)

// MaxRecords bounds the decisions that a node remembers, and so its open reservations: the oldest ended
// one makes room for a new one.
const MaxRecords = numShards * perShard

const perShard = 1024

// State is where a decision stands.
type State uint8

const (
	Refused  State = iota + 1
	Reserved       // tokens are set aside
	Expired        // the TTL has ended; on hard ceilings the tokens are still set aside until Grace is over
	Settled
	Released
	Booked // the TTL and the grace have ended: charged in full
)

func (s State) String() string {
	switch s {
	case Refused:
		return "refused"
	case Reserved:
		return "reserved"
	case Expired, Booked:
		return "expired"
	case Settled:
		return "settled"
	case Released:
		return "released"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// record is one decision.
type record struct {
	seq     uint64
	state   State
	verdict Verdict
	late    bool
	ended   bool // on the list of those that may be overwritten

	at, expires ledger.Instant
	waited      time.Duration
	retry       time.Duration
	bound       *bound

	tenant, agent, run, class, model string
	code, reason, outcome            string

	n       int
	few     [inline]held
	many    []held // instead of few when n > inline
	overrun ledger.Tokens

	// Links: on the wheel while reserved, on the list of ended ones after that. -1 ends a list.
	next, prev int32
	bucket     int32
}

// held is what one instance holds or was charged for a call.
type held struct {
	reserved ledger.Tokens
	charged  ledger.Tokens
	window   ledger.Window
	booked   bool // charged in full when the TTL or the grace ended
}

func (r *record) held() []held {
	if r.many != nil {
		return r.many
	}
	return r.few[:r.n]
}

// shard is a part of the records with its own lock.
type shard struct {
	mu     sync.Mutex // guards all below
	slots  []record
	seq    uint64
	oldest int32 // list of ended records, oldest first
	newest int32
	wheel  wheel
	active int
	counts [Deny + 1]int64
	_      [64]byte // its own cache lines
}

// alloc returns a free slot, or -1 when all hold open reservations.
func (s *shard) alloc() int32 {
	if len(s.slots) < perShard {
		if len(s.slots) == cap(s.slots) {
			grown := make([]record, len(s.slots), min(perShard, max(64, 2*cap(s.slots))))
			copy(grown, s.slots)
			s.slots = grown
		}
		s.slots = s.slots[:len(s.slots)+1]
		return int32(len(s.slots) - 1)
	}
	i := s.oldest
	if i < 0 {
		return -1
	}
	s.oldest = s.slots[i].next
	if s.oldest < 0 {
		s.newest = -1
	}
	return i
}

// end puts a record on the list of those that may be overwritten.
func (s *shard) end(i int32) {
	r := &s.slots[i]
	r.ended, r.next = true, -1
	if s.newest >= 0 {
		s.slots[s.newest].next = i
	} else {
		s.oldest = i
	}
	s.newest = i
}

func makeID(sh uint32, slot int32, seq uint64) ID {
	return ID(uint64(sh)<<(slotBits+seqBits) | uint64(slot)<<seqBits | seq&(1<<seqBits-1))
}

func (id ID) split() (sh uint32, slot int32, seq uint64) {
	return uint32(id >> (slotBits + seqBits)), int32(id >> seqBits & (1<<slotBits - 1)), uint64(id) & (1<<seqBits - 1)
}

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// Format writes an ID as callers see it: the node's name, and a code in which 16 random bits of the node's
// generation stand, so that an earlier life's ids are not taken for this one's.
func (e *Engine) Format(id ID) string {
	var b [10]byte
	binary.BigEndian.PutUint16(b[:], uint16(e.cfg.Gen))
	binary.BigEndian.PutUint64(b[2:], uint64(id))
	return e.cfg.Node + "." + idEncoding.EncodeToString(b[:])
}

// Parse reads what Format wrote. The error is ErrUnknownID and says which node to ask.
func (e *Engine) Parse(s string) (ID, error) {
	i := strings.LastIndexByte(s, '.')
	if i < 0 || len(s) > ledger.MaxNameLen+32 {
		return 0, fmt.Errorf("%w %.64q: ids look like NODE.CODE, as admit returned it", ErrUnknownID, s)
	}
	if s[:i] != e.cfg.Node {
		return 0, fmt.Errorf("%w %q: it belongs to node %q, this is %q", ErrUnknownID, s, s[:i], e.cfg.Node)
	}
	b, err := idEncoding.DecodeString(s[i+1:])
	if err != nil || len(b) != 10 || idEncoding.EncodeToString(b) != s[i+1:] {
		return 0, fmt.Errorf("%w %q: ids look like NODE.CODE, as admit returned it", ErrUnknownID, s)
	}
	if binary.BigEndian.Uint16(b) != uint16(e.cfg.Gen) {
		return 0, fmt.Errorf("%w %q: it was made by an earlier generation of node %q", ErrUnknownID, s, e.cfg.Node)
	}
	return ID(binary.BigEndian.Uint64(b[2:])), nil
}

// find returns the record of id, with its shard locked if it is there.
func (e *Engine) find(id ID) (*shard, int32, bool) {
	sh, slot, seq := id.split()
	s := &e.shards[sh]
	s.mu.Lock()
	if int(slot) < len(s.slots) {
		if r := &s.slots[slot]; r.seq&(1<<seqBits-1) == seq && r.state != 0 {
			return s, slot, true
		}
	}
	s.mu.Unlock()
	return nil, 0, false
}
