package llm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// Proxy is an http.Handler for Patterns. It is safe for concurrent use.
type Proxy struct {
	o         Options
	m         *metrics
	upstreams atomic.Pointer[map[string]*Upstream]
	buffered  atomic.Int64 // bytes of request bodies in memory
	buffers   sync.Pool    // *[readSize]byte

	base context.Context // ends when Drain runs out of time: cuts every upstream
	cut  context.CancelFunc

	mu       sync.Mutex // guards the rest
	inFlight int
	draining bool
	idle     chan struct{} // closed when draining and nothing is in flight
}

// New checks the options and returns a Proxy. It starts nothing.
func New(o Options) (*Proxy, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	p := &Proxy{o: o, idle: make(chan struct{})}
	if err := p.Reload(o.Upstreams); err != nil {
		return nil, fmt.Errorf("llm: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("llm: metrics: %w", err)
	}
	p.m = m
	p.base, p.cut = context.WithCancel(context.Background())
	return p, nil
}

// Reload replaces the upstreams. Calls under way go on at the one that they began with. On an error
// nothing changes.
func (p *Proxy) Reload(ups []Upstream) error {
	m, err := checkUpstreams(ups)
	if err != nil {
		return err
	}
	p.upstreams.Store(&m)
	return nil
}

// Drain refuses new calls and waits for those in flight. When ctx ends it cuts their upstreams, so
// that they settle at once, and still waits until they have. It returns ctx's error if it had to cut.
func (p *Proxy) Drain(ctx context.Context) error {
	p.mu.Lock()
	if !p.draining {
		p.draining = true
		if p.inFlight == 0 {
			close(p.idle)
		}
	}
	p.mu.Unlock()
	var err error
	select {
	case <-p.idle:
	case <-ctx.Done():
		err = ctx.Err()
		p.cut()
		<-p.idle
	}
	p.cut()
	if t, ok := p.o.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return err
}

func (p *Proxy) enter() *apiError {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.draining:
		return unavailable(http.StatusServiceUnavailable, outBusy, admit.CodeDraining,
			"The node is shutting down. Retry; another node, or this one, will answer.").with("Retry-After", "1")
	case p.inFlight >= p.o.MaxInFlight:
		return unavailable(http.StatusServiceUnavailable, outBusy, "overloaded",
			"The node has %d calls in flight, which is its limit. Retry later.", p.inFlight).with("Retry-After", "1")
	}
	p.inFlight++
	p.m.inFlight.Inc()
	return nil
}

func (p *Proxy) leave() {
	p.m.inFlight.Dec()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight--; p.inFlight == 0 && p.draining {
		close(p.idle)
	}
}

// ServeHTTP answers one call.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rt, known := ParseRoute(r.URL.EscapedPath())
	if err := p.enter(); err != nil {
		p.m.calls.WithLabelValues(wire.Other.String(), string(err.outcome)).Inc()
		err.write(w, rt.Dialect)
		return
	}
	x := &exchange{p: p, w: w, r: r, rc: http.NewResponseController(w), start: start, outcome: outPanic, dialect: rt.Dialect, span: p.o.Traces.Call(r, start)}
	defer func() {
		// Also when a handler panics: the reservation must end, and the panic goes on to the server.
		x.finish()
		p.leave()
	}()
	if err := x.run(rt, known); err != nil {
		x.outcome = err.outcome
		if p.o.Node != "" {
			w.Header().Set(HeaderNode, p.o.Node)
		}
		err.write(w, rt.Dialect)
	}
}

// buffer lends a read buffer. It is not cleared: nothing reads past what was read into it.
func (p *Proxy) buffer() (buf []byte, free func()) {
	b, _ := p.buffers.Get().(*[readSize]byte)
	if b == nil {
		b = new([readSize]byte)
	}
	return b[:], func() { p.buffers.Put(b) }
}

// begin finds out where a call goes, what it is and who makes it.
func (x *exchange) begin(rt Route, known bool) *apiError {
	if !known {
		e := invalid("", "Unknown path %s: the proxy serves /openai/v1/…, /t/{tenant}/openai/v1/…, /a/{agent}/openai/v1/… and /t/{tenant}/a/{agent}/openai/v1/…, and the same with anthropic.", clip(x.r.URL.EscapedPath()))
		e.status = http.StatusNotFound
		return e.code("unknown_url")
	}
	var bad bool
	if x.ep, bad = wire.EndpointOf(rt.Dialect, x.r.Method, rt.Rest); bad {
		return invalid("", "The path %s must have no dot segments.", clip(rt.Rest))
	}
	x.rest = rt.Rest
	if x.ups = *x.p.upstreams.Load(); len(x.ups) == 0 {
		return unavailable(http.StatusServiceUnavailable, outNoUpstream, "no_upstream",
			"This node has no upstream: start it with --upstream %s=http://host/v1.", rt.Dialect)
	}
	if strings.EqualFold(x.r.Header.Get("Upgrade"), "websocket") {
		e := invalid("", "The proxy does not carry websockets: call the provider directly.")
		e.status = http.StatusNotImplemented
		return e.code("websocket_unsupported")
	}
	if err := x.p.identify(x.r, rt, &x.req); err != nil {
		return err
	}
	x.req.Attributes = attributes[rt.Dialect][x.ep]
	return nil
}
