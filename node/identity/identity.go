// Package identity holds a node's ed25519 key, which is made with its data directory and stays with it. The audit log signs
// its checkpoints with it.
//
// The key lies in the node's store, not in a file of its own: so it is there whole or not at all after a crash, is checked
// with the rest at every start, and goes with a copy of the directory, as the rest does.
package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Key is a node's private key.
type Key struct {
	name    string
	private ed25519.PrivateKey
}

// Make draws a key for a node from random.
func Make(node string, random io.Reader) (Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Key{}, fmt.Errorf("no random bytes for the node's key: %w", err)
	}
	return Load(node, seed)
}

// Load takes a key up that Seed gave.
func Load(node string, seed []byte) (Key, error) {
	if len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("the node's key has %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	if node == "" {
		return Key{}, errors.New("a key needs a node")
	}
	return Key{Name(node), ed25519.NewKeyFromSeed(seed)}, nil
}

// Seed is what must be kept, and kept secret.
func (k Key) Seed() []byte { return k.private.Seed() }

// Public is the public key.
func (k Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Verifier is the public key as notes write it: NAME+HASH+KEY.
func (k Key) Verifier() string {
	v, err := note.NewEd25519VerifierKey(k.name, k.Public())
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err)) // the key has the right size
	}
	return v
}

// Signer signs notes.
func (k Key) Signer() note.Signer {
	parts := strings.SplitN(k.Verifier(), "+", 3)
	const ed25519Key = 1
	secret := base64.StdEncoding.EncodeToString(append([]byte{ed25519Key}, k.Seed()...))
	s, err := note.NewSigner("PRIVATE+KEY+" + parts[0] + "+" + parts[1] + "+" + secret)
	if err != nil {
		panic(fmt.Sprintf("BUG: %v", err))
	}
	return s
}

// Name is how notes name a node's key and its log: without spaces and plus signs, which notes do not allow.
func Name(node string) string {
	return "swarmpurse/" + strings.ReplaceAll(url.PathEscape(node), "+", "%2B")
}

// Node is the inverse of Name.
func Node(name string) (string, error) {
	s, ok := strings.CutPrefix(name, "swarmpurse/")
	if !ok {
		return "", fmt.Errorf("%.80q is no node's name", name)
	}
	return url.PathUnescape(s)
}

// Private is the private key.
func (k Key) Private() ed25519.PrivateKey { return k.private }
