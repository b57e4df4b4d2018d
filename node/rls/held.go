package rls

import (
	"strings"
	"sync"
	"time"

	"github.com/google/btree"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// maxHeld bounds the reservations that wait for a refund. Beyond it the one that would end next is charged at once.
	maxHeld = 16384
	// maxPerRefund bounds the reservations that one refund ends.
	maxPerRefund = 64
)

// reservation is hits that may still be given back.
type reservation struct {
	key  string // of the call: see item.key
	hits ledger.Tokens
	seq  uint64 // order of arrival
	due  time.Time
	id   string // of the decision
	rule *policy.RateDescriptor
}

// held is the reservations that wait for a refund. Safe for concurrent use.
type held struct {
	mu     sync.Mutex // guards all below
	seq    uint64
	byHits *btree.BTreeG[reservation] // by key, hits and arrival
	byTime *btree.BTreeG[reservation] // by due and arrival
}

func newHeld() *held {
	return &held{
		byHits: btree.NewG(32, func(a, b reservation) bool {
			if c := strings.Compare(a.key, b.key); c != 0 {
				return c < 0
			}
			if a.hits != b.hits {
				return a.hits < b.hits
			}
			return a.seq < b.seq
		}),
		byTime: btree.NewG(32, func(a, b reservation) bool {
			if c := a.due.Compare(b.due); c != 0 {
				return c < 0
			}
			return a.seq < b.seq
		}),
	}
}

// put keeps a reservation. ok is true if another one has to make room: it is to be charged.
func (h *held) put(r reservation) (out reservation, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byTime.Len() >= maxHeld {
		out, ok = h.byTime.Min()
		h.drop(out)
	}
	h.seq++
	r.seq = h.seq
	h.byHits.ReplaceOrInsert(r)
	h.byTime.ReplaceOrInsert(r)
	return out, ok
}

func (h *held) drop(r reservation) {
	h.byHits.Delete(r)
	h.byTime.Delete(r)
}

// take takes out the reservation that n hits of a call are given back of: the smallest that has so many, of equal ones the oldest; else the
// largest. So what short calls give back is not taken from a long one's reservation, which it then lacks.
func (h *held) take(key string, n ledger.Tokens) (r reservation, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byHits.AscendGreaterOrEqual(reservation{key: key, hits: n}, func(x reservation) bool {
		r, ok = x, x.key == key
		return false
	})
	if !ok {
		h.byHits.DescendLessOrEqual(reservation{key: key, hits: n}, func(x reservation) bool {
			r, ok = x, x.key == key
			return false
		})
	}
	if ok {
		h.drop(r)
	}
	return r, ok
}

// over takes out one whose time is over at now.
func (h *held) over(now time.Time) (r reservation, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok = h.byTime.Min(); !ok || r.due.After(now) {
		return reservation{}, false
	}
	h.drop(r)
	return r, true
}

// len is how many there are.
func (h *held) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byTime.Len()
}

// settlement charges so many of a reservation's hits.
func settlement(rule *policy.RateDescriptor, reserved, used ledger.Tokens) admit.Settlement {
	s := admit.Settlement{Outcome: "ok", Partial: true}
	switch rule.Hits {
	case policy.HitsPrompt:
		s.Usage = &admit.Usage{PromptTokens: int64(used)}
	case policy.HitsOutput:
		s.Usage = &admit.Usage{CompletionTokens: int64(used)}
	default:
		if used != reserved { // else as reserved
			s.Used = []policy.Amount{{Token: rule.Token, Amount: used}}
		}
	}
	return s
}
