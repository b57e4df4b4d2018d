package seal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
)

// Pin is a key and the directory, by the generation with which it began, that it was made with.
type Pin struct {
	Dir uint64
	Key ed25519.PublicKey

	hearsay bool // told by a third node: whoever shows that it has the private key is believed more
	window  *window
}

const (
	maxNames = 1 << 16 // nodes whose keys are known
	maxDirs  = 4       // directories of one name; those that began last are kept
)

// Tag is a key as a member tells it of itself.
func Tag(k ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(k) }

// ParseTag is the inverse of Tag: base64 has several spellings for one key, of which it takes that one.
func ParseTag(s string) (ed25519.PublicKey, error) {
	k, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(k) != ed25519.PublicKeySize || Tag(k) != s {
		return nil, fmt.Errorf("%.64q is no key", s)
	}
	return k, nil
}

// Meet takes note of a key that a node tells of itself (its tags). The error is a Refusal with WrongKey if another one is known.
func (b *Book) Meet(name string, dir uint64, key ed25519.PublicKey) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pin(name, dir, key, false)
}

// Hearsay takes note of a key that a third node tells of. It never goes against what is known, and of this node's own name it says
// something of earlier directories only.
func (b *Book) Hearsay(name string, dir uint64, key ed25519.PublicKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if name == b.self {
		own := b.pins[name]
		if len(own) == 0 || dir >= own[len(own)-1].Dir {
			return
		}
	}
	_ = b.pin(name, dir, key, true)
}

// pin must be called under mu.
func (b *Book) pin(name string, dir uint64, key ed25519.PublicKey, hearsay bool) error {
	if dir == 0 || len(key) != ed25519.PublicKeySize {
		return refuse(Malformed, "a key of %d bytes of directory %x", len(key), dir)
	}
	if b.convicted[[32]byte(key)] != nil {
		return refuse(Convicted, "%s has a key that is refused for good", name)
	}
	pins := b.pins[name]
	at := len(pins)
	for i, p := range pins {
		if p.Dir == dir {
			switch {
			case bytes.Equal(p.Key, key):
				p.hearsay = p.hearsay && hearsay
				return nil
			case p.hearsay && !hearsay:
				p.Key, p.hearsay, p.window = key, false, nil
				return nil
			}
			return refuse(WrongKey, "%s in its directory %x has another key than the one that is known of it", name, dir)
		}
		if dir < p.Dir {
			at = min(at, i)
		}
	}
	if len(pins) == 0 && len(b.pins) >= maxNames {
		return refuse(UnknownKey, "the keys of %d nodes are known: no more are kept", maxNames)
	}
	if len(pins) >= maxDirs {
		if at == 0 || hearsay {
			return refuse(UnknownKey, "newer directories of %s are known", name)
		}
		pins = pins[1:]
		at--
	}
	list := make([]*Pin, 0, len(pins)+1)
	list = append(list, pins[:at]...)
	list = append(list, &Pin{Dir: dir, Key: key, hearsay: hearsay})
	b.pins[name] = append(list, pins[at:]...)
	return nil
}

// Signs reports whether a node is known to sign what it says.
func (b *Book) Signs(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pins[name]) > 0
}

// KeyOf is the key with which a node in a generation signs: that of the directory which began last up to it.
func (b *Book) KeyOf(name string, gen uint64) (Pin, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.keyOf(name, gen); p != nil {
		return *p, true
	}
	return Pin{}, false
}

func (b *Book) keyOf(name string, gen uint64) (best *Pin) {
	for _, p := range b.pins[name] {
		if p.Dir <= gen {
			best = p
		}
	}
	return best
}

// Speaks checks that a node in one of its directories may say something as a generation of it.
func (b *Book) Speaks(name string, dir, gen uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.keyOf(name, gen); p == nil || p.Dir != dir {
		return refuse(NotTheirs, "%s with its directory %x speaks as generation %x", name, dir, gen)
	}
	return nil
}

// Pins are the keys that nodes have told of themselves, by node; of its own node too.
func (b *Book) Pins() map[string][]ed25519.PublicKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make(map[string][]ed25519.PublicKey, len(b.pins))
	for name, pins := range b.pins {
		for _, p := range pins {
			if !p.hearsay {
				list[name] = append(list[name], p.Key)
			}
		}
	}
	return list
}

// Sizes are how many nodes' keys are known, and how many keys are refused for good.
func (b *Book) Sizes() (nodes, convicted int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pins), len(b.convicted)
}
