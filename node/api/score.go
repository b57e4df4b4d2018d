package api

import (
	"context"
	"net/http"

	"github.com/swarmpurse/swarmpurse/node/caller"
)

// ScoreRequest is the body of POST /v1/score: how good the answer to an admitted call was. It may come before the call is settled, and after, as
// with calls through the proxy, which settles them itself.
type ScoreRequest struct {
	ID    string  `json:"id"`
	Score float64 `json:"score"` // 0 to 1
}

// ScoreReceipt is the answer to POST /v1/score.
type ScoreReceipt struct {
	ID       string  `json:"id"`
	Score    float64 `json:"score"`    // that counts: the first
	Repeated bool    `json:"repeated"` // there was one already
}

func decodeScore(body []byte) (q ScoreRequest, err error) {
	var b struct {
		ID    string   `json:"id"`
		Score *float64 `json:"score"`
	}
	if err := decodeJSON(body, &b); err != nil {
		return q, err
	}
	if err := checkID("id", b.ID); err != nil {
		return q, err
	}
	if b.Score == nil {
		return q, badRequest(ErrCodeMissing, "score", `"score" is missing: send a number from 0 to 1`)
	}
	return ScoreRequest{b.ID, *b.Score}, checkScore(*b.Score)
}

func checkScore(v float64) error {
	if !(v >= 0 && v <= 1) {
		return badRequest(ErrCodeRange, "score", `"score" is %g: it must be from 0 to 1`, v)
	}
	return nil
}

func (s *Server) score(w http.ResponseWriter, r *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	body, err := s.jsonBody(w, r, buf)
	if err != nil {
		return err
	}
	q, err := decodeScore(body)
	if err != nil {
		return err
	}
	if err := s.calls.Own(caller.From(r.Context()), q.ID); err != nil {
		return err
	}
	kept, repeated, err := s.node.Score(q.ID, q.Score)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, ScoreReceipt{q.ID, kept, repeated})
}

// Score says how good the answer to an admitted call was.
func (c *Client) Score(ctx context.Context, id string, score float64) (ScoreReceipt, error) {
	var out ScoreReceipt
	err := c.post(ctx, "/v1/score", ScoreRequest{id, score}, &out)
	return out, err
}
