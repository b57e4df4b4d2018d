package caller

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Header is where a key may stand if Authorization holds a provider's own.
const Header = "X-Swarmpurse-Key"

// places are the headers that may hold a key, as clients of OpenAI, of Anthropic and of Azure send theirs.
var places = [...]string{Header, "Authorization", "X-Api-Key", "Api-Key"}

// ErrTwo says that a request carries more than one key.
var ErrTwo = errors.New("the request carries two different keys: send one")

// KeyOf finds the key that a request carries; "" if it has none. It allocates nothing.
func KeyOf(h http.Header) (string, error) {
	found := ""
	for _, name := range places {
		for _, v := range h[name] {
			key := token(v)
			if !strings.HasPrefix(key, policy.KeyPrefix) && name != Header {
				continue // a provider's own, or a placeholder
			}
			if found != "" && found != key {
				return "", ErrTwo
			}
			found = key
		}
	}
	return found, nil
}

// token is what follows the scheme, if there is one.
func token(v string) string {
	const scheme = "bearer"
	v = strings.TrimSpace(v)
	if len(v) > len(scheme) && v[len(scheme)] == ' ' && strings.EqualFold(v[:len(scheme)], scheme) {
		return strings.TrimSpace(v[len(scheme):])
	}
	return v
}

// Strip takes keys out of a header that is to go to somebody else. Other values stay.
func Strip(h http.Header) {
	for _, name := range places {
		kept := h[name][:0:0]
		for _, v := range h[name] {
			if name != Header && !strings.HasPrefix(token(v), policy.KeyPrefix) {
				kept = append(kept, v)
			}
		}
		if len(kept) == 0 {
			delete(h, name)
		} else if len(kept) < len(h[name]) {
			h[name] = kept
		}
	}
}

// NewKey makes a key: 256 bits of chance. A key is not chosen by people, so what is kept of it needs no slow hash: nobody guesses it,
// and a slow one would be work that whoever sends wrong keys makes us do.
func NewKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return policy.KeyPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Hash is what the policy holds of a key.
func Hash(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

type contextKey struct{}

// With has a request's context know who calls.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From is who calls; nil if no key was needed and none was sent.
func From(ctx context.Context) *Caller {
	c, _ := ctx.Value(contextKey{}).(*Caller)
	return c
}
