package api

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// ApplyRequest is a document that is to be adopted: for all calls, or as a candidate that is tried on some.
type ApplyRequest struct {
	Source []byte
	// Whole says that it is for all calls at once, whatever the document's rollout says.
	Whole bool
	// Rollout says how it is tried, by the fields of a document's rollout and of its guard, and goes before what the document says.
	Rollout map[string]string
	Why, By string
	// Signature is an operator's, where trust.signers asks for one.
	Signature *trust.Signature
}

// PolicyAct is the body of POST /v1/policy/{promote,pause,resume,rollback}.
type PolicyAct struct {
	// Revision is the one that the act is meant for: it is refused if it would be about another. 0 for whichever it is.
	Revision int64  `json:"revision,omitempty"`
	Why      string `json:"why,omitempty"`
	By       string `json:"-"`

	Signature *trust.Signature `json:"-"` // of an operator, where trust.signers asks for one
}

// Names of what operators do to a policy, beside applying it.
const (
	Promote  = "promote"
	Pause    = "pause"
	Resume   = "resume"
	RollBack = "rollback"
)

// Trial is a candidate, and what became of the calls of both arms.
type Trial struct {
	Revision int64      `json:"revision"`
	Hash     string     `json:"hash"`
	On       string     `json:"on"` // "10% by agent, bake 10m, guard deny_rate +5%, p99_wait +20%, output_length +20%"
	Since    time.Time  `json:"since"`
	By       string     `json:"by,omitempty"`
	Why      string     `json:"why,omitempty"`
	Until    *time.Time `json:"until,omitempty"`  // when it is promoted by itself, or a shadow is looked at no more
	Paused   *Act       `json:"paused,omitempty"` // by whom, if it is
	// Waits are changes of the document that no canary tries: they take hold when it is promoted.
	Waits []string `json:"waits_for_promotion,omitempty"`
	// Held says why it decides on no calls: it cannot be tried beside the present revision.
	Held      string `json:"held,omitempty"`
	Stable    Arm    `json:"stable"`
	Candidate Arm    `json:"candidate"`
	Nodes     int    `json:"nodes"` // whose counters these are, with their runs before
	// NoPast counts calls of the candidate that are compared with nothing at the node that was asked: nothing is known of the model that they
	// ran with, nor of the one that they named. At most MaxNoPast models, in order of name.
	NoPast []NoPast `json:"no_past,omitempty"`
	// Shadow is there for one that decides on nothing: what it would have decided otherwise. Stable and Candidate are empty then.
	Shadow *Shadow `json:"shadow,omitempty"`
}

// NoPast is one model that calls ran with.
type NoPast struct {
	Model string `json:"model"`
	Calls int64  `json:"calls"`
}

// MaxNoPast bounds Trial.NoPast.
const MaxNoPast = 16

// Shadow is what a revision would have decided otherwise that is evaluated beside the stable one.
type Shadow struct {
	Compared int64 `json:"compared"` // decisions, in the whole swarm, as far as the node that was asked has heard
	Differ   int64 `json:"differ"`
	Stricter int64 `json:"stricter"` // admitted, and would have been refused
	Looser   int64 `json:"looser"`   // refused, and would have been admitted
	// Assumed are those where it needs rights of which the stable decision does not tell whether they were there: it is taken that they were.
	Assumed int64 `json:"assumed"`
	Dropped int64 `json:"dropped"` // decisions that were not compared, as there were too many at once
	// Kinds counts differences by kind: decision, class, rules, draws, amount, model, route, flags.
	Kinds  map[string]int64 `json:"kinds"`
	Nodes  int              `json:"nodes"`            // whose counters these are, with their runs before
	Ended  bool             `json:"ended,omitempty"`  // its time is over
	Recent []ShadowCall     `json:"recent,omitempty"` // of the node that was asked, the newest first
}

// ShadowCall is a decision that a shadow would have made otherwise.
type ShadowCall struct {
	ID          string             `json:"id"`
	At          time.Time          `json:"at"`
	Revision    int64              `json:"revision"` // of the shadow
	Tenant      string             `json:"tenant,omitempty"`
	Agent       string             `json:"agent,omitempty"`
	Model       string             `json:"model,omitempty"`
	Assumed     bool               `json:"assumed,omitempty"`
	Differences []ShadowDifference `json:"differences"`
}

