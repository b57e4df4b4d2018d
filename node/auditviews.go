package node

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/identity"
)

var errNoAudit = fmt.Errorf("%w: this node keeps no audit log: it has no data directory (--data), or its log could not be opened", api.ErrDisabled)

// AuditStatus tells how the audit log stands. See api.Auditor.
func (n *Node) AuditStatus() api.AuditStatus {
	a, p := n.auditor, n.policy.Load().policy.Audit()
	s := api.AuditStatus{
		Node: n.opts.Name, On: a.tl != nil, Key: a.key.Verifier(), Dropped: a.dropped.Load(), OnFull: "drop",
		Witnesses: []api.AuditWitness{}, Alarms: []api.AuditAlarm{},
	}
	if p.Refuse {
		s.OnFull = "refuse"
	}
	switch {
	case p.Admitted == p.Refused && p.Admitted == 1_000_000:
		s.Decisions = "all"
	case p.Refused == 0:
		s.Decisions = "none"
	case p.Admitted == 0:
		s.Decisions = "refusals"
	default:
		s.Decisions = strconv.FormatFloat(float64(p.Admitted)/10_000, 'f', -1, 64) + "%"
	}
	if err := a.failing.Load(); err != nil {
		s.Failing = (*err).Error()
	}
	a.witnessed(&s)
	if a.tl == nil {
		return s
	}
	head, c := a.tl.Head()
	u := a.tl.Usage()
	s.From, s.Size, s.Segments, s.Bytes, s.MaxBytes, s.Checkpoint = u.From, u.Size, u.Segments, u.Bytes, u.Max, string(head)
	if head != nil {
		s.Root = c.Root.String()
	}
	if u.Err != nil && s.Failing == "" {
		s.Failing = "old records cannot be deleted: " + u.Err.Error()
	}
	return s
}

// AuditRecords reads the log. See api.Auditor.
func (n *Node) AuditRecords(q api.AuditQuery) ([]api.AuditRecord, error) {
	if n.auditor.tl == nil {
		return nil, errNoAudit
	}
	if q.Kind != "" && audit.KindOf(q.Kind) == 0 {
		return nil, fmt.Errorf("%w: kind is %.64q: there are %s", admit.ErrInvalid, q.Kind, audit.Kinds())
	}
	n.auditor.flush()
	back := func(fn func(*audit.Entry) bool) error {
		return n.auditor.tl.Dir().Back(func(e *audit.Entry) bool {
			// Records of one batch are nearly in order, and batches are.
			return e.Index >= q.From && fn(e) && (q.Since.IsZero() || e.Record.At > q.Since.Add(-time.Minute).UnixMilli())
		})
	}
	ids, err := traced(q, back)
	if err != nil {
		return nil, err
	}
	var list []api.AuditRecord
	err = back(func(e *audit.Entry) bool {
		if len(list) >= q.Limit {
			return false
		}
		if v := viewRecord(e); wanted(&q, ids, &v) {
			list = append(list, v)
		}
		return true
	})
	slices.Reverse(list)
	return list, err
}

// traced are the calls whose decision names the trace that is asked for: how they ended is told by their ids only.
func traced(q api.AuditQuery, back func(func(*audit.Entry) bool) error) (ids map[string]bool, err error) {
	if q.Trace == "" {
		return nil, nil
	}
	ids = map[string]bool{}
	err = back(func(e *audit.Entry) bool {
		if r := &e.Record; r.ID != "" && traceHex(r.Trace) == q.Trace {
			ids[r.ID] = true
		}
		return len(ids) < q.Limit
	})
	return ids, err
}

func wanted(q *api.AuditQuery, traced map[string]bool, r *api.AuditRecord) bool {
	if q.Trace != "" && q.Trace != r.TraceID && !traced[r.ID] {
		return false
	}
	for _, c := range [][2]string{
		{q.Kind, r.Kind}, {q.ID, r.ID}, {q.Tenant, r.Tenant}, {q.Agent, r.Agent}, {q.Run, r.Run},
		{q.Verdict, r.Decision}, {q.Code, r.Code}, {q.Caller, r.Caller},
	} {
		if c[0] != "" && c[0] != c[1] {
			return false
		}
	}
	return (q.Since.IsZero() || !r.At.Before(q.Since)) && (q.Until.IsZero() || r.At.Before(q.Until))
}

