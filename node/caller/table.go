package caller

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Caller is one key of the policy in force, with its limits at this node. Safe for concurrent use.
type Caller struct {
	policy.Caller
	lifts []bool // by class of Classes: whether its calls may run a class better for points
	use   *use   // survives changes of the policy
	every int64  // ns between two requests; 0: no limit
	slack int64  // ns by which requests may come before their time: all of the burst but one
}

// Table is all keys of one policy. It does not change, and is safe for concurrent use. A nil Table has none.
type Table struct {
	list []*Caller
	// By the first bytes of the hash: the rest is compared in constant time. Two keys that agree in them are a chance of 2^-40 for
	// the most that a policy may have.
	by map[uint64][]*Caller
}

// Errors of Find.
var (
	ErrUnknown = errors.New("this node knows no such key: an operator adds it to the policy under callers; swarmpurse keys caller makes one")
	ErrExpired = errors.New("this key has expired: an operator makes another with swarmpurse keys caller")
)

// maxKey bounds a key, in bytes.
const maxKey = 256

// NewTable makes the table of a policy. Keys that were in old keep what they have used of their limits.
func NewTable(p *policy.Policy, old *Table) *Table {
	defs := p.Callers()
	if len(defs) == 0 {
		return nil
	}
	t := &Table{by: make(map[uint64][]*Caller, len(defs))}
	for _, def := range defs {
		c := &Caller{Caller: def, use: &use{}}
		if was := old.find(&def.Key); was != nil && was.Name == def.Name {
			c.use = was.use
		}
		for _, class := range def.Classes {
			c.lifts = append(c.lifts, p.Lifts(&def, class))
		}
		if def.Per > 0 {
			c.every = max(1, int64(def.Period)/def.Per)
			c.slack = c.every * (def.Burst - 1)
		}
		t.list = append(t.list, c)
		t.by[prefix(&def.Key)] = append(t.by[prefix(&def.Key)], c)
	}
	return t
}

func prefix(sum *[sha256.Size]byte) uint64 { return binary.BigEndian.Uint64(sum[:8]) }

// Len is how many keys there are.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.list)
}

// find allocates nothing. Which bytes of a hash agree tells nothing of a key, and it is compared in constant time all the same.
func (t *Table) find(sum *[sha256.Size]byte) *Caller {
	if t == nil {
		return nil
	}
	for _, c := range t.by[prefix(sum)] {
		if subtle.ConstantTimeCompare(c.Key[:], sum[:]) == 1 {
			return c
		}
	}
	return nil
}

// Find looks a key up: ErrUnknown, ErrExpired.
func (t *Table) Find(key string, now time.Time) (*Caller, error) {
	if len(key) > maxKey {
		return nil, ErrUnknown
	}
	var b [maxKey]byte // so that nothing is allocated
	sum := sha256.Sum256(b[:copy(b[:], key)])
	c := t.find(&sum)
	if c == nil {
		return nil, ErrUnknown
	}
	if c.Expires > 0 && now.UnixMilli() >= int64(c.Expires) {
		return nil, fmt.Errorf("%w (caller %q, on %s)", ErrExpired, c.Name, time.UnixMilli(int64(c.Expires)).UTC().Format(time.RFC3339))
	}
	return c, nil
}

// Use is what became of the requests of one key at this node.
type Use struct {
	Name, Tenant string
	Requests     uint64 // let in, since the key came into the policy
	Rate, Busy   uint64 // refused by its rate and by its concurrency
	InFlight     int64
}

// Each gives the use of all keys that were ever used, in the order of the policy.
func (t *Table) Each(f func(Use)) {
	if t == nil {
		return
	}
	for _, c := range t.list {
		u := c.Use()
		if u.Requests+u.Rate+u.Busy > 0 {
			f(u)
		}
	}
}

// Use is what became of its requests.
func (c *Caller) Use() Use {
	u := c.use
	return Use{c.Name, c.Tenant, u.requests.Load(), u.rate.Load(), u.busy.Load(), u.inFlight.Load()}
}
