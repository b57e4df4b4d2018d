package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/events"
)

// GET /v1/events: what happens at a node, as server-sent events.

// EventKinds are the kinds of the events of a node. Their data is an AuditRecord without an index, and the fields that belong to its kind
// are those of the audit log; what the log leaves out by its policy is among the events all the same.
var EventKinds = []string{
	"decision", "end", "transfer", "claim", "member", "policy", "mint", "burn", "freeze", "alarm",
}

// Other events of the stream.
const (
	EventState = "state" // an Overview, every second or less often if it is long; only if kinds names it
	EventGap   = "gap"   // events are missing before this one: EventNote
	EventBye   = "bye"   // the last one: EventNote
)

// EventNote is the data of a gap or an end.
type EventNote struct {
	Why string `json:"why"`
}

const (
	stateEvery = time.Second
	// stateBytes is how much of state a follower is sent in a second: a long one comes less often, but every stateMost.
	stateBytes = 64 << 10
	stateMost  = 10 * time.Second
	// heartbeat keeps connections open on which nothing happens, and finds those that are gone.
	heartbeat = 15 * time.Second
	// writePatience is how long a follower may take to take what is written.
	writePatience = 10 * time.Second
	// comeAgain is when a follower should try again after its connection broke.
	comeAgain = 2 * time.Second
)

// stateEvent makes the overview once for all followers.
type stateEvent struct {
	mu    sync.Mutex // guards the rest
	at    time.Time
	every time.Duration
	data  []byte
}

// get makes it if it is old.
func (e *stateEvent) get(now time.Time, v Viewer) (data []byte, every time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.data == nil || now.Sub(e.at) >= e.every {
		if e.data, err = json.Marshal(v.Overview(defaultInstancesShown)); err != nil {
			return nil, 0, err
		}
		e.at = now
		e.every = max(stateEvery, min(stateMost, stateEvery*time.Duration(len(e.data))/stateBytes))
	}
	return e.data, e.every, nil
}

// stream writes events. The first error ends it.
type stream struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf bytes.Buffer
}

func (s *stream) add(id, kind string, data []byte) {
	if id != "" {
		fmt.Fprintf(&s.buf, "id: %s\n", id)
	}
	fmt.Fprintf(&s.buf, "event: %s\ndata: %s\n\n", kind, data) // JSON has no line ends of its own
}

func (s *stream) note(kind, why string) {
	data, _ := json.Marshal(EventNote{why})
	s.add("", kind, data)
}

// send writes what was added.
func (s *stream) send() error {
	// Without a deadline a reader that takes nothing would hold its connection for ever.
	if err := s.rc.SetWriteDeadline(time.Now().Add(writePatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	defer s.buf.Reset()
	if _, err := s.w.Write(s.buf.Bytes()); err != nil {
		return err
	}
	return s.rc.Flush()
}

func (s *Server) follow(w http.ResponseWriter, r *http.Request) error {
	kinds, state, err := s.eventKinds(r)
	if err != nil {
		return err
	}
	f, missed, err := s.events.Follow(r.Header.Get("Last-Event-ID"))
	switch {
	case errors.Is(err, events.ErrFull):
		e := newError(http.StatusServiceUnavailable, ErrCodeNotReady, "", "%d follow the events of this node, and no more may: close one", events.MaxFollowers)
		e.RetryAfter = heartbeat
		return e
	case err != nil:
		return newError(http.StatusServiceUnavailable, ErrCodeNotReady, "", "%s: follow another node", err.Error())
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx holds answers back otherwise
	out := &stream{w: w, rc: http.NewResponseController(w)}
	fmt.Fprintf(&out.buf, "retry: %d\n\n", comeAgain.Milliseconds())
	if missed {
		out.note(EventGap, "what happened in between is not kept any more")
	}
	err = s.feed(r.Context(), out, f, kinds, state)
	if errors.Is(err, errSlow) || err != nil && r.Context().Err() == nil {
		s.log.Debug().Err(err).Str("remote", r.RemoteAddr).Msg("http: a follower of events was too slow")
	}
	return nil // whatever it is: the answer has begun
}

var errSlow = errors.New("it fell behind")

// feed writes until the reader goes, or the events end.
func (s *Server) feed(ctx context.Context, out *stream, f *events.Follower, kinds []string, state bool) error {
	wait := heartbeat
	showState := func() (err error) {
		if !state {
			out.buf.WriteString(":\n\n")
			return nil
		}
		var data []byte
		if data, wait, err = s.state.get(time.Now(), s.views); err == nil {
			out.add("", EventState, data)
		}
		return err
	}
	if err := showState(); err != nil {
		return err
	}
	if err := out.send(); err != nil {
		return err
	}
	next := time.NewTimer(wait)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.events.Ended():
			out.note(EventBye, "the node is shutting down")
			return out.send()
		case <-f.Wake():
			list, ok := f.Take()
			if !ok {
				return errSlow
			}
			for _, e := range list {
				if slices.Contains(kinds, e.Kind) {
					out.add(s.events.ID(e.Seq), e.Kind, e.Data)
				}
			}
			if out.buf.Len() == 0 {
				continue
			}
		case <-next.C:
			if err := showState(); err != nil {
				return err
			}
			next.Reset(wait)
		}
		if err := out.send(); err != nil {
			if ctx.Err() == nil {
				f.TooSlow()
			}
			return err
		}
	}
}

// eventKinds reads which kinds are wanted: all but state, if none are named.
func (s *Server) eventKinds(r *http.Request) (kinds []string, state bool, err error) {
	q := r.URL.Query().Get("kinds")
	if q == "" {
		return EventKinds, false, nil
	}
	for k := range strings.SplitSeq(q, ",") {
		switch {
		case k == EventState && s.views != nil:
			state = true
		case slices.Contains(EventKinds, k):
			kinds = append(kinds, k)
		default:
			return nil, false, badRequest(ErrCodeInvalid, "kinds", "kinds has %q: there are %s, %s", clip(k, maxEchoLen), strings.Join(EventKinds, ", "), EventState)
		}
	}
	return kinds, state, nil
}

// eventMetrics registers what is counted of those who follow.
func eventMetrics(reg prometheus.Registerer, h *events.Hub) error {
	if reg == nil {
		return nil
	}
	for _, c := range eventCollectors(h) {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("http metrics: %w", err)
		}
	}
	return nil
}

func eventCollectors(h *events.Hub) []prometheus.Collector {
	list := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "swarmpurse_http_event_followers", Help: "Who follow GET /v1/events now."},
			func() float64 { return float64(h.Followers()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "swarmpurse_http_event_followers_lost_total", Help: "Who followed GET /v1/events and were let go because they were too slow."},
			func() float64 { return float64(h.Slow()) }),
	}
	for _, k := range EventKinds {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "swarmpurse_http_events_left_out_total", Help: "Events that followers were not told of, because there were too many of their kind in a second.",
			ConstLabels: prometheus.Labels{"kind": k},
		}, func() float64 { return float64(h.LeftOut()[k]) }))
	}
	return list
}

// NewEvents makes the hub of a node's events. life tells this process from earlier ones.
func NewEvents(life uint64) *events.Hub {
	return events.New(strconv.FormatUint(life, 36), EventKinds...)
}
