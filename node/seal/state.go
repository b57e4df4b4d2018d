package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
)

// The seal of a push/pull is a part of it beside others:
//
//	version, directory, key, run, number, length and name, signature
//
// What is signed is a hash of all other parts with it. Nodes of versions without signatures pass it over.

func stateSaid(body []byte, parts [][]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return said("swarmpurse state 1\n", body, h.Sum(nil))
}

// State seals the parts of a push/pull.
func (s *Signer) State(parts [][]byte) []byte {
	b := append(make([]byte, 0, LetterBytes+len(s.name)), version)
	b = binary.BigEndian.AppendUint64(b, s.pin.Dir)
	b = append(b, s.pin.Key...)
	b = binary.AppendUvarint(b, s.run)
	b = binary.AppendUvarint(b, s.seq.Add(1))
	b = binary.AppendUvarint(b, uint64(len(s.name)))
	b = append(b, s.name...)
	return append(b, ed25519.Sign(s.key, stateSaid(b, parts))...)
}

// OpenState checks the seal of a push/pull, whose other parts are parts, and returns who sent it.
func (b *Book) OpenState(now int64, msg []byte, parts [][]byte) (from string, dir uint64, err error) {
	const least = 1 + 8 + ed25519.PublicKeySize + 3 + ed25519.SignatureSize
	if len(msg) < least || msg[0] < version {
		return "", 0, refuse(Malformed, "a seal of %d bytes", len(msg))
	}
	body, sig := msg[:len(msg)-ed25519.SignatureSize], msg[len(msg)-ed25519.SignatureSize:]
	c := cursor{b: body[1:]}
	l := letter{dir: binary.BigEndian.Uint64(c.take(8)), key: c.take(ed25519.PublicKeySize)}
	l.hint = l.key[:hintBytes]
	l.run, l.seq = c.uint(), c.uint()
	from = string(c.take(c.uint()))
	if c.bad || from == "" || len(from) > maxName {
		return "", 0, refuse(Malformed, "a seal of %d bytes", len(msg))
	}
	if _, _, err := b.admitLetter(now, from, &l); err != nil {
		return "", 0, err
	}
	if !verify(l.key, stateSaid(body, parts), sig) {
		return "", 0, refuse(Forged, "the state of a push/pull with a signature that is not that of %s", from)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.pin(from, l.dir, l.key, false); err != nil {
		return "", 0, err
	}
	for _, p := range b.pins[from] {
		if p.Dir == l.dir {
			if p.window == nil {
				p.window = &window{run: l.run, since: now}
			}
			if !p.window.fresh(l.run, l.seq) {
				return "", 0, refuse(Replayed, "state %d of %s, again", l.seq, from)
			}
			p.window.mark(now, l.run, l.seq)
		}
	}
	return from, l.dir, nil
}

const maxName = 128