func viewRecord(e *audit.Entry) api.AuditRecord {
	r := &e.Record
	v := api.AuditRecord{
		Index: e.Index, Kind: r.Kind.String(), At: time.UnixMilli(r.At).UTC(), ID: r.ID, TraceID: traceHex(r.Trace),
		Tenant: r.Tenant, Agent: r.Agent, Run: r.Run, Caller: r.Caller, Class: r.Class, Model: r.Model, Data: r.Data,
		Decision: r.Verdict, Code: r.Code, Reason: r.Reason, Rules: r.Rules, Revision: r.Revision, Arm: r.Arm,
		WaitedMS: r.WaitedMS, RetryMS: r.RetryMS, Level: r.Level, Prompt: r.Prompt, Counted: r.Counted, MaxOutput: r.MaxOutput,
		State: r.State, Outcome: r.Outcome, What: r.What, Peer: r.Node, By: r.By, Why: r.Why, Instance: r.Instance,
		Tokens: ledger.Tokens(r.Tokens), Shares: ledger.Shares(r.Shares), Hash: r.Hash, From: r.From, Count: r.Count, Upstream: r.Upstream,
	}
	if r.Span != [8]byte{} {
		v.SpanID = hex.EncodeToString(r.Span[:])
	}
	if r.AdviceModel != "" || r.AdviceMax != 0 || r.AdviceTemperature != "" || r.AdviceTopP != "" || r.Flags != "" || r.Experiment != "" {
		v.Advice = &api.Advice{Model: r.AdviceModel, MaxOutputTokens: r.AdviceMax, Temperature: number(r.AdviceTemperature), TopP: number(r.AdviceTopP)}
		v.Advice.Experiment, v.Advice.Arm, _ = strings.Cut(r.Experiment, "=")
		if r.Flags != "" {
			v.Advice.Flags = strings.Split(r.Flags, ", ")
		}
	}
	v.Score = number(r.Score)
	if r.UsedPrompt != 0 || r.UsedOutput != 0 {
		v.Usage = &api.AuditUsage{Prompt: r.UsedPrompt, Output: r.UsedOutput, Cached: r.Cached, Reasoning: r.Think}
	}
	for _, x := range r.Shared {
		v.Shared = append(v.Shared, api.Standing{Instance: x.Instance, Asked: float64(x.Asked) / 1000, Share: float64(x.Share) / 1000, Small: x.Small, Under: x.Under})
	}
	for _, s := range r.Samples {
		if !math.IsInf(s.Value, 0) && !math.IsNaN(s.Value) { // no node of ours writes such, and JSON has none
			v.Samples = append(v.Samples, api.AuditSample(s))
		}
	}
	for _, d := range r.Draws {
		v.Draws = append(v.Draws, api.AuditDraw{
			Instance: d.Instance, Token: d.Token, Amount: ledger.Tokens(d.Amount), Price: float64(d.Price) / 1e6,
			Before: ledger.Tokens(d.Before), After: ledger.Tokens(d.After), Overrun: ledger.Tokens(d.Overrun),
		})
	}
	return v
}

// AuditArchive writes the log as a tar file. See api.Auditor.
func (n *Node) AuditArchive(w io.Writer) error {
	if n.auditor.tl == nil {
		return errNoAudit
	}
	n.auditor.flush()
	return n.auditor.tl.Dir().Archive(w)
}

// maxArchive bounds what is unpacked of an archive, in bytes.
const maxArchive = 64 << 30

// UnpackAudit writes an archive of an audit log into a directory.
func UnpackAudit(r io.Reader, dir string) error { return audit.Unpack(r, dir, maxArchive) }

// VerifyAudit checks the audit log in a directory: see audit.Verify. key may be "".
func VerifyAudit(dir, key string, seen []api.AuditSighting) (api.AuditReport, error) {
	var ss []audit.Sighting
	for _, s := range seen {
		ss = append(ss, audit.Sighting{By: s.By, Key: s.Key, Note: []byte(s.Note)})
	}
	r, err := audit.Verify(dir, key, ss)
	if err != nil {
		return api.AuditReport{}, err
	}
	v := api.AuditReport{
		OK: r.OK(), Key: r.Key, From: r.From, Size: r.Size, Root: r.Root.String(), At: time.UnixMilli(r.At).UTC(), Segments: r.Segments,
		Bytes: r.Bytes, Heads: r.Heads, Problems: []api.AuditProblem{}, Peers: []api.AuditCompared{},
	}
	if v.Node, err = identity.Node(r.Node); err != nil {
		v.Node = r.Node
	}
	for _, p := range r.Problems {
		v.Problems = append(v.Problems, api.AuditProblem(p))
	}
	for _, p := range r.Peers {
		v.Peers = append(v.Peers, api.AuditCompared{By: p.By, Size: p.Size, At: time.UnixMilli(p.At).UTC(), Verdict: p.Verdict})
	}
	return v, nil
}

// ReadAudit gives fn the records of the audit log in a directory, oldest first, until it says false.
func ReadAudit(dir string, fn func(*api.AuditRecord) bool) error {
	d, err := audit.OpenDir(dir)
	if err != nil {
		return err
	}
	return d.Each(0, func(e *audit.Entry) bool {
		v := viewRecord(e)
		return fn(&v)
	})
}

// ErrNoAudit says that a directory holds no audit log.
var ErrNoAudit = audit.ErrNoLog

