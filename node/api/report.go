package api

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// ReportQuery says what a report adds up.
type ReportQuery struct {
	Since, Until time.Time // calls that ended then; zero: all that the log has
	By           []string  // of ReportFields, in their order
	Tenant       string    // "" for all
}

// ReportFields is what calls can be added up by. Days are those of UTC.
var ReportFields = []string{"day", "tenant", "agent", "model"}

// MaxReportRows bounds a report. Calls of what comes later are added up in one row of the name [ReportOther].
const (
	MaxReportRows = 10_000
	ReportOther   = "(other)"
)

// Report is what calls of one node, or of several, were charged, by the audit log.
type Report struct {
	Nodes []ReportNode `json:"nodes"`
	By    []string     `json:"by"`
	Rows  []ReportRow  `json:"rows"`
	// Truncated says that there were more rows than MaxReportRows.
	Truncated bool `json:"truncated,omitempty"`
}

// ReportNode is a node whose log is in a report, and what may be missing there.
type ReportNode struct {
	Name string `json:"node"`
	// From is the time of the oldest record: what was before is deleted, or before the node began.
	From time.Time `json:"from"`
	// Missing counts the records, of any kind, that could not be written.
	Missing int64 `json:"missing"`
	// Decisions says what of calls the policy now has in the log. With less than all of them the figures are of those in the log, and not scaled.
	Decisions string `json:"decisions"`
}

// ReportRow adds up calls. Fields that By does not name are empty.
type ReportRow struct {
	Day    string `json:"day,omitempty"`
	Tenant string `json:"tenant,omitempty"`
	Agent  string `json:"agent,omitempty"`
	Model  string `json:"model,omitempty"`

	Calls   int64 `json:"calls"`   // that had a reservation which ended: settled, released or expired
	Refused int64 `json:"refused"` // deferred or denied; a call that comes back and is refused again counts each time

	Prompt    int64 `json:"prompt_tokens"` // as providers counted them, of calls whose usage was told
	Output    int64 `json:"output_tokens"`
	Cached    int64 `json:"cached_tokens,omitempty"`    // of Prompt
	Reasoning int64 `json:"reasoning_tokens,omitempty"` // of Output

	Charged []ReportCharge `json:"charged"` // by budget; a call that draws on several is charged at each
}

// ReportCharge is what one budget was charged, over its instances.
type ReportCharge struct {
	Budget  string        `json:"budget"`
	Token   string        `json:"token"`
	Amount  ledger.Tokens `json:"amount"`
	Overrun ledger.Tokens `json:"overrun,omitempty"` // of it, beyond what was reserved
}

// key tells rows apart.
func (r *ReportRow) key() [4]string { return [4]string{r.Day, r.Tenant, r.Agent, r.Model} }

// Charge adds to what a budget was charged.
func (r *ReportRow) Charge(c ReportCharge) {
	for i := range r.Charged {
		if x := &r.Charged[i]; x.Budget == c.Budget && x.Token == c.Token {
			x.Amount += c.Amount
			x.Overrun += c.Overrun
			return
		}
	}
	r.Charged = append(r.Charged, c)
}

func (r *ReportRow) add(o *ReportRow) {
	r.Calls += o.Calls
	r.Refused += o.Refused
	r.Prompt += o.Prompt
	r.Output += o.Output
	r.Cached += o.Cached
	r.Reasoning += o.Reasoning
	for _, c := range o.Charged {
		r.Charge(c)
	}
}

// ReportSum adds rows up. It is not safe for concurrent use.
type ReportSum struct {
	by        [4]bool // which of ReportFields count
	rows      map[[4]string]*ReportRow
	truncated bool
}

// NewReportSum adds up by fields of [ReportFields].
func NewReportSum(by []string) *ReportSum {
	s := &ReportSum{rows: map[[4]string]*ReportRow{}}
	for i, f := range ReportFields {
		s.by[i] = slices.Contains(by, f)
	}
	return s
}

