package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/swarmpurse/swarmpurse/node/caller"
)

// Audience says who may use a route. Every route has one: a route without stops the server (handle), and a test holds the table of all.
type Audience uint8

const (
	// Public routes say nothing of anybody, and ask for no key: a load balancer has none.
	Public Audience = iota + 1
	// Tenants' routes take a key of any caller, and show and touch what belongs to its tenant only; to operators all.
	Tenants
	// Operators' routes take an operator's key.
	Operators
	// Machine is for whoever is on the node's own machine: not at a door that needs keys, whatever the key.
	Machine
)

func (a Audience) String() string {
	switch a {
	case Public:
		return "public"
	case Tenants:
		return "tenants"
	case Operators:
		return "operators"
	case Machine:
		return "machine"
	}
	return fmt.Sprintf("audience(%d)", uint8(a))
}

// Route is a path with a method ("" for any) and who may use it.
type Route struct {
	Method, Path string
	Audience     Audience
}

// Routes lists all routes of the server.
func (s *Server) Routes() []Route { return s.routes }

// View says whose affairs may be shown.
type View struct {
	All    bool   // everybody's
	Tenant string // else this tenant's
}

// Sees reports whether what belongs to a tenant may be shown; "" is nobody's.
func (v View) Sees(tenant string) bool { return v.All || v.Tenant != "" && v.Tenant == tenant }

// ViewOf is what the caller of a request may see. Without a key, which only a door that needs none lets pass, that is all.
func ViewOf(ctx context.Context) View { return viewOf(caller.From(ctx)) }

func viewOf(c *caller.Caller) View {
	if c == nil || c.Operator {
		return View{All: true}
	}
	return View{Tenant: c.Tenant}
}

// identify finds out who calls, and whether he may use a route; nil for nobody in particular. A caller that is returned
// was let in by his limits, and must Leave.
func (s *Server) identify(r *http.Request, who Audience, now time.Time) (*caller.Caller, error) {
	if who == Public {
		return nil, nil
	}
	needed := locked(r)
	if who == Machine && needed {
		s.metrics.refuse("machine")
		return nil, newError(http.StatusForbidden, ErrCodeHost, "", "%s is served on loopback and Unix sockets only", clip(r.URL.Path, maxEchoLen))
	}
	key, err := caller.KeyOf(r.Header)
	if err != nil {
		s.metrics.refuse("key")
		return nil, newError(http.StatusUnauthorized, ErrCodeKey, "", "%v", err)
	}
	if key == "" {
		if needed {
			s.metrics.refuse("no_key")
			return nil, newError(http.StatusUnauthorized, ErrCodeNoKey, "",
				"this address needs a caller's key: send it as Authorization: Bearer sp_… (or as x-api-key, or X-Swarmpurse-Key); swarmpurse takes it from SWARMPURSE_KEY; an operator makes one with swarmpurse keys caller")
		}
		return nil, nil
	}
	c, err := s.calls.Find(key, now)
	if err == nil {
		err = s.calls.Enter(c, now)
	}
	if err != nil {
		return nil, err
	}
	if (who == Operators || who == Machine) && !c.Operator {
		c.Leave(0)
		return nil, s.forbid("operator", "", "%s is for operators, and caller %q is none: use an operator's key", clip(r.URL.Path, maxEchoLen), c.Name)
	}
	return c, nil
}

// forbid refuses, and counts it.
func (s *Server) forbid(reason, param, format string, args ...any) error {
	s.metrics.refuse(reason)
	return newError(http.StatusForbidden, ErrCodeForbidden, param, format, args...)
}

// whoCalls tells a caller what its key stands for.
func (s *Server) whoCalls(w http.ResponseWriter, r *http.Request) error {
	c := caller.From(r.Context())
	if c == nil {
		return writeJSON(w, http.StatusOK, CallerInfo{Operator: true})
	}
	i := CallerInfo{
		Name: c.Name, Tenant: c.Tenant, Agent: c.Agent, Classes: c.Classes, Operator: c.Operator, Rate: c.Rate(), Concurrency: c.Concurrency,
	}
	if c.Per > 0 {
		i.Burst = c.Burst
	}
	if c.Expires > 0 {
		t := time.UnixMilli(int64(c.Expires)).UTC()
		i.Expires = &t
	}
	return writeJSON(w, http.StatusOK, i)
}

// CallerInfo is what a key stands for; without a name nobody asked for one.
type CallerInfo struct {
	Name        string     `json:"name,omitempty"`
	Tenant      string     `json:"tenant,omitempty"`
	Agent       string     `json:"agent,omitempty"`
	Classes     []string   `json:"classes,omitempty"`
	Operator    bool       `json:"operator"`
	Expires     *time.Time `json:"expires,omitempty"`
	Rate        string     `json:"rate,omitempty"`
	Burst       int64      `json:"burst,omitempty"`
	Concurrency int        `json:"concurrency,omitempty"`
}

// Caller asks what the client's key stands for.
func (c *Client) Caller(ctx context.Context) (CallerInfo, error) {
	var out CallerInfo
	err := c.get(ctx, "/v1/caller", &out)
	return out, err
}
