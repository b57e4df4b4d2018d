package api

import (
	"context"
	"net/http"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Signer is an operator's key with its name.
type Signer struct {
	Name string `json:"name"`
	Key  string `json:"key"` // ed25519: and 64 hexadecimal digits
}

// TrustRevision names a revision; 0 for none.
type TrustRevision struct {
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"` // of its document, in hexadecimal
}

// TrustLink is a revision, and who signs what follows it.
type TrustLink struct {
	TrustRevision
	Signers []Signer `json:"signers"`
}

// Trust is what an operator needs to sign something.
type Trust struct {
	Charter    string `json:"charter"` // of the cluster; "" while it has none: nothing can be signed
	Node       string `json:"node"`
	Generation string `json:"generation"` // of the node: a signed mint is for this one
	Now        int64  `json:"now"`        // the node's clock, Unix ms
	// Signers are those who sign now, one of whom is enough; none: nobody need.
	Signers   []Signer       `json:"signers,omitempty"`
	Stable    TrustRevision  `json:"stable"`
	Candidate *TrustRevision `json:"candidate,omitempty"`
	// Next is the least time that the next word on the candidate must have to count, if it says again what was said.
	Next int64 `json:"next,omitempty"`
	// Chain are the revisions that signatures lead through, by rising number, the one in force last.
	Chain []TrustLink `json:"chain,omitempty"`
}

func (s *Server) trust(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, s.node.Trust())
}

// signatureOf reads the operator's signature of a request; nil if there is none.
func signatureOf(r *http.Request) (*trust.Signature, error) {
	v := r.Header.Values(trust.Header)
	if len(v) == 0 {
		return nil, nil
	}
	if len(v) > 1 {
		return nil, badRequest(ErrCodeInvalid, trust.Header, "%s is there twice", trust.Header)
	}
	sig, err := trust.ParseSignature(v[0])
	if err != nil {
		return nil, badRequest(ErrCodeInvalid, trust.Header, "%s: %v", trust.Header, err)
	}
	return sig, nil
}

// Trust is what an operator needs to sign something at this node.
func (c *Client) Trust(ctx context.Context) (Trust, error) {
	var out Trust
	err := c.get(ctx, "/v1/trust", &out)
	return out, err
}
