package admit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Config makes an Engine.
type Config struct {
	Node string
	Gen  uint64
	Rand *rand.Rand // jitter of retry times; the owner's
	// MaxQueue bounds the calls that wait, 0 means DefaultMaxQueue.
	MaxQueue int
}

// DefaultMaxQueue is how many calls may wait at one node.
const DefaultMaxQueue = 4096

// Grace is how long after its TTL a reservation on a hard ceiling can still be settled with a refund.
const Grace = 10 * time.Minute

// Ledger is what the engine needs of the replica. *ledger.Replica has it.
type Ledger interface {
	Charter() ledger.Charter
	Fenced() bool
	Open(now ledger.Instant, id ledger.InstanceID) (*ledger.Account, error)
	Waiting(now ledger.Instant, id ledger.InstanceID, need ledger.Tokens)
	Outlook(now ledger.Instant, id ledger.InstanceID, need ledger.Tokens) ledger.Outlook
}

var _ Ledger = (*ledger.Replica)(nil)

// Engine decides. One per node.
type Engine struct {
	cfg      Config
	rev      atomic.Pointer[revision]
	draining atomic.Bool
	shards   [numShards]shard

	gates map[ledger.InstanceID]*gate
	queue queue
}

// New returns an engine for the policy p. now starts the numbering of decisions.
func New(now ledger.Instant, c Config, p *policy.Policy) *Engine {
	if c.Node == "" || c.Rand == nil || p == nil {
		panic("BUG: incomplete admit.Config")
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = DefaultMaxQueue
	}
	e := &Engine{cfg: c, gates: map[ledger.InstanceID]*gate{}}
	for i := range e.shards {
		s := &e.shards[i]
		s.oldest, s.newest = -1, -1
		s.wheel.reset(now)
	}
	e.rev.Store(newRevision(p))
	return e
}

// Policy returns the policy that decides now. Safe for concurrent use.
func (e *Engine) Policy() *policy.Policy { return e.rev.Load().policy }

// SetPolicy changes the policy for the calls to come; calls that wait keep the plan that they came with.
func (e *Engine) SetPolicy(p *policy.Policy) { e.rev.Store(newRevision(p)) }

// Rebind forgets what plans are bound to: after the charter was made, accounts are others.
func (e *Engine) Rebind() { e.SetPolicy(e.Policy()) }

// Drain makes the engine refuse every new call; those that wait go on.
func (e *Engine) Drain() { e.draining.Store(true) }

// Try decides on a call whose plan is known, with the rights that are at hand. false means that the owner
// must decide by Offer: the plan is new, rights are short, or calls wait already. It allocates nothing.
// Safe for concurrent use.
func (e *Engine) Try(now ledger.Instant, r *Request) (ID, bool) {
	rev := e.rev.Load()
	key, ok := rev.policy.Key(&r.Call)
	if !ok || e.draining.Load() {
		return 0, false
	}
	b := rev.get(&key)
	if b == nil || len(b.takes) > inline || r.TTL < 0 || r.TTL > MaxTTL || rev.policy.Valid(&r.Call) != nil {
		return 0, false
	}
	var few [inline]ledger.Take
	takes := few[:len(b.takes)]
	for i := range b.takes {
		t := &b.takes[i]
		if t.gate.waiting.Load() > 0 {
			return 0, false
		}
		n, err := t.draw.Amount(&r.Call)
		if err != nil {
			return 0, false
		}
		takes[i].Account, takes[i].Amount = t.account, n
	}
	expires := expiry(now, r)
	if why, _ := ledger.Reserve(now, expires, takes, false); why != ledger.Enough {
		return 0, false
	}
	return e.admitted(now, expires, r, b, takes, 0)
}

func expiry(now ledger.Instant, r *Request) ledger.Instant {
	ttl := r.TTL
	if ttl == 0 {
		ttl = DefaultTTL
	}
	return now + ledger.Instant(ttl.Milliseconds())
}