// ShadowDifference is one thing of it.
type ShadowDifference struct {
	What   string `json:"what"` // one of Shadow.Kinds
	Stable string `json:"stable"`
	Shadow string `json:"shadow"`
}

// Arm is what became of the calls of one arm, as far as the node that was asked knows.
type Arm struct {
	Calls    int64   `json:"calls"`
	Refused  int64   `json:"refused"`
	DenyRate float64 `json:"deny_rate"` // 0 to 1
	// P99Wait is the wait that 99 % of the admitted calls did not pass, as a part of their class's latency budget, 0 to 1, rounded
	// up to a step of 0.05.
	P99Wait float64 `json:"p99_wait"`
	// Outputs are the calls that have ended and of which it is known what they put out, beside what is usual for their model; LongRate is
	// the part of them, 0 to 1, that put out more than 95 % of calls of their model used to. Costs and DearRate are the same of what they cost.
	Outputs  int64   `json:"outputs"`
	LongRate float64 `json:"long_rate"`
	Costs    int64   `json:"costs"`
	DearRate float64 `json:"dear_rate"`
}

// Act is a word on a revision.
type Act struct {
	What string    `json:"what"` // candidate, paused, resumed, for all calls, promoted, rolled back
	At   time.Time `json:"at"`
	Node string    `json:"node"` // that was asked
	By   string    `json:"by,omitempty"`
	Why  string    `json:"why,omitempty"`
	On   string    `json:"on,omitempty"` // of a candidate: how it is tried
}

// Revision is what was said of one revision, in the order of time; of what was said again only the last.
type Revision struct {
	Revision int64  `json:"revision"`
	Hash     string `json:"hash"`
	State    string `json:"state"`             // stable, candidate, rolled back, past; waiting if its document is not here
	Refused  string `json:"refused,omitempty"` // of the state refused: why this version cannot use its document
	Acts     []Act  `json:"acts"`
	// Experiments are those that the revision has and no later one, as far as its document is here.
	Experiments []Experiment `json:"experiments,omitempty"`
	Shadow      *Shadow      `json:"shadow,omitempty"` // of one that is, or was, only looked at: without its calls
}

// Experiment is how the arms of an experiment compare, by what all nodes counted that the node which was asked has heard of.
type Experiment struct {
	Name       string          `json:"name"`
	ID         string          `json:"id"` // a hash of its definition: counts go on under revisions that have the same
	By         string          `json:"by"`
	When       string          `json:"when,omitempty"`
	Cost       string          `json:"cost"`       // the token type whose charges are compared
	Nodes      int             `json:"nodes"`      // whose counters these are, with their runs before
	Confidence float64         `json:"confidence"` // the chance that all intervals hold, at whatever time they are looked at
	Arms       []ExperimentArm `json:"arms"`
}

// ExperimentArm is one arm. Means are absent while no call has one.
type ExperimentArm struct {
	Name      string   `json:"name"`
	Does      string   `json:"does"` // what it sets: "model gpt-4o-mini, temperature 0.3"
	Calls     int64    `json:"calls"`
	Refused   int64    `json:"refused"`
	Settled   int64    `json:"settled"`
	Scores    int64    `json:"scores"`               // calls of which their callers said how good the answer was
	Score     *float64 `json:"score,omitempty"`      // 0 to 1
	Cost      *float64 `json:"cost,omitempty"`       // in tokens of the experiment's type
	LatencyMS *float64 `json:"latency_ms,omitempty"` // from admission to settlement
	// Compared and Verdict are of all arms but the first, beside that.
	Compared []Compared `json:"compared,omitempty"`
	Verdict  string     `json:"verdict,omitempty"`
}

// Compared is an arm beside the first by one measure: score, cost, latency (in seconds), refused (the part of calls).
type Compared struct {
	Measure    string   `json:"measure"`
	First      float64  `json:"first"`
	Here       float64  `json:"here"`
	Difference float64  `json:"difference"`
	Low        *float64 `json:"low,omitempty"` // what the true difference lies between; absent while there are too few calls
	High       *float64 `json:"high,omitempty"`
	Verdict    string   `json:"verdict"` // better, worse, no difference seen yet, too few calls yet
}

