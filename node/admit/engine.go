package admit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Config makes an Engine.
type Config struct {
	Node string
	Gen  uint64
	Rand *rand.Rand // jitter of retry times, and what tells ids of this run from others'; the owner's
	// MaxQueue bounds the calls that wait, 0 means DefaultMaxQueue. The last quarter is for the classes of
	// the greatest weight.
	MaxQueue int
	// Zone is where the node runs; "" for nowhere.
	Zone string
	// MaxRecords bounds the decisions that are remembered, and so the open reservations. 0 means the
	// constant MaxRecords, which is the most. Each takes 260 bytes and what it keeps of the call's strings.
	MaxRecords int
	// Shards is in how many parts records are kept, each with a lock of its own: a power of two. 0 means 64, which is the
	// most and takes 47 kB; fewer are for a process that drives many engines from one goroutine.
	Shards int
}

// DefaultMaxQueue is how many calls may wait at one node.
const DefaultMaxQueue = 4096

// Ledger is what the engine needs of the replica. *ledger.Replica has it.
type Ledger interface {
	Charter() ledger.Charter
	Fenced() bool
	// Open may give ErrLater: then the call waits for a later Pump, as long as any waits for this node's disk.
	Open(now ledger.Instant, id ledger.InstanceID) (*ledger.Account, error)
	Waiting(now ledger.Instant, id ledger.InstanceID, need ledger.Need)
	// Room reports whether Open may be asked for an instance, of whose budget at most most may be known.
	Room(id ledger.InstanceID, most int) bool
	Outlook(now ledger.Instant, id ledger.InstanceID, need ledger.Tokens) ledger.Outlook
	Market(now ledger.Instant, id ledger.InstanceID) ledger.Market
	Claims(id ledger.InstanceID) (list []ledger.Claim, rest, least ledger.Tokens)
}

var _ Ledger = (*ledger.Replica)(nil)

// Engine decides. One per node.
type Engine struct {
	cfg       Config
	run       uint16
	rev       atomic.Pointer[revision]
	draining  atomic.Bool
	shadow    atomic.Bool // see SetShadow
	fenced    atomic.Bool
	auditing  atomic.Uint64 // Auditing: Admitted above Refused
	unaudited atomic.Pointer[string]
	frozen    atomic.Pointer[freeze.View]
	cursor    atomic.Uint32
	_         [64]byte // every decision reads what is above: the first shard's lock is on another cache line
	shards    []shard

	taking      taking
	shadows     []shadowed // what Shadows keeps from one call to the next, its caller's
	corrections corrections
	sizes       sizes
	meters      meters
	experiments experiments
	lineage     lineage
	nearest     map[string]Neighbor // by zone; the owner's

	gates map[ledger.InstanceID]*gate
	queue queue
	// watched are the gates of which decisions are told more than rights, each once; nextWatched is the one to look at next.
	// The owner's.
	watched     []*gate
	nextWatched int
	nextFloor   int            // of those, whose floors are brought up to date next
	watchedAt   ledger.Instant // when Watch looked for those that are due
	watchedBy   *policy.Policy // by which it did
	watchDue    ledger.Instant // when it does again
	promises    promises       // to callers whom the node refused; the owner's
	turn        uint32         // the shard of the next refusal; the owner's
	renews      ledger.Instant // when the first life ends of what plans are bound to, see renew; 0 for never. The owner's
	disk        string         // see SetDisk; the owner's
	held        string         // see SetUnheld; the owner's
}

// New returns an engine for the policy p. now starts the numbering of decisions.
func New(now ledger.Instant, c Config, p *policy.Policy) *Engine {
	if c.Node == "" || c.Rand == nil || p == nil {
		panic("BUG: incomplete admit.Config")
	}
	if c.MaxQueue <= 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	if c.MaxRecords <= 0 {
		c.MaxRecords = MaxRecords
	}
	if c.Shards <= 0 {
		c.Shards = numShards
	}
	if c.Shards > numShards || c.Shards&(c.Shards-1) != 0 {
		panic(fmt.Sprintf("BUG: %d shards", c.Shards))
	}
	per := min(max(min(c.MaxRecords, MaxRecords)/c.Shards, 2), 1<<slotBits)
	e := &Engine{
		cfg: c, run: uint16(c.Rand.Uint64() ^ c.Gen), gates: map[ledger.InstanceID]*gate{}, shards: make([]shard, c.Shards),
	}
	for i := range e.shards {
		e.shards[i].init(now, per)
	}
	e.rev.Store(newRevision(p))
	return e
}

// Policy returns the policy that decides now. Safe for concurrent use.
func (e *Engine) Policy() *policy.Policy { return e.rev.Load().policy }

// SetPolicy changes the policy for the calls to come, and ends the trial of a candidate; calls that wait keep the plan that
// they came with, and reservations are settled by the plan that made them. Safe for concurrent use.
func (e *Engine) SetPolicy(p *policy.Policy) { e.SetTrial(p, nil, nil) }

