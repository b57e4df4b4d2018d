package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Auditor is the audit log of a node, as the HTTP API serves it. All methods are safe for concurrent use.
type Auditor interface {
	AuditStatus() AuditStatus
	// AuditRecords gives records that a query asks for, oldest first; of more than its limit the latest. ErrDisabled where none are kept.
	AuditRecords(q AuditQuery) ([]AuditRecord, error)
	// Spending adds the log up. ErrDisabled where none is kept.
	Spending(ctx context.Context, q ReportQuery) (Report, error)
	// AuditSightings gives what this node keeps of its peers' logs; of one node's alone if it is named.
	AuditSightings(of string) []AuditSighting
	// AuditArchive writes the log as a tar file that can be verified anywhere. ErrDisabled where none is kept.
	AuditArchive(w io.Writer) error
}

// AuditStatus is how a node's audit log stands.
type AuditStatus struct {
	Node      string `json:"node"`
	On        bool   `json:"on"`        // false: the node has no data directory, or its log could not be opened
	Decisions string `json:"decisions"` // what of calls is in it: all, refusals, none, 5%
	OnFull    string `json:"on_full"`   // drop, refuse
	Key       string `json:"key"`       // of the node, as signed notes write it
	// From and Size are the records that are there: those before From are deleted, but still proved.
	From     int64  `json:"from"`
	Size     int64  `json:"size"`
	Root     string `json:"root,omitempty"`
	Segments int    `json:"segments"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	Dropped  int64  `json:"dropped"`           // records, since the start
	Failing  string `json:"failing,omitempty"` // why the log cannot be written
	// Checkpoint is the last signed head, as a note. Witnesses are the peers that have countersigned one.
	Checkpoint string         `json:"checkpoint,omitempty"`
	Witnesses  []AuditWitness `json:"witnesses"`
	Alarms     []AuditAlarm   `json:"alarms"` // about this log and those of peers
}

// AuditWitness is a peer that keeps checkpoints of this node's log.
type AuditWitness struct {
	Name string    `json:"name"`
	Size int64     `json:"size"` // records that it has countersigned
	At   time.Time `json:"at"`   // when it did
}

// AuditAlarm is something that should not be.
type AuditAlarm struct {
	At   time.Time `json:"at"`
	Of   string    `json:"of"`   // the node whose log it is about
	By   string    `json:"by"`   // who saw it
	Kind string    `json:"kind"` // fork, rollback, forged
	What string    `json:"what"`
}

// AuditSighting is a checkpoint of a peer's log, as a node keeps it.
type AuditSighting struct {
	Of   string    `json:"of"`
	By   string    `json:"by"`
	Key  string    `json:"key"` // of the log, as that node learned it
	Size int64     `json:"size"`
	At   time.Time `json:"at"`   // when the log signed it
	Note string    `json:"note"` // signed by the log and countersigned by the node
}

// AuditQuery says which records are wanted; the zero value is the latest 50.
type AuditQuery struct {
	Limit              int // at most MaxAuditRecords
	From               int64
	Kind               string
	ID, Trace          string
	Tenant, Agent, Run string
	Caller             string // name of a key
	Verdict, Code      string
	Since, Until       time.Time
}

// MaxAuditRecords bounds an answer.
const (
	MaxAuditRecords     = 1000
	defaultAuditRecords = 50
)

// AuditRecord is one entry of an audit log. Fields that do not belong to its kind are absent.
type AuditRecord struct {
	Index int64     `json:"index"`
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`

	ID        string      `json:"id,omitempty"`
	TraceID   string      `json:"trace_id,omitempty"`
	SpanID    string      `json:"span_id,omitempty"`
	Tenant    string      `json:"tenant,omitempty"`
	Agent     string      `json:"agent,omitempty"`
	Run       string      `json:"run,omitempty"`
	Caller    string      `json:"caller,omitempty"` // of a decision: name of the key that the call came with
	Class     string      `json:"class,omitempty"`
	Model     string      `json:"model,omitempty"`
	Data      []string    `json:"data,omitempty"`
	Decision  string      `json:"decision,omitempty"`
	Code      string      `json:"code,omitempty"`
	Reason    string      `json:"reason,omitempty"`
	Rules     []string    `json:"rules,omitempty"`
	Revision  int64       `json:"policy_revision,omitempty"`
	Arm       string      `json:"arm,omitempty"`
	Score     *float64    `json:"score,omitempty"` // of an end: what was said of the answer until then
	WaitedMS  int64       `json:"waited_ms,omitempty"`
	RetryMS   int64       `json:"retry_after_ms,omitempty"`
	Level     int64       `json:"backpressure,omitempty"`
	Draws     []AuditDraw `json:"draws,omitempty"`
	Shared    []Standing  `json:"shared,omitempty"` // see Decision
	Advice    *Advice     `json:"advice,omitempty"`
	Prompt    int64       `json:"prompt_tokens,omitempty"`
	Counted   string      `json:"prompt_counted,omitempty"` // see Decision
	MaxOutput int64       `json:"max_output_tokens,omitempty"`
	State     string      `json:"state,omitempty"`
	Outcome   string      `json:"outcome,omitempty"`
	Usage     *AuditUsage `json:"usage,omitempty"`

	What     string        `json:"what,omitempty"`
	Peer     string        `json:"peer,omitempty"`
	By       string        `json:"by,omitempty"`
	Why      string        `json:"why,omitempty"`
	Instance string        `json:"instance,omitempty"`
	Tokens   ledger.Tokens `json:"tokens,omitempty"`
	Shares   ledger.Shares `json:"shares,omitempty"`
	Hash     string        `json:"hash,omitempty"`
	From     int64         `json:"from_revision,omitempty"`
	Count    int64         `json:"count,omitempty"`
	Upstream string        `json:"upstream,omitempty"`

	Samples []AuditSample `json:"samples,omitempty"`
}