// History is what the node knows of all revisions, the highest first.
type History struct {
	Revisions []Revision `json:"revisions"`
}

// rolloutFields are the query parameters of PUT /v1/policy that say how a candidate is tried.
var rolloutFields = []string{"canary", "by", "zones", "bake", "deny_rate", "p99_wait", "output_length", "cost", "shadow"}

const maxRolloutField = policy.MaxZones * (policy.MaxName + 1)

// decodeApply reads the query of PUT /v1/policy.
func decodeApply(q url.Values) (r ApplyRequest, err error) {
	for _, name := range slices.Sorted(maps.Keys(q)) {
		v := q[name]
		switch {
		case len(v) != 1:
			return r, badRequest(ErrCodeInvalid, name, "%s is given twice", name)
		case slices.Contains(rolloutFields, name):
			if err := checkLen(name, v[0], maxRolloutField); err != nil {
				return r, err
			}
			if r.Rollout == nil {
				r.Rollout = map[string]string{}
			}
			r.Rollout[name] = v[0]
		case name == "whole":
			if r.Whole, err = strconv.ParseBool(v[0]); err != nil {
				return r, badRequest(ErrCodeInvalid, name, "whole must be true or false")
			}
		case name == "why":
			r.Why = v[0]
		default: // a misspelt canary would be none at all
			return r, badRequest(ErrCodeInvalid, name, "unknown parameter %.64q: send whole, why, %s", name, strings.Join(rolloutFields, ", "))
		}
	}
	if r.Whole && r.Rollout != nil {
		return r, badRequest(ErrCodeInvalid, "whole", "whole and a canary contradict each other: leave one of them out")
	}
	return r, checkLen("why", r.Why, maxWhyLen)
}

// query is the inverse of decodeApply.
func (r *ApplyRequest) query() string {
	q := url.Values{}
	for k, v := range r.Rollout {
		q.Set(k, v)
	}
	if r.Whole {
		q.Set("whole", "true")
	}
	if r.Why != "" {
		q.Set("why", r.Why)
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

func (s *Server) policyAct(what string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		buf := buffers.Get().(*[]byte)
		defer putBuffer(buf)
		var q PolicyAct
		if r.ContentLength != 0 { // a body is no must
			body, err := s.jsonBody(w, r, buf)
			if err != nil {
				return err
			}
			if err := decodeJSON(body, &q); err != nil {
				return err
			}
		}
		if q.Revision < 0 {
			return badRequest(ErrCodeInvalid, "revision", "revision cannot be negative")
		}
		if err := checkLen("why", q.Why, maxWhyLen); err != nil {
			return err
		}
		q.By = by(r)
		var err error
		if q.Signature, err = signatureOf(r); err != nil {
			return err
		}
		p, err := s.node.ActOnPolicy(r.Context(), what, q)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, p)
	}
}

func (s *Server) policyHistory(w http.ResponseWriter, _ *http.Request) error {
	h := s.node.PolicyHistory()
	if h.Revisions == nil {
		h.Revisions = []Revision{}
	}
	return writeJSON(w, http.StatusOK, h)
}

// ApplyPolicy has the node check a document, adopt it or try it, and gossip it.
func (c *Client) ApplyPolicy(ctx context.Context, r ApplyRequest) (Policy, error) {
	var out Policy
	err := c.doSigned(ctx, http.MethodPut, "/v1/policy"+r.query(), "application/yaml", r.Source, r.Signature, &out)
	return out, err
}

// ActOnPolicy has the node promote, pause, resume or roll back a revision.
func (c *Client) ActOnPolicy(ctx context.Context, what string, q PolicyAct) (Policy, error) {
	var out Policy
	err := c.postSigned(ctx, "/v1/policy/"+url.PathEscape(what), q, q.Signature, &out)
	return out, err
}

// PolicyHistory is what the node knows of all revisions.
func (c *Client) PolicyHistory(ctx context.Context) (History, error) {
	var out History
	err := c.get(ctx, "/v1/policy/history", &out)
	return out, err
}
