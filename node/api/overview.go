package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Viewer is what a node shows of itself to those who watch it. All methods are safe for concurrent use.
type Viewer interface {
	// Overview is all that is worth watching, with at most so many instances of each budget: those nearest to their end, and then
	// those that most is asked of, by name.
	Overview(instances int) Overview
	// Instance is one instance of a budget with its holders, as GET /v1/budgets names it; ErrUnknownBudget if there is none that v sees.
	Instance(name string, v View) (Budget, error)
}

// Overview is the answer of GET /v1/overview, and the event "state" of GET /v1/events.
type Overview struct {
	Status  Status        `json:"status"`
	Budgets []Budget      `json:"budgets"`
	Members []Member      `json:"members"`
	Frozen  []Frozen      `json:"frozen"` // at most MaxFrozenShown, the latest
	Classes []Class       `json:"classes"`
	Policy  PolicyInForce `json:"policy"`
	// LeftOut counts the events of each kind that were too many for those who followed them, since the start.
	LeftOut map[string]uint64 `json:"events_left_out,omitempty"`
}

// PolicyInForce is the policy without its document.
type PolicyInForce struct {
	Revision int64     `json:"revision"`
	Hash     string    `json:"hash"`
	Since    time.Time `json:"since"`
	By       string    `json:"by,omitempty"`
	Trial    *Trial    `json:"candidate,omitempty"`
	Flags    []Flag    `json:"flags,omitempty"` // in the order of the document
}

// Flag says for which calls a flag of the policy in force is on.
type Flag struct {
	Name string  `json:"name"`
	On   float64 `json:"on"`           // the part of the values of By, 0 to 1; at 1 for all calls
	By   string  `json:"by,omitempty"` // tenant, agent, run, model, attributes.NAME
	// Targets are values of By for which it is on anyway, at most MaxTargetsShown; of MoreTargets there is no room.
	Targets     []string `json:"targets,omitempty"`
	MoreTargets int      `json:"more_targets,omitempty"`
}

// MaxTargetsShown bounds Flag.Targets.
const MaxTargetsShown = 10

// Class is how the calls of one class have fared at a node. Counts are since it started: who looks twice knows what
// became of the calls between.
type Class struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"` // calls in the queue now
	Service
	Decisions []Outcome `json:"decisions"`
	// Waits are the calls that had to queue, by how long. The other calls were decided at once.
	Waits []Wait `json:"waits"`
}

// Outcome counts decisions.
type Outcome struct {
	Decision string `json:"decision"`
	Code     string `json:"code"`
	Calls    uint64 `json:"calls"`
}

// Wait counts calls that waited for longer than one time and at most another.
type Wait struct {
	OverMS float64 `json:"over_ms"`
	MostMS float64 `json:"most_ms,omitempty"` // absent in the entry that has no bound
	Calls  uint64  `json:"calls"`
}

const (
	// MaxFrozenShown bounds Overview.Frozen.
	MaxFrozenShown = 100
	// MaxInstancesShown bounds what of a budget an overview may be asked for.
	MaxInstancesShown     = 1000
	defaultInstancesShown = 20
)

func (s *Server) overview(w http.ResponseWriter, r *http.Request) error {
	n := defaultInstancesShown
	if v := r.URL.Query().Get("instances"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 0 || n > MaxInstancesShown {
			return badRequest(ErrCodeInvalid, "instances", "instances is %q: write a number from 0 to %d", clip(v, maxEchoLen), MaxInstancesShown)
		}
	}
	return writeJSON(w, http.StatusOK, s.views.Overview(n))
}

// budget answers GET /v1/budgets/{name}, and of one instance alone with ?instance=.
func (s *Server) budget(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	get := s.node.Budget
	if one := r.URL.Query().Get("instance"); one != "" && s.views != nil {
		name, get = one, s.views.Instance
	}
	b, err := get(name, ViewOf(r.Context()))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, b)
}

// Overview is all that is worth watching at the node, with at most so many instances of each budget.
func (c *Client) Overview(ctx context.Context, instances int) (Overview, error) {
	var out Overview
	err := c.get(ctx, "/v1/overview?instances="+strconv.Itoa(instances), &out)
	return out, err
}

// Instance tells of one instance of a budget, with its holders.
func (c *Client) Instance(ctx context.Context, budget, instance string) (Budget, error) {
	var out Budget
	err := c.get(ctx, "/v1/budgets/"+url.PathEscape(budget)+"?instance="+url.QueryEscape(instance), &out)
	return out, err
}
