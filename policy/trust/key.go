package trust

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds of a list of signers.
const (
	MaxSigners = 16
	MaxName    = 64 // bytes of a signer's name
)

const (
	keyPrefix    = "ed25519:"
	secretPrefix = "swarmpurse-operator-secret:"
)

// Key is an operator's public key.
type Key [ed25519.PublicKeySize]byte

// String is how policies write a key: ed25519: and 64 hexadecimal digits.
func (k Key) String() string { return keyPrefix + hex.EncodeToString(k[:]) }

// ParseKey is the inverse of String.
func ParseKey(s string) (k Key, err error) {
	digits, ok := strings.CutPrefix(s, keyPrefix)
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || len(b) != len(k) {
		return k, errors.New("it is no operator's public key: that is ed25519: and 64 hexadecimal digits, as swarmpurse keys operator prints it")
	}
	return Key(b), nil
}

// IsSecret reports that a text is, or looks like, the secret part of a key, which nobody should be shown.
func IsSecret(s string) bool { return strings.Contains(s, secretPrefix) }

// Signer is a key with the name that records, logs and members call it.
type Signer struct {
	Name string
	Key  Key
}

// Rank is the place of a key in a list of signers, from 0 on; -1 if it is not there.
func Rank(list []Signer, k Key) int {
	return slices.IndexFunc(list, func(s Signer) bool { return s.Key == k })
}

// Secret is an operator's private key.
type Secret struct{ key ed25519.PrivateKey }

// NewSecret draws one from random.
func NewSecret(random io.Reader) (Secret, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Secret{}, fmt.Errorf("no random bytes for an operator's key: %w", err)
	}
	return Secret{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is its public key.
func (s Secret) Public() Key { return Key(s.key.Public().(ed25519.PublicKey)) }

// Text is what the key's file holds: the secret, below a line for people. note is one line.
func (s Secret) Text(note string) string {
	return fmt.Sprintf("# %s\n%s%s\n", note, secretPrefix, hex.EncodeToString(s.key.Seed()))
}

// MaxSecretText bounds the text of a key's file, in bytes.
const MaxSecretText = 4096

// ParseSecret reads what Text gave. Its errors do not quote the text.
func ParseSecret(text string) (Secret, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		digits, ok := strings.CutPrefix(line, secretPrefix)
		seed, err := hex.DecodeString(digits)
		if !ok || err != nil || len(seed) != ed25519.SeedSize {
			break
		}
		return Secret{ed25519.NewKeyFromSeed(seed)}, nil
	}
	return Secret{}, errors.New("it holds no operator's key: make one with swarmpurse keys operator")
}
