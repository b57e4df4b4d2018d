package rls

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	gstatus "google.golang.org/grpc/status"

	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Keys come as metadata, by the names of HTTP. A tenant's key fixes what descriptors may name; an operator's is for an Envoy that
// stands before many tenants, and leaves it to them. Health and reflection say nothing of anybody, and ask for no key.

// keyNames are those of caller.KeyOf, as metadata has them.
var keyNames = []string{"authorization", "x-api-key", "api-key", "x-swarmpurse-key"}

func keyOf(ctx context.Context) (string, error) {
	var h http.Header
	for _, name := range keyNames {
		for _, v := range metadata.ValueFromIncomingContext(ctx, name) {
			if h == nil {
				h = http.Header{}
			}
			h.Add(name, v)
		}
	}
	if h == nil {
		return "", nil
	}
	return caller.KeyOf(h)
}

// identify finds out whose key a request came with; nil for none, where none is needed. A caller that is returned was let in by his
// limits, and must Leave.
func (s *Server) identify(ctx context.Context, now time.Time) (*caller.Caller, error) {
	key, err := keyOf(ctx)
	switch {
	case err != nil:
		return nil, gstatus.Error(codes.Unauthenticated, err.Error())
	case key == "" && s.locked:
		return nil, gstatus.Error(codes.Unauthenticated, "this address needs a caller's key: have Envoy send it by initial_metadata of grpc_service, as authorization: Bearer sp_…; an operator makes one with swarmpurse keys caller")
	case key == "":
		return nil, nil
	}
	c, err := s.callers().Find(key, now)
	if err != nil {
		return nil, gstatus.Error(codes.Unauthenticated, err.Error())
	}
	if limit, wait := c.Enter(now); limit != caller.None {
		return nil, gstatus.Errorf(codes.ResourceExhausted, "caller %q has reached its limit at this node: retry in %v", c.Name, wait.Round(time.Millisecond))
	}
	return c, nil
}

// fix makes the call of a descriptor that of the key.
func fix(c *caller.Caller, call *policy.Call) error {
	if c == nil || c.Operator && c.Tenant == "" {
		return nil
	}
	var f *caller.Forbidden
	if err := c.Fix(call); errors.As(err, &f) {
		return f
	}
	return nil
}
