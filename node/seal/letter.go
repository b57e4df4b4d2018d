package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"sync/atomic"
)

// A letter is
//
//	version, flags, first bytes of the key, run, number, [directory, key,] (length, payload)…, signature
//
// run, number and length are varints. What is signed begins with what it is, its sender and whom it is for.

const (
	version   byte = 1
	flagKey   byte = 1 // the key goes with it: the receiver may not know it
	flagAll   byte = 2 // it is for whoever hears it
	hintBytes      = 4

	// LetterBytes is the most that a letter takes beside its payloads and two to three bytes for each, its key included.
	LetterBytes = 2 + hintBytes + 2*binary.MaxVarintLen64 + 8 + ed25519.PublicKeySize + ed25519.SignatureSize

	maxPayloads = 512
	maxLetter   = 1 << 20
)

// Signer signs for a node. Safe for concurrent use.
type Signer struct {
	name string
	pin  Pin
	key  ed25519.PrivateKey
	run  uint64
	seq  atomic.Uint64
}

// NewSigner signs for a node with the key that its directory dir was made with. run is higher at each start.
func NewSigner(name string, dir uint64, key ed25519.PrivateKey, run uint64) *Signer {
	return &Signer{name: name, pin: Pin{Dir: dir, Key: key.Public().(ed25519.PublicKey)}, key: key, run: run}
}

// Pin is the signer's key.
func (s *Signer) Pin() Pin { return s.pin }

// Letter puts payloads under one signature, for the node to, or for whoever hears it if that is "". withKey has the key go with it.
func (s *Signer) Letter(to string, withKey bool, payloads ...[]byte) []byte {
	size := LetterBytes
	for _, p := range payloads {
		size += 5 + len(p)
	}
	b := append(make([]byte, 0, size), version, 0)
	b = append(b, s.pin.Key[:hintBytes]...)
	b = binary.AppendUvarint(b, s.run)
	b = binary.AppendUvarint(b, s.seq.Add(1))
	if withKey {
		b[1] |= flagKey
		b = binary.BigEndian.AppendUint64(b, s.pin.Dir)
		b = append(b, s.pin.Key...)
	}
	if to == "" {
		b[1] |= flagAll
	}
	for _, p := range payloads {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return append(b, ed25519.Sign(s.key, letterSaid(s.name, to, b))...)
}

func said(what string, parts ...[]byte) []byte {
	n := len(what)
	for _, p := range parts {
		n += 5 + len(p)
	}
	b := append(make([]byte, 0, n), what...)
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return b
}

func letterSaid(from, to string, body []byte) []byte {
	return said("swarmpurse letter 1\n", []byte(from), []byte(to), body)
}

// letter is one that was taken apart. Its parts are those of the message.
type letter struct {
	flags     byte
	hint      []byte
	run, seq  uint64
	dir       uint64
	key       ed25519.PublicKey
	payloads  [][]byte
	body, sig []byte
}

// cursor reads from the front of a message. After its first failure it reads nothing more.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.b, c.bad = nil, true
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func parseLetter(b []byte) (l letter, err error) {
	bad := refuse(Malformed, "a letter of %d bytes", len(b))
	if len(b) < 2+hintBytes+2+ed25519.SignatureSize || len(b) > maxLetter || b[0] < version {
		return l, bad
	}
	l.body, l.sig = b[:len(b)-ed25519.SignatureSize], b[len(b)-ed25519.SignatureSize:]
	c := cursor{b: l.body[1:]}
	l.flags, l.hint = c.byte(), c.take(hintBytes)
	l.run, l.seq = c.uint(), c.uint()
	if l.flags&flagKey != 0 {
		if d := c.take(8); d != nil {
			l.dir = binary.BigEndian.Uint64(d)
		}
		l.key = c.take(ed25519.PublicKeySize)
	}
	for !c.bad && len(c.b) > 0 {
		if len(l.payloads) == maxPayloads {
			return l, bad
		}
		l.payloads = append(l.payloads, c.take(c.uint()))
	}
	if c.bad || l.seq == 0 || l.key != nil && !bytes.HasPrefix(l.key, l.hint) {
		return l, bad
	}
	return l, nil
}

// late is how long after the first letter of a run others of the run before may come, in ms. After it two processes must be alive.
const late = 10_000

// OpenLetter checks a letter that came in a node's name at the time now (ms), and returns what is in it, and in which of its
// directories the sender speaks.
func (b *Book) OpenLetter(now int64, from string, msg []byte) (payloads [][]byte, dir uint64, err error) {
	l, err := parseLetter(msg)
	if err != nil {
		return nil, 0, err
	}
	key, dir, err := b.admitLetter(now, from, &l)
	if err != nil {
		return nil, 0, err
	}
	to := b.self
	if l.flags&flagAll != 0 {
		to = ""
	}
	if !verify(key, letterSaid(from, to, l.body), l.sig) {
		return nil, 0, refuse(Forged, "a letter with a signature that is not that of %s", from)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.key != nil {
		if err := b.pin(from, l.dir, l.key, false); err != nil {
			return nil, 0, err
		}
	}
	for _, p := range b.pins[from] {
		if p.Dir != dir || !bytes.Equal(p.Key, key) {
			continue
		}
		if p.window == nil {
			p.window = &window{run: l.run, since: now}
		}
		if !p.window.fresh(l.run, l.seq) {
			return nil, 0, refuse(Replayed, "letter %d of %s, again", l.seq, from)
		}
		p.window.mark(now, l.run, l.seq)
		return l.payloads, dir, nil
	}
	return nil, 0, refuse(UnknownKey, "the key of %s is not known any more", from)
}

// admitLetter is all that can be told of a letter before its signature is checked.
func (b *Book) admitLetter(now int64, from string, l *letter) (ed25519.PublicKey, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var pin *Pin
	for _, p := range b.pins[from] {
		if bytes.HasPrefix(p.Key, l.hint) && (l.key == nil || bytes.Equal(p.Key, l.key) && p.Dir == l.dir) {
			pin = p
		}
	}
	if pin == nil {
		switch {
		case l.key == nil && len(b.pins[from]) > 0:
			return nil, 0, refuse(WrongKey, "a letter of %s with another key than the one that is known of it", from)
		case l.key == nil:
			return nil, 0, refuse(UnknownKey, "a letter of %s, whose key is not known here", from)
		}
		for _, p := range b.pins[from] {
			if p.Dir == l.dir && !p.hearsay {
				return nil, 0, refuse(WrongKey, "a letter of %s in its directory %x with another key than the one that is known of it", from, l.dir)
			}
		}
		pin = &Pin{Dir: l.dir, Key: l.key}
	}
	if b.convicted[[32]byte(pin.Key)] != nil {
		return nil, 0, refuse(Convicted, "%s, whose key is refused for good", from)
	}
	if w := pin.window; w != nil && !w.fresh(l.run, l.seq) {
		if l.run < w.run && now > w.since+late {
			return nil, 0, refuse(TwoLives, "letters of %s from before its last start: two processes on one directory, or a replay", from)
		}
		return nil, 0, refuse(Replayed, "letter %d of %s, again", l.seq, from)
	}
	if err := b.mayCheck(now, from); err != nil {
		return nil, 0, err
	}
	return pin.Key, pin.Dir, nil
}