// AuditSample is one series of a metric at the time of its record.
type AuditSample struct {
	Series string  `json:"series"` // as Prometheus writes it
	Value  float64 `json:"value"`
}

// AuditDraw is what one instance held for a call, or was charged at its end.
type AuditDraw struct {
	Instance string        `json:"instance"`
	Token    string        `json:"token"`
	Amount   ledger.Tokens `json:"amount"`
	Price    float64       `json:"price,omitempty"`
	// Before and After are the node's rights around the reservation.
	Before  ledger.Tokens `json:"before,omitempty"`
	After   ledger.Tokens `json:"after,omitempty"`
	Overrun ledger.Tokens `json:"overrun,omitempty"`
}

// AuditUsage is what the provider counted.
type AuditUsage struct {
	Prompt    int64 `json:"prompt_tokens"`
	Output    int64 `json:"completion_tokens"`
	Cached    int64 `json:"cached_tokens,omitempty"`
	Reasoning int64 `json:"reasoning_tokens,omitempty"`
}

// AuditReport is what came of verifying a log.
type AuditReport struct {
	OK       bool            `json:"ok"`
	Node     string          `json:"node"`
	Key      string          `json:"key"`
	From     int64           `json:"from"`
	Size     int64           `json:"size"`
	Root     string          `json:"root"`
	At       time.Time       `json:"at"` // of the last checkpoint
	Segments int             `json:"segments"`
	Bytes    int64           `json:"bytes"`
	Heads    int             `json:"checkpoints"` // signed ones in the log, all checked
	Problems []AuditProblem  `json:"problems"`
	Peers    []AuditCompared `json:"peers"`
}

// AuditProblem is one thing that is not as it was signed.
type AuditProblem struct {
	Record int64  `json:"record"` // the first record that it may be about, and
	Last   int64  `json:"last"`   // the last one; the same where it is known exactly
	What   string `json:"what"`
}

// AuditCompared is what came of a peer's checkpoint.
type AuditCompared struct {
	By      string    `json:"by"`
	Size    int64     `json:"size"`
	At      time.Time `json:"at"`
	Verdict string    `json:"verdict"` // proved, changed, cut off, too old, foreign, forged, unknown
}

type (
	auditRecords struct {
		Records []AuditRecord `json:"records"`
	}
	auditSightings struct {
		Checkpoints []AuditSighting `json:"checkpoints"`
	}
)

