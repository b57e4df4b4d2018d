package seal

import (
	"crypto/ed25519"
	"encoding/binary"
)

// A start is
//
//	version, directory, run, run before, word, word heard, length and name, signature
//
// What starts on a directory writes its run there before it says anything. So whoever lives, and hears of a start on its directory that is neither its own nor
// from before it, has been copied: it signs that it has heard the word of that start, which nobody can know before. Of two starts alone nothing
// follows: an older copy of the directory may have been put back after the first had ended.

// Start is what a node says of its own start. It is not changed once made.
type Start struct {
	Node string
	Dir  uint64
	// Run is higher at each start; Before is that of the start before it on the same directory, 0 at its first.
	Run, Before uint64
	// Word is drawn at the start, and is not 0. Heard is that of a later start, heard of while this one goes on; 0: there is none.
	Word, Heard uint64

	raw, said, sig []byte
}

// Start signs that the signer's run follows the one before on its directory. word was drawn at random at this start; heard is the word of
// another start that the signer has heard of, or 0.
func (s *Signer) Start(before, word, heard uint64) *Start {
	b := []byte{version}
	b = binary.BigEndian.AppendUint64(b, s.pin.Dir)
	b = binary.AppendUvarint(b, s.run)
	b = binary.AppendUvarint(b, before)
	b = binary.BigEndian.AppendUint64(b, word)
	b = binary.BigEndian.AppendUint64(b, heard)
	b = binary.AppendUvarint(b, uint64(len(s.name)))
	b = append(b, s.name...)
	x := &Start{Node: s.name, Dir: s.pin.Dir, Run: s.run, Before: before, Word: word, Heard: heard, said: startSaid(b)}
	x.sig = ed25519.Sign(s.key, x.said)
	x.raw = append(b, x.sig...)
	return x
}

func startSaid(body []byte) []byte { return said("swarmpurse start 1\n", body) }

// Encode is the inverse of ParseStart. The caller must not change it.
func (s *Start) Encode() []byte { return s.raw }

// ParseStart reads a start. Its signature is not checked.
func ParseStart(msg []byte) (*Start, error) {
	const least = 1 + 8 + 2 + 16 + 2 + ed25519.SignatureSize
	if len(msg) < least || len(msg) > least+2*binary.MaxVarintLen64+maxName || msg[0] < version {
		return nil, refuse(Malformed, "a start of %d bytes", len(msg))
	}
	body, sig := msg[:len(msg)-ed25519.SignatureSize], msg[len(msg)-ed25519.SignatureSize:]
	c := cursor{b: body[1:]}
	s := &Start{raw: msg, said: startSaid(body), sig: sig}
	s.Dir = binary.BigEndian.Uint64(c.take(8))
	s.Run, s.Before = c.uint(), c.uint()
	if words := c.take(16); words != nil {
		s.Word, s.Heard = binary.BigEndian.Uint64(words), binary.BigEndian.Uint64(words[8:])
	}
	s.Node = string(c.take(c.uint()))
	if c.bad || s.Node == "" || len(s.Node) > maxName || s.Dir == 0 || s.Word == 0 || s.Before >= s.Run {
		return nil, refuse(Malformed, "a start of %d bytes", len(msg))
	}
	return s, nil
}

// outlives reports whether x shows that its process goes on after another, y's, has begun on a copy of its directory.
func outlives(x, y *Start) bool {
	// Those before it on the directory have runs up to Before: what is heard of one of them is a replay.
	return x.Node == y.Node && x.Dir == y.Dir && x.Word != y.Word && x.Heard == y.Word && y.Run > x.Before
}

// Outlived is the proof that the signer's process, whose start is own, goes on after another has begun on a copy of its directory; nil if the other one is
// its own, or was before it.
func (s *Signer) Outlived(own, other *Start) *Proof {
	x := s.Start(own.Before, own.Word, other.Word)
	if !outlives(x, other) {
		return nil
	}
	return &Proof{Holder: holder{Node: x.Node, Gen: x.Dir}, starts: [2]*Start{x, other}}
}

// OpenStart checks what a node says of its start, at the time now (ms).
func (b *Book) OpenStart(now int64, msg []byte) (*Start, error) {
	s, err := ParseStart(msg)
	if err != nil {
		return nil, err
	}
	key, err := b.keyOfStart(now, s)
	if err != nil {
		return nil, err
	}
	if !verify(key, s.said, s.sig) {
		return nil, refuse(Forged, "a start of %s with a signature that is not its", s.Node)
	}
	return s, nil
}

func (b *Book) keyOfStart(now int64, s *Start) (ed25519.PublicKey, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pins[s.Node] {
		if p.Dir != s.Dir {
			continue
		}
		if b.convicted[[32]byte(p.Key)] != nil {
			return nil, refuse(Convicted, "a start of %s, whose key is refused for good", s.Node)
		}
		return p.Key, b.mayCheck(now, s.Node)
	}
	return nil, refuse(UnknownKey, "a start of %s in its directory %x, whose key is not known here", s.Node, s.Dir)
}
