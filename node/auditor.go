package node

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/identity"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// The audit log is written by a goroutine of its own: several times a second it takes what the engine noted of calls and what else
// was done, and appends it in one batch. No call waits for it. While the disk takes nothing, batches are kept within a bound;
// then the policy says whether records are dropped or calls are refused.

const (
	auditEvery = 250 * time.Millisecond
	// sampleEvery is how often the log notes metrics: some 70 bytes a series, at most audit.MaxSamples.
	sampleEvery = time.Minute
	// auditBatch is when a batch is written before its time, in bytes.
	auditBatch = 1 << 20
	// maxActs bounds what else than calls waits to be written.
	maxActs = 4096

	keyIdentity = "identity/ed25519"
	auditDir    = "audit"
)

// span is where a record of the time at lies in a buffer.
type span struct {
	at       int64
	from, to int
}

// auditor writes the audit log of a node.
type auditor struct {
	n   *Node
	log zerolog.Logger
	key identity.Key
	tl  *audit.Log // nil: the node keeps none, since it has no data directory

	mu   sync.Mutex // guards acts, lost
	acts []audit.Record
	lost int64

	// The writer's.
	buf     []byte
	records []span
	batch   [][]byte
	rec     audit.Record
	missing int64 // records dropped that the log does not tell of yet

	failing atomic.Pointer[error]
	dropped atomic.Int64
	written atomic.Int64 // records, since the start

	wmu     sync.Mutex     // guards peers, and tells as a map
	peers   *audit.Witness // what this node keeps of peers' logs
	tells   map[string]*countersigner
	inbox   chan auditMessage
	alarms  atomic.Int64
	refused atomic.Int64

	// The writer's, about witnesses.
	heads      []auditMessage
	chosen     []string
	nextTell   time.Time
	nextSample time.Time
	unsaved    bool

	stop, stopped chan struct{}
	kick          chan chan struct{} // write now, and close it
	running       bool
}

// loadIdentity takes the node's key from the store, or makes it.
func (n *Node) loadIdentity() (identity.Key, error) {
	seed, err := n.store.Get(store.Meta, keyIdentity)
	if err != nil {
		return identity.Key{}, err
	}
	if seed != nil {
		k, err := identity.Load(n.opts.Name, seed)
		if err != nil {
			err = &OptionError{"data", fmt.Errorf("%w: it is damaged", err), "start with an empty directory: the node is a new generation then"}
		}
		return k, err
	}
	k, err := identity.Make(n.opts.Name, rand.Reader)
	if err != nil {
		return k, err
	}
	return k, n.store.Commit([]store.Write{{Bucket: store.Meta, Key: keyIdentity, Value: k.Seed()}})
}

// openAudit opens the log of the data directory.
func (n *Node) openAudit() error {
	key := n.key
	var err error
	a := &auditor{n: n, log: n.part("audit"), key: key, stop: make(chan struct{}), stopped: make(chan struct{}), kick: make(chan chan struct{}),
		inbox: make(chan auditMessage, maxAuditInbox), tells: map[string]*countersigner{},
	}
	n.auditor = a
	if a.peers, _, err = audit.OpenWitness(n.opts.Name, key, ""); err != nil {
		return err
	}
	if n.opts.Data == "" {
		return nil
	}
	dir := filepath.Join(n.opts.Data, auditDir)
	l, rec, err := audit.Open(audit.Options{Dir: dir, Key: key, MaxBytes: int64(n.opts.AuditMB) << 20})
	switch {
	case errors.Is(err, audit.ErrDamaged):
		return &OptionError{"data", err, fmt.Sprintf("see what was changed with swarmpurse audit verify --data %s; to go on without this log move %s away: peers will report it", n.opts.Data, dir)}
	case err != nil && n.policy.Load().policy.Audit().Refuse:
		return &OptionError{"data", fmt.Errorf("the audit log: %w", err), "free space on its disk, or check its rights, and start again: the policy says on_full: refuse"}
	case err != nil:
		a.failing.Store(&err)
		a.log.Error().Err(err).Msg("the audit log cannot be opened: this node keeps none until it is started again")
		return nil
	}
	if rec.Cut > 0 || rec.Rebuilt > 0 {
		a.log.Warn().Int64("bytes", rec.Cut).Int("hashes", rec.Rebuilt).Msg("the node ended while it wrote its audit log: what was not signed is gone")
	}
	a.tl = l
	peers, lost, err := audit.OpenWitness(n.opts.Name, key, dir)
	if err != nil {
		return &OptionError{"data", fmt.Errorf("the audit log: %w", err), "see the permissions of the data directory"}
	}
	if lost != nil {
		a.log.Error().Err(lost).Msg("some of what this node witnessed of peers' audit logs is lost")
	}
	a.wmu.Lock()
	a.peers = peers
	a.wmu.Unlock()
	n.setAuditing()
	_, head := l.Head()
	a.act(audit.Record{Kind: audit.Start, What: n.opts.Version, Node: n.opts.Name, Revision: n.policy.Load().policy.Revision(), Count: head.Size})
	n.auditPolicyAtStart()
	return nil
}

