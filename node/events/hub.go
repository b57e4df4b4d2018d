package events

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// keep is how many events are held for followers that are behind, or come again.
	keep = 1024
	// maxData bounds one event's JSON, in bytes; longer ones are left out.
	maxData = 8 << 10
	// perSecond and burst bound the events of one kind. More than that nobody can read, and a busy node decides on thousands of calls.
	perSecond, burst = 50, 100
	// MaxFollowers bounds those who follow at one time.
	MaxFollowers = 32
	// backlog is how many earlier events a new follower is given.
	backlog = 50
	// linger is how long events are still kept when the last follower has gone, so that one whose connection broke finds its place again.
	linger = 30 * time.Second
)

// Errors of Follow.
var (
	ErrFull  = errors.New("too many follow the events of this node already")
	ErrEnded = errors.New("the node is shutting down")
)

// Event is something that happened.
type Event struct {
	Seq  uint64 // rises by one from event to event
	Kind string
	Data []byte // JSON; not to be changed
}

// Hub keeps the last events. All methods are safe for concurrent use, and do nothing on a nil *Hub.
type Hub struct {
	life  string           // of the process: sequence numbers of another one mean nothing
	kinds map[string]*kind // fixed
	on    atomic.Bool      // somebody follows, or did of late

	followers, slow atomic.Int64

	mu       sync.Mutex // guards the rest
	ring     [keep]Event
	first    uint64 // the oldest event that is kept
	next     uint64 // of the next one
	all      map[*Follower]struct{}
	stop     *time.Timer // ends the keeping, while nobody follows
	ended    chan struct{}
	hasEnded bool
}

// kind is how much of one kind there is.
type kind struct {
	limit   *rate.Limiter
	leftOut atomic.Uint64
}

// New makes a hub for events of the kinds given. life tells this process from earlier ones of the same node; no "-" is in it.
func New(life string, kinds ...string) *Hub {
	h := &Hub{life: life, kinds: map[string]*kind{}, first: 1, next: 1, all: map[*Follower]struct{}{}, ended: make(chan struct{})}
	for _, k := range kinds {
		h.kinds[k] = &kind{limit: rate.NewLimiter(perSecond, burst)}
	}
	return h
}

// Wants reports whether an event of that kind would be kept now, and counts it as left out if only the bound on its kind
// says no. Ask before making what is dear to make, and publish if it says yes.
func (h *Hub) Wants(name string) bool {
	if h == nil || !h.on.Load() {
		return false
	}
	k := h.kinds[name]
	if k == nil {
		return false
	}
	if !k.limit.Allow() {
		k.leftOut.Add(1)
		return false
	}
	return true
}

// Publish keeps an event that Wants has asked for. v is made JSON.
func (h *Hub) Publish(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil || len(data) > maxData {
		h.kinds[name].leftOut.Add(1)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.on.Load() {
		return
	}
	h.ring[h.next%keep] = Event{h.next, name, data}
	h.next++
	if h.next-h.first > keep {
		h.first = h.next - keep
	}
	for f := range h.all {
		select {
		case f.wake <- struct{}{}:
		default: // it has been woken and has not looked yet
		}
	}
}

// LeftOut tells how many events of each kind there were too many of while somebody followed, since the start.
func (h *Hub) LeftOut() map[string]uint64 {
	out := map[string]uint64{}
	if h == nil {
		return out
	}
	for name, k := range h.kinds {
		out[name] = k.leftOut.Load()
	}
	return out
}

// Followers is how many follow now.
func (h *Hub) Followers() int { return int(h.followers.Load()) }

// Slow is how many followers lost their place because they were too slow, since the start.
func (h *Hub) Slow() int64 { return h.slow.Load() }

// End lets all followers go: none comes again.
func (h *Hub) End() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hasEnded {
		h.hasEnded = true
		close(h.ended)
		h.on.Store(false)
		if h.stop != nil {
			h.stop.Stop()
		}
	}
}

// Ended is closed by End.
func (h *Hub) Ended() <-chan struct{} { return h.ended }

// ID writes the place of an event as followers are told it.
func (h *Hub) ID(seq uint64) string { return h.life + "-" + strconv.FormatUint(seq, 10) }

// place is the inverse of ID; false for an id of another process.
func (h *Hub) place(id string) (seq uint64, ok bool) {
	life, n, _ := strings.Cut(id, "-")
	seq, err := strconv.ParseUint(n, 10, 64)
	return seq, err == nil && life == h.life
}
