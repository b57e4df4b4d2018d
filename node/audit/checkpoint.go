package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxNote bounds a signed checkpoint with the signatures of its witnesses, in bytes.
const MaxNote = 4 << 10

// Checkpoint is the head of a log at one moment: how many records, and the hash of all of them.
type Checkpoint struct {
	Origin string // the name of the key that signs the log, see identity.Name
	Size   int64
	Root   tlog.Hash
	At     int64 // Unix ms
}

// text is what is signed: the lines of a C2SP tlog-checkpoint, with the time as an extension line.
func (c *Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\nat %s\n", c.Origin, c.Size, c.Root, time.UnixMilli(c.At).UTC().Format(stamp))
}

const stamp = "2006-01-02T15:04:05.000Z"

// Sign makes the signed note of a checkpoint.
func (c *Checkpoint) Sign(s note.Signer) ([]byte, error) {
	return note.Sign(&note.Note{Text: c.text()}, s)
}

// ErrSignature says that a checkpoint is not signed by the log that it is of.
var ErrSignature = errors.New("the checkpoint is not signed by its log's key")

// OpenCheckpoint checks the signature of a log, and reads what it says. verifier is the log's key, as identity.Key.Verifier
// writes it. Signatures of others are not looked at.
func OpenCheckpoint(msg []byte, verifier string) (Checkpoint, error) {
	if len(msg) > MaxNote {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint of %d bytes, at most %d are allowed", ErrMalformed, len(msg), MaxNote)
	}
	v, err := newVerifier(verifier)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %.80q is no key: %w", ErrMalformed, verifier, err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	c, err := parseCheckpoint(n.Text)
	if err == nil && c.Origin != v.Name() {
		err = fmt.Errorf("%w: it is of %.80q and signed by %.80q", ErrSignature, c.Origin, v.Name())
	}
	return c, err
}

func parseCheckpoint(s string) (Checkpoint, error) {
	lines := strings.Split(s, "\n")
	bad := func(what string) (Checkpoint, error) {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint whose %s is wrong", ErrMalformed, what)
	}
	if len(lines) < 5 || lines[0] == "" {
		return bad("form")
	}
	c := Checkpoint{Origin: lines[0]}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || c.Size > maxSize {
		return bad("size")
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return bad("root")
	}
	at, err := time.Parse("at "+stamp, lines[3])
	if err != nil {
		return bad("time")
	}
	c.At = at.UnixMilli()
	// More lines are a newer version's; ours have one spelling.
	if len(lines) == 5 && c.text() != s {
		return bad("spelling")
	}
	return c, nil
}

// maxSize keeps what is computed of sizes from overflowing.
const maxSize = 1 << 56

// newVerifier reads a public key as identity.Key.Verifier writes it. A key has one spelling: of two, one could pass for another's.
func newVerifier(s string) (note.Verifier, error) {
	v, err := note.NewVerifier(s)
	if err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(s, "+", 3)[2])
	if err != nil {
		return nil, err
	}
	if one, err := note.NewEd25519VerifierKey(v.Name(), key[1:]); err != nil || one != s { // key has its algorithm in front
		return nil, errors.New("a public key is not spelled as it should be")
	}
	return v, nil
}

// Cosign adds a witness's signature to a checkpoint that it has checked.
func Cosign(msg []byte, verifier string, s note.Signer) ([]byte, error) {
	v, err := newVerifier(verifier)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = nil
	return note.Sign(n, s)
}

// Cosigners returns who has signed a checkpoint beside its log: those of whom keys has a verifier, by the names of their keys.
func Cosigners(msg []byte, verifier string, keys []string) []string {
	var vs []note.Verifier
	for _, k := range append([]string{verifier}, keys...) {
		if v, err := newVerifier(k); err == nil {
			vs = append(vs, v)
		}
	}
	n, err := note.Open(msg, note.VerifierList(vs...))
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range n.Sigs {
		if !strings.HasPrefix(verifier, fmt.Sprintf("%s+%08x+", s.Name, s.Hash)) {
			names = append(names, s.Name)
		}
	}
	return names
}
