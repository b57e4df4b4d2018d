package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

const (
	// maxKeys bounds the idempotency keys that are remembered: the oldest make room.
	maxKeys = 1 << 16
	// keyLife is how long a key is remembered, at least as long as a reservation may live.
	keyLife = admit.MaxTTL
)

// idempotency gives a retried call the first answer. Keys belong to their tenant.
type idempotency struct {
	mu    sync.Mutex // guards all below
	byKey map[string]*firstAnswer
	order []*firstAnswer // oldest first
}

type firstAnswer struct {
	key    string
	done   chan struct{} // closed when the answer is there
	answer admit.Answer
	failed bool // nothing was decided: a retry decides anew
	until  time.Time
}

func newIdempotency() *idempotency { return &idempotency{byKey: map[string]*firstAnswer{}} }

// do runs f for the first call with the request's key, and gives others its answer. A call that f could not
// decide leaves nothing behind. A key that comes again for another call is the caller's mistake, but cannot
// be told from a retry with, say, a new prompt count: it gets the first answer, as documented.
func (d *idempotency) do(ctx context.Context, r *admit.Request, f func() (admit.Answer, error)) (admit.Answer, error) {
	if len(r.IdempotencyKey) > admit.MaxKeyLen {
		return admit.Answer{}, fmt.Errorf("%w: idempotency_key has %d bytes, at most %d are allowed", admit.ErrInvalid, len(r.IdempotencyKey), admit.MaxKeyLen)
	}
	key := r.Tenant + "\x00" + r.IdempotencyKey
	for {
		first, mine := d.claim(key)
		if mine {
			a, err := f()
			d.finish(first, a, err)
			return a, err
		}
		select {
		case <-first.done:
			if !first.failed {
				return first.answer, nil
			}
		case <-ctx.Done():
			return admit.Answer{}, ctx.Err()
		}
	}
}

func (d *idempotency) claim(key string) (first *firstAnswer, mine bool) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.order) > 0 && (len(d.order) >= maxKeys || d.order[0].until.Before(now)) {
		old := d.order[0]
		d.order = d.order[1:]
		if d.byKey[old.key] == old {
			delete(d.byKey, old.key)
		}
	}
	if first, ok := d.byKey[key]; ok {
		return first, false
	}
	first = &firstAnswer{key: key, done: make(chan struct{}), until: now.Add(keyLife)}
	d.byKey[key] = first
	d.order = append(d.order, first)
	return first, true
}

func (d *idempotency) finish(first *firstAnswer, a admit.Answer, err error) {
	d.mu.Lock()
	first.answer, first.failed = a, err != nil
	if err != nil && d.byKey[first.key] == first {
		delete(d.byKey, first.key)
	}
	d.mu.Unlock()
	close(first.done)
}
