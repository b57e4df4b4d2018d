package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/swarmpurse/swarmpurse/policy/enrol"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// EnrolledNode is a node, by its name and key, and what operators said of it last.
type EnrolledNode struct {
	Node     string `json:"node"`
	Key      string `json:"key"` // ed25519: and 64 hexadecimal digits
	Enrolled bool   `json:"enrolled"`
	Expelled bool   `json:"expelled,omitempty"`
	By       string `json:"by,omitempty"` // the signer
	At       int64  `json:"at,omitempty"` // Unix ms: the next word on it must be later
	Why      string `json:"why,omitempty"`
	Status   string `json:"status,omitempty"` // of the member with that name and key, if there is one
}

// Enrolment is which nodes are enrolled, and those that are not of which the node knows.
type Enrolment struct {
	Required bool           `json:"required"` // by the policy in force
	Nodes    []EnrolledNode `json:"nodes"`
}

// EnrolRequest says that a node belongs to the swarm, or, with Expel, that it does not any more.
type EnrolRequest struct {
	Node      string           `json:"node"`
	Key       string           `json:"key"`
	Expel     bool             `json:"expel,omitempty"`
	Why       string           `json:"why,omitempty"`
	Signature *trust.Signature `json:"-"`
}

// EnrolReceipt is what is in force of that node then.
type EnrolReceipt struct {
	EnrolledNode
	Required bool `json:"required"`
}

func (s *Server) enrolment(w http.ResponseWriter, _ *http.Request) error {
	v := s.node.Enrolment()
	if v.Nodes == nil {
		v.Nodes = []EnrolledNode{}
	}
	return writeJSON(w, http.StatusOK, v)
}

func (s *Server) enrol(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	q, err := decodeEnrol(body)
	if err != nil {
		return err
	}
	if q.Signature, err = signatureOf(r); err != nil {
		return err
	}
	receipt, err := s.node.Enrol(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, receipt)
}

func decodeEnrol(body []byte) (EnrolRequest, error) {
	var q EnrolRequest
	if err := decodeJSON(body, &q); err != nil {
		return q, err
	}
	for _, f := range []struct{ name, value string }{{"node", q.Node}, {"key", q.Key}} {
		if f.value == "" {
			return q, badRequest(ErrCodeMissing, f.name, "%q is missing: name the node and its public key, as GET /v1/enrolment shows them", f.name)
		}
	}
	return q, errors.Join(checkLen("node", q.Node, enrol.MaxNode), checkLen("key", q.Key, 128), checkLen("why", q.Why, enrol.MaxWhy))
}

// Enrolment asks which nodes are enrolled.
func (c *Client) Enrolment(ctx context.Context) (Enrolment, error) {
	var out Enrolment
	err := c.get(ctx, "/v1/enrolment", &out)
	return out, err
}

// Enrol says that a node belongs to the swarm, or does not any more.
func (c *Client) Enrol(ctx context.Context, q EnrolRequest) (EnrolReceipt, error) {
	var out EnrolReceipt
	err := c.postSigned(ctx, "/v1/enrolment", q, q.Signature, &out)
	return out, err
}