// Rebind forgets what plans are bound to: after the charter was made, accounts are others. Safe for
// concurrent use.
func (e *Engine) Rebind() {
	rev := e.rev.Load()
	if t := rev.trial; t != nil {
		e.SetTrial(rev.policy, t.candidate.policy, t.split)
		return
	}
	e.SetPolicy(rev.policy)
}

// Drain makes the engine refuse every new call; those that wait go on. Safe for concurrent use.
func (e *Engine) Drain() { e.draining.Store(true) }

// SetDisk says why this node's disk cannot be written, "" that it can: calls that wait for it in vain are told. The
// owner's.
func (e *Engine) SetDisk(problem string) { e.disk = problem }

// SetUnheld says why this node's guardians do not confirm what it wrote, "" that they do: calls that wait for it in vain are
// told. The owner's.
func (e *Engine) SetUnheld(problem string) { e.held = problem }

// Try decides on a call whose plan is known, with the rights that are at hand. false means that the owner
// must decide by Offer: the plan is new, rights are short, or calls wait already. It allocates nothing unless
// the policy looks at attributes or data sets. Safe for concurrent use.
func (e *Engine) Try(now ledger.Instant, r *Request) (ID, bool) {
	rev := e.rev.Load().of(&r.Call)
	key, ok := rev.policy.Key(&r.Call)
	if !ok || e.draining.Load() || e.fenced.Load() || e.unaudited.Load() != nil {
		return 0, false
	}
	b := rev.get(&key)
	if b == nil || !b.admit || len(b.takes) > inline {
		return 0, false
	}
	// What is wrong with a call is said by Offer.
	if r.TTL < 0 || r.TTL > MaxTTL || len(r.IdempotencyKey) > MaxKeyLen || rev.policy.Valid(&r.Call) != nil {
		return 0, false
	}
	if v := e.frozen.Load(); v != nil && len(b.takes) > 0 {
		if v.Caller(r.Tenant, r.Agent) != nil || b.frozen() {
			return 0, false
		}
	}
	if b.placed && !e.mayRun(b, r) {
		return 0, false
	}
	if c := b.class; c.ShedAt|c.DeferAt != 0 && yields(c, b.level()) {
		return 0, false
	}
	if b.beside && b.experiment != nil && b.experiment.arm.Changes() {
		return e.tryArm(now, r, b)
	}
	if b.below > 0 && !r.AsIs {
		if i := b.low(); i >= 0 {
			return e.tryCheaper(now, r, &r.Call, b, i)
		}
	}
	return e.try(now, r, &r.Call, b)
}

// tryArm is Try for a call that its arm changes.
func (e *Engine) tryArm(now ledger.Instant, r *Request, b *bound) (ID, bool) {
	call := r.Call
	b.experiment.arm.Apply(&call)
	if b.below > 0 && !r.AsIs {
		if i := b.low(); i >= 0 {
			return e.tryCheaper(now, r, &call, b, i)
		}
	}
	return e.try(now, r, &call, b)
}

// tryCheaper is Try for a call that runs cheaper than it is.
func (e *Engine) tryCheaper(now ledger.Instant, r *Request, of *policy.Call, b *bound, i int) (ID, bool) {
	call := *of
	if !b.plan.Degrades[i].Apply(&call) {
		return e.try(now, r, of, b)
	}
	to := b.cheap[i].Load()
	if to == nil || len(to.takes) > inline || !e.runs(to, r) {
		return 0, false
	}
	return e.try(now, r, &call, to)
}

// try reserves by a plan for a call, which may be the request's or a cheaper one.
func (e *Engine) try(now ledger.Instant, r *Request, call *policy.Call, b *bound) (ID, bool) {
	if b.placed && b.sites != nil {
		b = e.site(now, r, call, b, 0)
		if b == nil || len(b.takes) > inline || yields(b.class, b.level()) {
			return 0, false
		}
	}
	var few [inline]ledger.Take
	takes, headroom := few[:len(b.takes)], b.class.Headroom
	var prices [inline]policy.PPM
	for i := range b.takes {
		t := &b.takes[i]
		if headroom >= t.gate.closed.Load() {
			return 0, false
		}
		price := t.price()
		n, cost, err := t.amount(call, price)
		if err != nil {
			return 0, false
		}
		takes[i] = ledger.Take{Account: t.account, Amount: n, Cost: cost, Headroom: headroom}
		if r.About > 0 {
			takes[i].Asked = t.about(call, r.About, price)
		}
		prices[i] = price
	}
	ttl := r.ttl()
	if why, _ := ledger.Reserve(now, now+ledger.Instant(ttl), takes, false); why != ledger.Enough {
		return 0, false
	}
	var to *target
	if b.placed {
		to = e.send(now, r, call, b)
	}
	return e.admitted(now, ttl, r, b, takes, prices[:len(takes)], 0, noteOf(r, to))
}

func (r *Request) ttl() ledger.Millis {
	if r.TTL == 0 {
		return ledger.Millis(DefaultTTL.Milliseconds())
	}
	return max(1, ledger.Millis(r.TTL.Milliseconds()))
}