// admitted records a reservation. If all records hold open reservations it gives the tokens back and returns
// false.
func (e *Engine) admitted(now, expires ledger.Instant, r *Request, b *bound, takes []ledger.Take, waited time.Duration) (ID, bool) {
	// Shards take turns by the millisecond, and instances start at different ones: a hot instance uses all,
	// and two hot ones meet seldom.
	first := b.shard + uint32(now)
	for try := range uint32(numShards) {
		sh := (first + try) % numShards
		s := &e.shards[sh]
		s.mu.Lock()
		i := s.alloc()
		if i < 0 {
			s.mu.Unlock()
			continue
		}
		rec := s.fill(i, now, r, b)
		rec.state, rec.verdict, rec.code = Reserved, Admit, CodeOK
		rec.expires, rec.waited = expires, waited
		rec.n = len(takes)
		if rec.n > inline {
			rec.many = make([]held, rec.n)
		}
		h := rec.few[:min(rec.n, inline)]
		if rec.many != nil {
			h = rec.many
		}
		for j := range takes {
			h[j] = held{reserved: takes[j].Amount, window: takes[j].Window}
		}
		s.active++
		s.counts[Admit]++
		s.schedule(i, expires)
		id := makeID(sh, i, rec.seq)
		s.mu.Unlock()
		return id, true
	}
	for j := range takes {
		takes[j].Account.Settle(now, takes[j].Amount, 0, takes[j].Window)
	}
	return 0, false
}

// fill starts a record.
func (s *shard) fill(i int32, now ledger.Instant, r *Request, b *bound) *record {
	rec := &s.slots[i]
	s.seq = max(s.seq+1, uint64(now)) // so a restarted engine does not repeat the numbers of the one before
	*rec = record{
		seq: s.seq, at: now, bound: b, next: -1, prev: -1,
		tenant: r.Tenant, agent: r.Agent, run: r.Run, class: r.Class, model: r.Model,
	}
	if b != nil {
		rec.class = b.plan.Class.Name
	}
	return rec
}

// refused records a refusal.
func (e *Engine) refused(now ledger.Instant, r *Request, b *bound, no refusal, waited time.Duration) ID {
	first := uint32(now)
	for try := range uint32(numShards) {
		sh := (first + try) % numShards
		s := &e.shards[sh]
		s.mu.Lock()
		s.counts[no.verdict]++
		i := s.alloc()
		if i < 0 {
			s.counts[no.verdict]--
			s.mu.Unlock()
			continue
		}
		rec := s.fill(i, now, r, b)
		rec.state, rec.verdict, rec.code, rec.reason = Refused, no.verdict, no.code, no.reason
		rec.retry, rec.waited = no.retry, waited
		id := makeID(sh, i, rec.seq)
		s.end(i)
		s.mu.Unlock()
		return id
	}
	return 0
}

// ErrNotReady says that the node cannot decide yet; it wraps the ledger's reason.
var ErrNotReady = errors.New("not ready")

// plan returns the bound plan of a call, making it. The owner's.
func (e *Engine) plan(now ledger.Instant, l Ledger, r *Request) (*bound, error) {
	rev := e.rev.Load()
	key, cacheable := rev.policy.Key(&r.Call)
	if err := rev.policy.Valid(&r.Call); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if cacheable {
		if b := rev.get(&key); b != nil {
			return b, nil
		}
	}
	p, err := rev.policy.Match(&r.Call)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	b := &bound{key: key, plan: p}
	takes := make([]ledger.Take, len(p.Draws))
	for i := range p.Draws {
		d := &p.Draws[i]
		id, err := d.Instance(l.Charter().ID)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		a, err := l.Open(now, id)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotReady, err)
		}
		takes[i].Account = a
	}
	ledger.Sort(takes)
	for _, t := range takes {
		for i := range p.Draws {
			d := &p.Draws[i]
			if id, _ := d.Instance(l.Charter().ID); id == t.Account.ID() {
				b.takes = append(b.takes, boundTake{d, t.Account, e.gate(id)})
				b.shard += e.gate(id).shard
			}
		}
	}
	if cacheable {
		rev.put(b)
	}
	return b, nil
}

func (e *Engine) gate(id ledger.InstanceID) *gate {
	g, ok := e.gates[id]
	if !ok {
		g = &gate{id: id}
		e.gates[id] = g
		b := uint32(2166136261)
		for i := range len(id) {
			b = (b ^ uint32(id[i])) * 16777619
		}
		g.shard = b
	}
	return g
}

// Counts returns how many decisions were made by verdict, how many reservations are open and how many calls
// wait. Safe for concurrent use, but for waiting, which is the owner's.
func (e *Engine) Counts() (byVerdict [Deny + 1]int64, active int) {
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		for v, n := range s.counts {
			byVerdict[v] += n
		}
		active += s.active
		s.mu.Unlock()
	}
	return byVerdict, active
}