func (s *Server) auditRoutes(a Auditor) {
	if a == nil {
		return
	}
	s.reportRoute(a)
	s.handle("/v1/audit", methods{"GET": {Operators, func(w http.ResponseWriter, r *http.Request) error {
		return writeJSON(w, http.StatusOK, a.AuditStatus())
	}}})
	s.handle("/v1/audit/records", methods{"GET": {Tenants, func(w http.ResponseWriter, r *http.Request) error {
		q, err := auditQuery(r.URL.Query())
		if err != nil {
			return err
		}
		if v := ViewOf(r.Context()); !v.All {
			if q.Tenant != "" && q.Tenant != v.Tenant {
				return s.forbid("tenant", "tenant", "this key sees the records of tenant %q only", v.Tenant)
			}
			q.Tenant = v.Tenant
		}
		list, err := a.AuditRecords(q)
		if err != nil {
			return err
		}
		if list == nil {
			list = []AuditRecord{}
		}
		return writeJSON(w, http.StatusOK, auditRecords{list})
	}}})
	s.handle("/v1/audit/checkpoints", methods{"GET": {Operators, func(w http.ResponseWriter, r *http.Request) error {
		list := a.AuditSightings(r.URL.Query().Get("of"))
		if list == nil {
			list = []AuditSighting{}
		}
		return writeJSON(w, http.StatusOK, auditSightings{list})
	}}})
	s.handle("/v1/audit/archive", methods{"GET": {Operators, func(w http.ResponseWriter, r *http.Request) error {
		lazy := &lazyBody{w: w}
		if err := a.AuditArchive(lazy); err != nil {
			return err // after its first bytes this cuts the connection
		}
		return nil
	}}})
}

// lazyBody names the media type when the first byte is there: an error before it can still be told.
type lazyBody struct {
	w    http.ResponseWriter
	some bool
}

func (l *lazyBody) Write(p []byte) (int, error) {
	if !l.some {
		l.some = true
		l.w.Header().Set("Content-Type", "application/x-tar")
	}
	return l.w.Write(p)
}

func auditQuery(v url.Values) (q AuditQuery, err error) {
	q = AuditQuery{
		Limit: defaultAuditRecords, Kind: v.Get("kind"), ID: v.Get("id"), Trace: v.Get("trace"), Tenant: v.Get("tenant"), Agent: v.Get("agent"),
		Run: v.Get("run"), Verdict: v.Get("decision"), Code: v.Get("code"), Caller: v.Get("caller"),
	}
	number := func(name string, to *int64, most int64) {
		if s := v.Get(name); s != "" && err == nil {
			n, perr := strconv.ParseInt(s, 10, 64)
			if perr != nil || n < 0 || n > most {
				err = badRequest(ErrCodeRange, name, "%q is %q: write a number from 0 to %d", name, clip(s, maxEchoLen), most)
			}
			*to = n
		}
	}
	limit := int64(q.Limit)
	number("limit", &limit, MaxAuditRecords)
	number("from", &q.From, 1<<56)
	q.Limit = int(limit)
	if err == nil {
		err = times(v, &q.Since, &q.Until)
	}
	return q, err
}

func (q *AuditQuery) values() url.Values {
	v := url.Values{}
	for name, s := range map[string]string{
		"kind": q.Kind, "id": q.ID, "trace": q.Trace, "tenant": q.Tenant, "agent": q.Agent, "run": q.Run, "decision": q.Verdict, "code": q.Code, "caller": q.Caller,
	} {
		if s != "" {
			v.Set(name, s)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.From > 0 {
		v.Set("from", strconv.FormatInt(q.From, 10))
	}
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	return v
}

// AuditStatus tells how the node's audit log stands.
func (c *Client) AuditStatus(ctx context.Context) (AuditStatus, error) {
	var out AuditStatus
	err := c.get(ctx, "/v1/audit", &out)
	return out, err
}

// AuditRecords reads records of the node's audit log.
func (c *Client) AuditRecords(ctx context.Context, q AuditQuery) ([]AuditRecord, error) {
	var out auditRecords
	err := c.get(ctx, "/v1/audit/records?"+q.values().Encode(), &out)
	return out.Records, err
}

// AuditSightings reads what the node keeps of its peers' logs.
func (c *Client) AuditSightings(ctx context.Context, of string) ([]AuditSighting, error) {
	var out auditSightings
	err := c.get(ctx, "/v1/audit/checkpoints?"+url.Values{"of": {of}}.Encode(), &out)
	return out.Checkpoints, err
}

// AuditArchive reads the node's audit log as a tar file; take is given it as it comes.
func (c *Client) AuditArchive(ctx context.Context, take func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/v1/audit/archive", nil)
	if err != nil {
		return fmt.Errorf("node %s: %w", c.node, err)
	}
	resp, err := c.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return &UnreachableError{Node: c.node, Err: err}
		}
		return c.readError(resp, data)
	}
	return take(resp.Body)
}

// Metrics reads the node's metrics, in the text form of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", c.node, err)
	}
	resp, err := c.send(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &UnreachableError{Node: c.node, Err: err}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.readError(resp, data)
	}
	return data, nil
}
