package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// AdviceOf is what an answer has its caller do otherwise; nil for nothing.
func AdviceOf(a *admit.Answer) *Advice {
	if a.Advice == nil && a.Upstream == nil && a.Nearest == nil && len(a.Flags) == 0 && a.Experiment == "" {
		return nil
	}
	v := &Advice{Flags: a.Flags, Experiment: a.Experiment, Arm: a.ExperimentArm}
	if x := a.Advice; x != nil {
		v.Model, v.MaxOutputTokens, v.Temperature, v.TopP = x.Model, x.MaxOutputTokens, x.Temperature, x.TopP
	}
	if x := a.Upstream; x != nil {
		v.Upstream = x.Name
	}
	if x := a.Nearest; x != nil {
		v.Node, v.HTTP, v.Zone, v.RTTMS = x.Name, x.HTTP, x.Zone, float64(x.RTT.Microseconds())/1000
	}
	return v
}

// splitData takes apart what a call names as data sets.
func splitData(data []string) (names, digests []string, err error) {
	for i, d := range data {
		name, digest, err := policy.SplitData(d)
		if err != nil {
			return nil, nil, badRequest(ErrCodeInvalid, "data", "%v", err)
		}
		names = append(names, name)
		if digest != "" && digests == nil {
			digests = make([]string, len(data))
		}
		if digests != nil {
			digests[i] = digest
		}
	}
	return names, digests, nil
}

// Lineage is the decisions of one node on calls that named a data set, the newest first.
type Lineage struct {
	Data  string `json:"data"`
	Node  string `json:"node"`
	Total int    `json:"total"` // that are remembered; the list may be shorter
	// Since is from when on all of them are remembered.
	Since     time.Time `json:"since"`
	Decisions []Touch   `json:"decisions"`
}

// Touch is one of them.
type Touch struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Decision string    `json:"decision"`
	Code     string    `json:"code"`
	Tenant   string    `json:"tenant,omitempty"`
	Agent    string    `json:"agent,omitempty"`
	Run      string    `json:"run,omitempty"`
	Class    string    `json:"class,omitempty"`
	Model    string    `json:"model,omitempty"`
	Upstream string    `json:"upstream,omitempty"` // that it was sent to, where the policy routes calls
	Revision int64     `json:"policy_revision"`
	Data     []string  `json:"data"` // all that the call named, with the digests given
}

const (
	defaultTouches = 100
	maxTouches     = 10_000
)

// decisions lists the decisions that touched a data set.
func (s *Server) decisions(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if q.Get("data") == "" {
		return badRequest(ErrCodeMissing, "data", "name a data set, as in /v1/decisions?data=eu/docs, or one decision, as in /v1/decisions/ID")
	}
	name, _, err := policy.SplitData(q.Get("data"))
	if err != nil {
		return badRequest(ErrCodeInvalid, "data", "%v", err)
	}
	limit := defaultTouches
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 || limit > maxTouches {
			return badRequest(ErrCodeRange, "limit", "\"limit\" is %q: it must be a whole number from 1 to %d", clip(v, maxEchoLen), maxTouches)
		}
	}
	return writeJSON(w, http.StatusOK, s.node.Lineage(name, limit, ViewOf(r.Context())))
}

// Lineage lists that node's decisions on calls that named a data set, at most limit of them.
func (c *Client) Lineage(ctx context.Context, data string, limit int) (Lineage, error) {
	var out Lineage
	err := c.get(ctx, "/v1/decisions?"+url.Values{"data": {data}, "limit": {strconv.Itoa(limit)}}.Encode(), &out)
	return out, err
}