// ErrNotReady says that the node cannot decide yet; it wraps the ledger's reason.
var ErrNotReady = errors.New("not ready")

// ErrLater is what a [Ledger] says that cannot open an instance right now, since a batch is on its way to the disk.
var ErrLater = errors.New("instances cannot be opened while a batch is written")

// plan returns the bound plan of a call, making it. The owner's.
func (e *Engine) plan(now ledger.Instant, l Ledger, r *Request) (*bound, error) {
	return e.planIn(now, l, r, e.rev.Load().of(&r.Call))
}

// planIn is plan by a revision. The owner's.
func (e *Engine) planIn(now ledger.Instant, l Ledger, r *Request, rev *revision) (*bound, error) {
	if err := rev.policy.Valid(&r.Call); err != nil {
		return nil, invalid(err)
	}
	key, cacheable := rev.policy.Key(&r.Call)
	if cacheable {
		if b := rev.get(&key); b != nil {
			if no := e.astray(b.plan, r); no != nil {
				return nil, &deniedError{b.plan, *no}
			}
			return b, nil
		}
	}
	p, err := rev.policy.Match(&r.Call)
	if err != nil {
		return nil, invalid(err)
	}
	if w := e.frozenCaller(r, p); w != nil {
		return nil, &deniedError{p, refusal{verdict: Deny, code: CodeFrozen, reason: w.Reason()}}
	}
	if no := e.astray(p, r); no != nil {
		return nil, &deniedError{p, *no}
	}
	b, err := e.bind(now, l, p, modelOf(p, r.Model))
	if err != nil {
		return nil, err
	}
	if cacheable {
		b.key = key
		rev.put(b) // if the gates were forgotten, rev is of no use any more
	}
	return b, nil
}

// modelOf is the model that calls of a plan use which name another one, before they are made cheaper.
func modelOf(p *policy.Plan, named string) string {
	if p.Arm != nil && p.Arm.Model != "" {
		return p.Arm.Model
	}
	return named
}

// deniedError says that a call is denied, whatever its budgets have, before anything is opened for it.
type deniedError struct {
	plan *policy.Plan
	no   refusal
}

func (e *deniedError) Error() string { return e.no.reason }

// crowded denies a call that would make one instance too many of a budget.
func crowded(p *policy.Plan, b *policy.Budget, id ledger.InstanceID) error {
	return &deniedError{p, refusal{verdict: Deny, code: CodeInstances, reason: fmt.Sprintf(
		"budget %q: %q would be one instance more than there may be (%d, or %d of all budgets): use fewer values of %s, or raise instances in the policy",
		b.Name, id.Name(), b.Instances, ledger.MaxInstances, strings.Join(b.Per, ", "))}}
}

// bind finds the accounts that a plan draws on. The owner's.
func (e *Engine) bind(now ledger.Instant, l Ledger, p *policy.Plan, model string) (*bound, error) {
	if len(e.gates)+len(p.Draws) > maxGates {
		e.forgetGates()
	}
	b := &bound{
		plan: p, class: p.Class, admit: p.Admit, below: mostBelow(p),
		cheap: make([]atomic.Pointer[bound], len(p.Degrades)), targets: e.targets(p), placed: p.Place != nil || p.Route != nil,
	}
	if b.takes = b.one[:0]; len(p.Draws) > len(b.one) {
		b.takes = make([]boundTake, 0, len(p.Draws))
	}
	e.tried(b)
	charter := l.Charter().ID
	takes := make([]ledger.Take, len(p.Draws))
	draws := make(map[*ledger.Account]*policy.Draw, len(p.Draws))
	ids := make([]ledger.InstanceID, len(p.Draws))
	for i := range p.Draws { // before any is opened: a call that is refused leaves nothing behind
		d := &p.Draws[i]
		id, err := d.At(now, charter)
		if err != nil {
			return nil, invalid(err)
		}
		if _, ends, ok := id.Life(); ok {
			e.renewAt(ends)
		}
		if ids[i] = id; len(d.Budget.Per) > 0 && !l.Room(id, d.Budget.Instances) {
			return nil, crowded(p, d.Budget, id)
		}
	}
	for i := range p.Draws {
		d := &p.Draws[i]
		a, err := l.Open(now, ids[i])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		if draws[a] != nil {
			panic(fmt.Sprintf("BUG: a plan draws on %q twice", ids[i]))
		}
		takes[i].Account, draws[a] = a, d
	}
	ledger.Sort(takes)
	for _, t := range takes {
		g := e.gate(t.Account.ID())
		d := draws[t.Account]
		e.watch(now, l, g, e.budgetInForce(p.Policy, d.Budget), t.Account, watched(p, d))
		b.takes = append(b.takes, boundTake{d.Terms, t.Account, g, e.size(d, model), e.floorOf(now, l, g, p, d, charter), d})
		b.hash += g.hash
	}
	return b, e.bindSites(now, l, b, model)
}
