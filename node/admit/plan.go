package admit

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// bound is a plan with the accounts that it draws on. What a decision looks at comes first and together, and is not looked up in the plan: with a thousand
// plans in turn each cache line of one is a miss. A plan with one draw whose key has nothing but tenant and class is on two of them (TestHotFieldsLieTogether).
type bound struct {
	tenant, named string // of the key
	class         *policy.Class
	admit         bool // as the plan has it
	placed        bool // places matter to its calls: see mayRun
	beside        bool // cheaper, arm or experiment is set
	lane          atomic.Uint32
	blank         bool         // the key has nothing but tenant and class
	below         int64        // the most of the plan's Degrades.Below: while that is left its calls are not made cheaper
	takes         []boundTake  // in the ledger's order of locking
	one           [1]boundTake // where takes are, if it is one

	key        policy.Key
	cheaper    *cheaper       // of such a plan: what its calls were
	arm        *arm           // nil while no candidate is tried
	experiment *experimentArm // nil for calls that take part in none

	plan    *policy.Plan
	hash    uint32                  // of its instances
	cheap   []atomic.Pointer[bound] // by the plan's Degrades: what the calls become, once it was needed
	budget  ledger.Millis           // what its waits are parts of for the arm, see tried
	targets []target                // where its calls may go, if they are routed
	sites   []*bound                // by them, where what a call draws on depends on where it goes: then calls are decided by one of these
	root    *bound                  // of a site: of which plan it is one
}

// has reports whether the plan is for calls with that key.
func (b *bound) has(k *policy.Key) bool {
	if b.blank {
		return b.tenant == k.Tenant && b.named == k.Class && onlyTenant(k)
	}
	return b.key == *k
}

// onlyTenant reports whether a key has nothing but tenant and class.
func onlyTenant(k *policy.Key) bool {
	return len(k.Agent)+len(k.Run)+len(k.Model)+len(k.Extra) == 0 && !k.Priority && k.Chosen == 0
}

// boundTake is one draw with its account.
type boundTake struct {
	terms   *policy.Terms // the draw's
	account *ledger.Account
	gate    *gate
	size    *size  // nil where what calls state is reserved
	floor   *floor // nil where the caller has no guarantee
	draw    *policy.Draw
}

// price is what the draw multiplies costs by now.
func (t *boundTake) price() policy.PPM {
	if p := t.gate.price.Load(); p != 0 && !(t.floor != nil && t.terms.Budget.Pricing.Mode == policy.HybridPrice && t.floor.under.Load()) {
		return policy.PPM(p)
	}
	return t.terms.Base()
}

// MaxPlans bounds the plans kept for one policy revision; beyond it the oldest half is forgotten, and comes
// back at the next call that needs it.
const MaxPlans = 1 << 16

// revision is a policy with the plans that were made from it.
type revision struct {
	policy *policy.Policy
	// seed keeps callers from choosing keys that collide. It decides where a plan is stored and never shows.
	seed  maphash.Seed
	table atomic.Pointer[table]
	best  int // the greatest weight of a class
	arm   *arm
	trial *trial // of the stable revision while a candidate is tried

	mu    sync.Mutex // guards order and changes of table
	order []*bound
}

// table is an open-addressed hash table that is read without a lock: entries are only ever added, and
// another table replaces it.
type table struct {
	entries []entry
	n       int
}

// entry has the hash with the plan, so that looking for one does not go to others. The hash is written before the plan is.
type entry struct {
	hash uint64
	plan atomic.Pointer[bound]
}

func newRevision(p *policy.Policy) *revision {
	r := &revision{policy: p, seed: maphash.MakeSeed()}
	for _, c := range p.Classes() {
		r.best = max(r.best, c.Weight)
	}
	r.table.Store(newTable(256))
	return r
}

func newTable(n int) *table { return &table{entries: make([]entry, n)} }

// hash mixes the fields; blank ones, which are most, cost nothing.
func (r *revision) hash(k *policy.Key) uint64 {
	// Only classes of the policy are ever kept, and they are few: telling most of them apart is enough.
	h := uint64(len(k.Class))
	if h > 0 {
		h |= uint64(k.Class[0])<<8 | uint64(k.Class[h-1])<<16
	}
	mix := func(field uint64, s string) {
		if s != "" {
			h = bits.RotateLeft64(h^maphash.String(r.seed, s)+field, 11) * 0x9e3779b97f4a7c15
		}
	}
	mix(1, k.Tenant)
	mix(2, k.Agent)
	mix(3, k.Run)
	mix(4, k.Model)
	mix(5, k.Extra)
	if k.Priority {
		h = ^h
	}
	return h
}

func (r *revision) get(k *policy.Key) *bound {
	h := r.hash(k)
	t := r.table.Load()
	mask := uint64(len(t.entries) - 1)
	for i := h >> 7; ; i++ {
		x := &t.entries[i&mask]
		b := x.plan.Load()
		if b == nil {
			return nil
		}
		if x.hash == h && b.has(k) {
			return b
		}
	}
}

func (r *revision) put(b *bound) {
	b.tenant, b.named, b.blank = b.key.Tenant, b.key.Class, onlyTenant(&b.key)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, b)
	t := r.table.Load()
	switch {
	case len(r.order) > MaxPlans:
		r.order = append([]*bound(nil), r.order[len(r.order)/2:]...)
		r.rebuild(len(t.entries))
	case 2*(t.n+1) > len(t.entries):
		r.rebuild(2 * len(t.entries))
	default:
		t.add(b, r.hash(&b.key))
	}
}

func (r *revision) rebuild(size int) {
	t := newTable(size)
	for _, b := range r.order {
		t.add(b, r.hash(&b.key))
	}
	r.table.Store(t)
}

func (t *table) add(b *bound, hash uint64) {
	mask := uint64(len(t.entries) - 1)
	for i := hash >> 7; ; i++ {
		if x := &t.entries[i&mask]; x.plan.Load() == nil {
			x.hash = hash
			x.plan.Store(b)
			t.n++
			return
		}
	}
}