// setAuditing has the engine note what the policy says.
func (n *Node) setAuditing() {
	if n.auditor == nil || n.auditor.tl == nil {
		return
	}
	p := n.policy.Load().policy.Audit()
	n.engine.SetAuditing(admit.Auditing{Admitted: p.Admitted, Refused: p.Refused})
	if !p.Refuse {
		n.engine.SetUnaudited("")
	}
}

// act notes something that is no call. Safe for concurrent use; it never blocks.
func (a *auditor) act(r audit.Record) {
	if a == nil {
		return
	}
	if r.At == 0 {
		r.At = int64(a.n.now())
	}
	a.n.publish(&r)
	if a.tl == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.acts) >= maxActs {
		a.lost++
		return
	}
	a.acts = append(a.acts, r)
}

func (a *auditor) run() {
	defer close(a.stopped)
	tick := time.NewTicker(auditEvery)
	defer tick.Stop()
	a.sample()
	a.nextSample = time.Now().Add(sampleEvery)
	for {
		select {
		case now := <-tick.C:
			if !now.Before(a.nextSample) {
				a.nextSample = now.Add(sampleEvery)
				a.sample()
			}
			a.write()
			a.exchange(now)
		case done := <-a.kick:
			a.write()
			close(done)
		case <-a.stop:
			a.act(audit.Record{Kind: audit.Stop, Node: a.n.opts.Name})
			a.write()
			return
		}
	}
}

// sample notes how the node's metrics stand.
func (a *auditor) sample() {
	if a.tl == nil {
		return
	}
	list, err := telemetry.Kept(a.n.opts.Registry, audit.MaxSamples)
	if err != nil {
		a.log.Warn().Err(err).Msg("some metrics are not in the audit log: they could not be gathered")
	}
	r := audit.Record{Kind: audit.Metrics}
	for _, s := range list {
		r.Samples = append(r.Samples, audit.Sample{Series: s.Name, Value: s.Value})
	}
	if len(list) > 0 {
		a.act(r)
	}
}

// flush writes what is noted now, for who wants to read it.
func (a *auditor) flush() {
	if a == nil || a.tl == nil {
		return
	}
	done := make(chan struct{})
	select {
	case a.kick <- done:
		<-done
	case <-a.stopped:
	}
}

// close writes what is left and ends.
func (a *auditor) close() {
	if a == nil || !a.running {
		if a != nil && a.tl != nil {
			_ = a.tl.Close()
		}
		return
	}
	close(a.stop)
	<-a.stopped
	if a.tl == nil {
		return
	}
	if err := a.tl.Close(); err != nil {
		a.log.Error().Err(err).Msg("closing the audit log")
	}
}

// write takes all that is noted, and appends it.
func (a *auditor) write() {
	if a.tl == nil {
		return
	}
	a.mu.Lock()
	acts, lost := a.acts, a.lost
	a.acts, a.lost = nil, 0
	a.mu.Unlock()
	a.drop(lost)
	for i := range acts {
		a.add(&acts[i])
	}
	a.drop(int64(a.n.engine.Notes(func(v *admit.Noted) {
		a.noted(v)
		a.add(&a.rec)
	})))
	a.append()
}

// add puts a record into the batch, and writes it if it is large.
func (a *auditor) add(r *audit.Record) {
	if len(a.buf) >= auditBatch && (a.failing.Load() != nil || !a.append()) && len(a.buf) >= audit.MaxBatch-audit.MaxRecord {
		a.drop(1)
		return
	}
	if a.missing > 0 {
		gap := audit.Record{Kind: audit.Gap, At: r.At, Count: a.missing, Why: "the log could not be written, or not fast enough"}
		a.missing = 0
		a.encode(&gap)
	}
	a.encode(r)
}

