package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// InstanceID names one instance of a budget, the same on every node: the budget, the values of its
// `per` attributes and a fingerprint, as in "tenant-day/search@1f0c94a2b7e3". The fingerprint covers
// the charter and what makes an instance a new one (supply kind, token type, `per`), so a policy that
// changes one of those gets a fresh instance, and the old one is left to rest. That of an instance which lives only for a while
// says from when to when (InLife), as in "agent-hour/a7@1f0c94a2b7e3.692b8d10-692b9b20".
type InstanceID string

// MaxInstanceIDLen bounds an InstanceID, in bytes.
const MaxInstanceIDLen = 256

// NewInstanceID builds the identity. per and values have the same length. Values may hold any bytes:
// they are path-escaped.
func NewInstanceID(charter CharterID, budget, token string, kind Kind, per, values []string) (InstanceID, error) {
	if len(per) != len(values) {
		panic(fmt.Sprintf("BUG: budget %q has %d per attributes and %d values", budget, len(per), len(values)))
	}
	h := sha256.New()
	str := func(s string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Write(charter[:])
	h.Write([]byte{byte(kind)})
	str(token)
	for _, p := range per {
		str(p)
	}
	var b strings.Builder
	b.WriteString(escape(budget))
	for _, v := range values {
		b.WriteByte('/')
		b.WriteString(escape(v))
	}
	b.WriteByte('@')
	b.WriteString(hex.EncodeToString(h.Sum(nil)[:6]))
	if b.Len() > MaxInstanceIDLen {
		return "", fmt.Errorf("budget %q: the values of %s make a name of %d bytes, at most %d are allowed: use shorter ones",
			budget, strings.Join(per, ", "), b.Len(), MaxInstanceIDLen)
	}
	return InstanceID(b.String()), nil
}

// Split takes an identity apart, but for its life. It is the inverse of NewInstanceID, for identities from peers and
// files too, so it fails on malformed ones.
func (id InstanceID) Split() (budget string, values []string, fingerprint string, err error) {
	bad := func() (string, []string, string, error) {
		return "", nil, "", fmt.Errorf("malformed instance %.64q", string(id))
	}
	path, fp, ok := strings.Cut(string(id), "@")
	fp, _, mortal := strings.Cut(fp, ".")
	if !ok || len(fp) != 12 || len(id) > MaxInstanceIDLen {
		return bad()
	}
	if _, _, lives := id.Life(); lives != mortal {
		return bad()
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		v, err := url.PathUnescape(p)
		// One identity has one spelling: the escaped form must be the one that we would write.
		if err != nil || escape(v) != p {
			return bad()
		}
		parts[i] = v
	}
	if parts[0] == "" {
		return bad()
	}
	return parts[0], parts[1:], fp, nil
}

// Name is the identity without its fingerprint, as people read it: "tenant-day/search".
func (id InstanceID) Name() string {
	name, _, _ := strings.Cut(string(id), "@")
	return name
}

// budget is the budget's name. Names of budgets need no escape.
func (id InstanceID) budget() string {
	name, _, _ := strings.Cut(id.Name(), "/")
	return name
}

// escape is url.PathEscape with '@' escaped too, which ends the path in an InstanceID.
func escape(s string) string { return strings.ReplaceAll(url.PathEscape(s), "@", "%40") }