// Row is the one for calls of a day, a tenant, an agent and a model.
func (s *ReportSum) Row(day, tenant, agent, model string) *ReportRow {
	key := [4]string{day, tenant, agent, model}
	for i, on := range s.by {
		if !on {
			key[i] = ""
		}
	}
	r := s.rows[key]
	if r == nil && len(s.rows) >= MaxReportRows {
		s.truncated = true
		for i, on := range s.by {
			if on {
				key[i] = ReportOther
			}
		}
		r = s.rows[key]
	}
	if r == nil {
		r = &ReportRow{Day: key[0], Tenant: key[1], Agent: key[2], Model: key[3]}
		s.rows[key] = r
	}
	return r
}

// Add takes in a report of another node.
func (s *ReportSum) Add(r *Report) {
	s.truncated = s.truncated || r.Truncated
	for i := range r.Rows {
		o := &r.Rows[i]
		s.Row(o.Day, o.Tenant, o.Agent, o.Model).add(o)
	}
}

// Rows are the sums, in order.
func (s *ReportSum) Rows() (rows []ReportRow, truncated bool) {
	rows = []ReportRow{}
	for _, r := range s.rows {
		slices.SortFunc(r.Charged, func(a, b ReportCharge) int {
			return cmp.Or(cmp.Compare(a.Budget, b.Budget), cmp.Compare(a.Token, b.Token))
		})
		if r.Charged == nil {
			r.Charged = []ReportCharge{}
		}
		rows = append(rows, *r)
	}
	slices.SortFunc(rows, func(a, b ReportRow) int {
		x, y := a.key(), b.key()
		return slices.Compare(x[:], y[:])
	})
	return rows, s.truncated
}

func (s *Server) reportRoute(a Auditor) {
	s.handle("/v1/report", methods{"GET": {Tenants, func(w http.ResponseWriter, r *http.Request) error {
		v := r.URL.Query()
		q := ReportQuery{Tenant: v.Get("tenant"), By: ReportFields}
		if by := v.Get("by"); by != "" {
			q.By = strings.Split(by, ",")
			for _, f := range q.By {
				if !slices.Contains(ReportFields, f) {
					return badRequest(ErrCodeInvalid, "by", "by has %q: there are %s", clip(f, maxEchoLen), strings.Join(ReportFields, ", "))
				}
			}
		}
		if err := times(v, &q.Since, &q.Until); err != nil {
			return err
		}
		if view := ViewOf(r.Context()); !view.All {
			if q.Tenant != "" && q.Tenant != view.Tenant {
				return s.forbid("tenant", "tenant", "this key sees the spending of tenant %q only", view.Tenant)
			}
			q.Tenant = view.Tenant
		}
		report, err := a.Spending(r.Context(), q)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, report)
	}}})
}

// times reads since and until.
func times(v url.Values, since, until *time.Time) error {
	for _, x := range []struct {
		name string
		to   *time.Time
	}{{"since", since}, {"until", until}} {
		if s := v.Get(x.name); s != "" {
			var err error
			if *x.to, err = time.Parse(time.RFC3339, s); err != nil {
				return badRequest(ErrCodeRange, x.name, "%q is %q: write a time as in 2026-01-02T15:04:05Z", x.name, clip(s, maxEchoLen))
			}
		}
	}
	return nil
}

// Report adds up what calls of that node were charged.
func (c *Client) Report(ctx context.Context, q ReportQuery) (Report, error) {
	v := url.Values{}
	for name, s := range map[string]string{"tenant": q.Tenant, "by": strings.Join(q.By, ",")} {
		if s != "" {
			v.Set(name, s)
		}
	}
	for name, t := range map[string]time.Time{"since": q.Since, "until": q.Until} {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	var out Report
	err := c.get(ctx, "/v1/report?"+v.Encode(), &out)
	return out, err
}
