package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"time"
)

// A stored value is 4 bytes of CRC32C (RFC 3720, big endian) over bucket, key and value, then the value. The
// checksum covers the key too, so that a record which turns up under another key is noticed.

const frameLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(bucket, key string, value []byte) uint32 {
	var head [5]byte
	head[0] = byte(len(bucket))
	binary.BigEndian.PutUint32(head[1:], uint32(len(key)))
	c := crc32.Update(0, castagnoli, head[:])
	c = crc32.Update(c, castagnoli, []byte(bucket))
	c = crc32.Update(c, castagnoli, []byte(key))
	return crc32.Update(c, castagnoli, value)
}

// frame returns the stored form of value.
func frame(bucket, key string, value []byte) []byte {
	b := make([]byte, frameLen+len(value))
	binary.BigEndian.PutUint32(b, checksum(bucket, key, value))
	copy(b[frameLen:], value)
	return b
}

// unframe checks a stored value and returns what it holds, a part of raw.
func unframe(bucket, key string, raw []byte) ([]byte, error) {
	if len(raw) < frameLen {
		return nil, fmt.Errorf("record %s/%.80q has %d bytes, a record has at least %d", bucket, key, len(raw), frameLen)
	}
	if got, want := checksum(bucket, key, raw[frameLen:]), binary.BigEndian.Uint32(raw); got != want {
		return nil, fmt.Errorf("record %s/%.80q has the checksum %08x, its %d bytes give %08x", bucket, key, want, len(raw)-frameLen, got)
	}
	return raw[frameLen:], nil
}

// tally is a checksum over the set of a bucket's records: it notices a record that is missing, or that
// came back in an older form with a checksum of its own that is right, as happens when a flipped bit
// makes the tree point to a page that was freed long ago.
type tally struct {
	Count uint64
	Sum   uint64 // of mix(record checksum), modulo 2^64
}

func (t *tally) add(raw []byte) {
	t.Count++
	t.Sum += mix(binary.BigEndian.Uint32(raw))
}

func (t *tally) remove(raw []byte) {
	t.Count--
	t.Sum -= mix(binary.BigEndian.Uint32(raw))
}

// mix spreads a checksum over 64 bits (the finisher of splitmix64), so that sums of different sets differ.
func mix(c uint32) uint64 {
	z := uint64(c) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return bits.RotateLeft64(z^z>>31, 1)
}

// state is the store's own record of what the buckets hold. It is rewritten in every transaction.
type state struct {
	Tx      uint64 // of the bbolt transaction that wrote it
	Tallies [lastBucket + 1]tally
}

const (
	stateKey    = "state"
	identityKey = "identity"
	stateHead   = 2 + 8 // the layout, a byte that layout 1 used, and the transaction
)

func (s *state) encode() []byte {
	b := make([]byte, 0, stateHead+16*int(lastBucket))
	b = append(b, Schema, 0)
	b = binary.BigEndian.AppendUint64(b, s.Tx)
	for i := Accounts; i <= lastBucket; i++ {
		b = binary.BigEndian.AppendUint64(b, s.Tallies[i].Count)
		b = binary.BigEndian.AppendUint64(b, s.Tallies[i].Sum)
	}
	return b
}

func decodeState(b []byte) (state, error) {
	var s state
	last := Bucket(0)
	if len(b) > stateHead && b[0] >= 1 && b[0] <= Schema {
		last = buckets(int(b[0]))
	}
	if last == 0 || len(b) != stateHead+16*int(last) || b[1] > 1 || b[1] == 1 && b[0] > 1 {
		return s, fmt.Errorf("the record of the store's state is malformed (%d bytes)", len(b))
	}
	s.Tx = binary.BigEndian.Uint64(b[2:])
	for i := Accounts; i <= last; i++ {
		at := b[10+(int(i)-1)*16:]
		s.Tallies[i] = tally{binary.BigEndian.Uint64(at), binary.BigEndian.Uint64(at[8:])}
	}
	return s, nil
}

// identityJSON is Identity as it stands in the database and, without gen, in the marker file.
type identityJSON struct {
	Node      string    `json:"node"`
	Cluster   string    `json:"cluster"`
	Directory []byte    `json:"directory"`
	Gen       uint64    `json:"gen,omitempty"`
	Created   time.Time `json:"created"`
	Schema    int       `json:"schema"`
}

func (i Identity) encode() []byte {
	b, err := json.Marshal(identityJSON{i.Node, i.Cluster, i.Directory[:], i.Gen, i.Created, i.Schema})
	if err != nil {
		panic("BUG: identity does not encode: " + err.Error())
	}
	return b
}

func decodeIdentity(b []byte) (Identity, error) {
	var j identityJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return Identity{}, fmt.Errorf("malformed identity: %w", err)
	}
	if len(j.Directory) != 16 || j.Schema < 1 || len(j.Node) > MaxNameLen || len(j.Cluster) > MaxNameLen {
		return Identity{}, errors.New("malformed identity")
	}
	return Identity{j.Node, j.Cluster, [16]byte(j.Directory), j.Gen, j.Created.UTC(), j.Schema}, nil
}