// path is what the audit log has of a decision.
type auditPath struct {
	decision, end *api.AuditRecord
	transfers     []api.AuditRecord
}

// maxPath bounds the transfers that are kept while a decision is looked for.
const maxPath = 4096

// find looks a decision up, from the end of the log. since is when it was made at the earliest, 0 if that is not known.
func (a *auditor) find(id string, since ledger.Instant) (p auditPath, err error) {
	if a == nil || a.tl == nil || !strings.HasPrefix(id, a.n.opts.Name+".") {
		return p, nil
	}
	a.flush()
	var moved []api.AuditRecord
	before := int64(since) - 1000
	err = a.tl.Dir().Back(func(e *audit.Entry) bool {
		r := &e.Record
		switch {
		case r.Kind == audit.Transfer && r.What == "in" && len(moved) < maxPath:
			moved = append(moved, viewRecord(e))
		case r.ID == id && r.Kind == audit.End && p.end == nil:
			v := viewRecord(e)
			p.end = &v
		case r.ID == id && r.Kind == audit.Decision:
			v := viewRecord(e)
			p.decision = &v
			before = r.At - r.WaitedMS - 2000
		}
		return r.At >= before || r.Kind == audit.Start || r.At == 0
	})
	if d := p.decision; d != nil && d.WaitedMS > 0 {
		since := d.At.Add(-time.Duration(d.WaitedMS+1) * time.Millisecond)
		for _, m := range moved {
			if !m.At.Before(since) && !m.At.After(d.At) && slices.ContainsFunc(d.Draws, func(w api.AuditDraw) bool { return w.Instance == m.Instance }) {
				p.transfers = append(p.transfers, m)
			}
		}
		slices.SortFunc(p.transfers, func(a, b api.AuditRecord) int { return cmp.Compare(a.Index, b.Index) })
	}
	return p, err
}

// audited adds to a decision what only the audit log has.
func audited(v *api.Decision, p *auditPath) {
	d := p.decision
	if d == nil {
		return
	}
	v.AuditIndex, v.TraceID, v.SpanID, v.Caller, v.Arm, v.Prompt, v.Counted, v.MaxOutput = new(d.Index), d.TraceID, d.SpanID, d.Caller, d.Arm, d.Prompt, d.Counted, d.MaxOutput
	for _, w := range d.Draws {
		if w.Before != 0 || w.After != 0 {
			v.Rights = append(v.Rights, api.Rights{Instance: w.Instance, Token: w.Token, Before: w.Before, After: w.After})
		}
	}
	for _, t := range p.transfers {
		v.Transfers = append(v.Transfers, api.Moved{At: t.At, From: t.Peer, Instance: t.Instance, Tokens: t.Tokens, Shares: t.Shares})
	}
	if p.end != nil {
		v.Usage = p.end.Usage
	}
}

// fromAudit makes a decision of what the audit log has, where the node does not remember it.
func fromAudit(node string, p *auditPath) api.Decision {
	d := p.decision
	v := api.Decision{
		ID: d.ID, Node: node, At: d.At, Decision: d.Decision, Code: d.Code, Reason: d.Reason, Tenant: d.Tenant, Agent: d.Agent, Run: d.Run,
		Class: d.Class, Model: d.Model, Rules: d.Rules, Revision: d.Revision, WaitedMS: float64(d.WaitedMS), Backpressure: int(d.Level),
		Advice: d.Advice, Data: d.Data, Shared: d.Shared, State: "unknown", Price: map[string]float64{}, Reserved: []api.Charge{},
	}
	charge := func(w *api.AuditDraw) api.Charge {
		name, _, _ := strings.Cut(w.Instance, "/")
		return api.Charge{Budget: name, Instance: w.Instance, Token: w.Token, Amount: w.Amount}
	}
	for i := range d.Draws {
		c := charge(&d.Draws[i])
		v.Reserved = append(v.Reserved, c)
		v.Price[c.Budget] = d.Draws[i].Price
	}
	if d.Decision == admit.Defer.String() || d.Decision == admit.Deny.String() {
		v.State = admit.Refused.String()
	}
	to := d.Upstream
	if e := p.end; e != nil {
		v.State, v.Outcome, v.Score = e.State, e.Outcome, e.Score
		if e.Why != "" {
			v.Tried = strings.Split(e.Why, ", ")
		}
		to = cmp.Or(e.Upstream, to)
		for i := range e.Draws {
			v.Charged = append(v.Charged, charge(&e.Draws[i]))
			v.Overrun += e.Draws[i].Overrun
		}
	}
	if to != "" {
		as := api.Advice{}
		if v.Advice != nil {
			as = *v.Advice
		}
		as.Upstream, v.Advice = to, &as
	}
	return v
}

// AuditName is the node whose audit log a directory holds, as the log itself says; "" if it does not.
func AuditName(dir string) string {
	name, err := identity.Node(audit.KeyName(dir))
	if err != nil {
		return ""
	}
	return name
}