func (a *auditor) encode(r *audit.Record) {
	from := len(a.buf)
	a.buf = audit.Append(a.buf, r)
	a.records = append(a.records, span{r.At, from, len(a.buf)})
}

func (a *auditor) drop(n int64) {
	a.missing += n
	a.dropped.Add(n)
}

// append writes the batch. If that fails it is kept, and tried again with the next.
func (a *auditor) append() bool {
	if len(a.records) == 0 {
		return true
	}
	// The engine gives notes by where they were kept; readers want them by time.
	slices.SortStableFunc(a.records, func(x, y span) int { return cmp.Compare(x.at, y.at) })
	batch := a.batch[:0]
	for _, r := range a.records {
		batch = append(batch, a.buf[r.from:r.to])
	}
	a.batch = batch
	if err := a.tl.Append(int64(a.n.now()), batch); err != nil {
		if a.failing.Swap(&err) == nil {
			a.log.Error().Err(err).Msg("the audit log cannot be written")
		}
		if a.n.policy.Load().policy.Audit().Refuse {
			a.n.engine.SetUnaudited(root(err))
		}
		return false
	}
	if a.failing.Swap(nil) != nil {
		a.log.Info().Int64("dropped", a.dropped.Load()).Msg("the audit log can be written again")
		a.n.engine.SetUnaudited("")
	}
	a.written.Add(int64(len(a.records)))
	a.buf, a.records = a.buf[:0], a.records[:0]
	return true
}

// noted makes a record of what the engine noted.
func (a *auditor) noted(v *admit.Noted) {
	draws := a.rec.Draws[:0]
	for i := range v.Draws {
		d := &v.Draws[i]
		out := audit.Draw{Instance: d.Instance.Name(), Token: d.Token, Amount: int64(d.Amount), Price: int64(d.Price), Overrun: int64(d.Overrun)}
		if !v.End && d.Left >= 0 {
			out.Before, out.After = int64(d.Left+d.Amount), int64(d.Left)
		}
		draws = append(draws, out)
	}
	a.rec = audit.Record{
		Kind: audit.Decision, At: int64(v.At), ID: v.ID, Trace: v.Trace.ID, Span: v.Trace.Span,
		Tenant: v.Tenant, Agent: v.Agent, Run: v.Run, Class: v.Class, Model: v.Model, Draws: draws, Revision: v.Revision, Arm: v.Arm, Caller: v.Key,
		Flags: strings.Join(v.Flags, ", "),
	}
	r := &a.rec
	if v.Experiment != "" {
		r.Experiment = v.Experiment + "=" + v.ExperimentArm
	}
	if v.End {
		r.Score = decimal(v.Score)
		if len(v.Tried) > 0 {
			tried := make([]string, len(v.Tried))
			for i, t := range v.Tried {
				tried[i] = t.String()
			}
			r.Upstream, r.Why = v.Upstream, strings.Join(tried, ", ")
		}
		r.Kind, r.At, r.State, r.Outcome = audit.End, int64(a.n.now()), v.State.String(), v.Outcome
		if u := v.Usage; u != nil {
			r.UsedPrompt, r.UsedOutput, r.Cached, r.Think = u.PromptTokens, u.CompletionTokens, u.CachedTokens, u.ReasoningTokens
		}
		return
	}
	r.Verdict, r.Code, r.Reason, r.Rules = v.Verdict.String(), v.Code, v.Reason, v.Rules
	r.WaitedMS, r.RetryMS, r.Level = v.Waited.Milliseconds(), v.RetryAfter.Milliseconds(), int64(v.Level)
	r.Prompt, r.MaxOutput = v.Prompt, v.MaxOutput
	if v.Counted != admit.Stated {
		r.Counted = v.Counted.String()
	}
	r.Upstream = v.Upstream
	for _, x := range v.Shared {
		r.Shared = append(r.Shared, audit.Standing{Instance: x.Instance.Name(), Asked: audit.Milli(x.Asked), Share: audit.Milli(x.Part), Small: x.Small, Under: x.Under})
	}
	for _, d := range v.Data {
		r.Data = append(r.Data, d.String())
	}
	if v.Advice != nil {
		r.AdviceModel, r.AdviceMax = v.Advice.Model, v.Advice.MaxOutputTokens
		r.AdviceTemperature, r.AdviceTopP = decimal(v.Advice.Temperature), decimal(v.Advice.TopP)
	}
}

// decimal writes a number, "" for none.
func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}

// number is the inverse of decimal.
func number(s string) *float64 {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

func traceHex(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}
