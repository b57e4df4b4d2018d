package api

import (
	"context"
	"net/http"
)

// Keys is the ring of gossip keys of a swarm, as the HTTP API serves it. Safe for concurrent use.
type Keys interface {
	// GossipKeys asks all members which keys they have. ErrDisabled without encryption, ErrNotReady if some did not answer.
	GossipKeys(ctx context.Context) (GossipKeys, error)
	// ChangeGossipKey takes one step of a rotation at all members, and tells how they stand then. admit.ErrInvalid, ErrDisabled;
	// ErrConflict for a step that would leave some member unable to understand the others, or while one is away; ErrNotReady if some
	// did not answer, after which the same step can be taken again.
	ChangeGossipKey(ctx context.Context, q GossipKeyChange) (GossipKeys, error)
}

// Steps of a rotation. Between them all members understand each other.
const (
	InstallKey = "install" // all may decrypt with it
	UseKey     = "use"     // all encrypt with it
	RemoveKey  = "remove"  // all forget it
)

// GossipKeyChange is the body of POST /v1/gossip/keys.
type GossipKeyChange struct {
	Step string `json:"step"`
	ID   string `json:"id,omitempty"` // of the key; absent with install: a new one is made
	By   string `json:"-"`
}

// GossipKeys is how the members stand. Keys themselves are never told.
type GossipKeys struct {
	ID    string      `json:"id,omitempty"` // of the key that a change was about
	Nodes int         `json:"nodes"`        // that answered: all that are alive
	Away  []string    `json:"away"`         // members that do not answer
	Keys  []GossipKey `json:"keys"`
}

// GossipKey is one key of the ring.
type GossipKey struct {
	ID         string `json:"id"`
	Nodes      int    `json:"nodes"`      // that have it
	Encrypting int    `json:"encrypting"` // that encrypt with it
}

func (s *Server) keyRoutes(k Keys) {
	if k == nil {
		return
	}
	s.handle("/v1/gossip/keys", methods{
		"GET": {Operators, func(w http.ResponseWriter, r *http.Request) error {
			v, err := k.GossipKeys(r.Context())
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, v)
		}},
		"POST": {Operators, func(w http.ResponseWriter, r *http.Request) error {
			buf := buffers.Get().(*[]byte)
			defer putBuffer(buf)
			body, err := s.jsonBody(w, r, buf)
			if err != nil {
				return err
			}
			var q GossipKeyChange
			if err := decodeJSON(body, &q); err != nil {
				return err
			}
			q.By = by(r)
			v, err := k.ChangeGossipKey(r.Context(), q)
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, v)
		}},
	})
}

// GossipKeys asks which keys the members have.
func (c *Client) GossipKeys(ctx context.Context) (GossipKeys, error) {
	var out GossipKeys
	err := c.get(ctx, "/v1/gossip/keys", &out)
	return out, err
}

// ChangeGossipKey takes one step of a rotation.
func (c *Client) ChangeGossipKey(ctx context.Context, q GossipKeyChange) (GossipKeys, error) {
	var out GossipKeys
	err := c.post(ctx, "/v1/gossip/keys", q, &out)
	return out, err
}
