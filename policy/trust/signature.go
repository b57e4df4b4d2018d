package trust

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Header is the HTTP header that carries an operator's signature.
const Header = "Swarmpurse-Signature"

// Lasts is for how long, in ms, a signature of a mint or of a death is taken, before and after its time by the clock of the node that is
// asked: so long the node must remember which it has carried out. Words on revisions do not age: what was said of one once is so.
const Lasts = 10 * 60 * 1000

// Signature is who signed, when, what for, and the signature. The rest of the statement is in the request that it comes with.
type Signature struct {
	By   Key
	At   int64
	From Revision // of words on revisions: the one that was in force
	Sig  [64]byte
}

// String is the header's value.
func (s *Signature) String() string {
	v := fmt.Sprintf("key=%s; at=%d", s.By, s.At)
	if s.From.Number != 0 {
		v += fmt.Sprintf("; from=%d:%x", s.From.Number, s.From.Hash)
	}
	return v + "; sig=" + base64.StdEncoding.EncodeToString(s.Sig[:])
}

// MaxSignature bounds the header's value, in bytes.
const MaxSignature = 512

// ParseSignature is the inverse of String.
func ParseSignature(v string) (*Signature, error) {
	bad := func(what string) error {
		return fmt.Errorf("%s: write key=ed25519:HEX; at=UNIX_MS; from=REVISION:HEX (of words on a policy); sig=BASE64", what)
	}
	if len(v) > MaxSignature {
		return nil, bad(fmt.Sprintf("it has %d bytes, at most %d are allowed", len(v), MaxSignature))
	}
	var s Signature
	seen := map[string]bool{}
	for part := range strings.SplitSeq(v, ";") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || seen[name] {
			return nil, bad("a part of it is no NAME=VALUE, or there twice")
		}
		seen[name] = true
		var err error
		switch name {
		case "key":
			s.By, err = ParseKey(value)
		case "at":
			if s.At, err = strconv.ParseInt(value, 10, 64); err == nil && s.At < 0 {
				err = errors.New("below 0")
			}
		case "from":
			s.From, err = parseRevision(value)
		case "sig":
			var b []byte
			if b, err = base64.StdEncoding.DecodeString(value); err == nil && len(b) != len(s.Sig) {
				err = errors.New("another length")
			}
			copy(s.Sig[:], b)
		default:
			return nil, bad("it has a part that is not known")
		}
		if err != nil {
			return nil, bad(name + " cannot be read")
		}
	}
	if !seen["key"] || !seen["at"] || !seen["sig"] {
		return nil, bad("a part is missing")
	}
	return &s, nil
}

func parseRevision(v string) (r Revision, err error) {
	number, digits, _ := strings.Cut(v, ":")
	if r.Number, err = strconv.ParseInt(number, 10, 64); err != nil || r.Number < 1 {
		return r, errors.New("no revision")
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(r.Hash) {
		return r, errors.New("no hash")
	}
	r.Hash = [32]byte(b)
	return r, nil
}

// New signs a statement and says with what.
func (s Secret) New(x *Statement, from Revision) *Signature {
	return &Signature{By: s.Public(), At: x.At, From: from, Sig: s.Sign(x)}
}
