package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/swarmpurse/swarmpurse/node/api/ui"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/events"
)

// Options make a Server. Node is required, everything else has a default.
type Options struct {
	Node Node

	// Proxy serves /openai/, /t/ and /a/, which are unknown paths without it. It is given requests that
	// have passed the fence against browsers, and does its own reading, bounding and refusing.
	Proxy http.Handler

	// Metrics serves /metrics, which is an unknown path without it.
	Metrics http.Handler

	// TenantMetrics makes what serves a tenant's own metrics at /metrics; nil refuses tenants there.
	TenantMetrics func(tenant string) http.Handler

	// Audit serves /v1/audit, which is an unknown path without it.
	Audit Auditor

	// Views serves /v1/overview, which is an unknown path without it.
	Views Viewer

	// Events serves /v1/events, which is an unknown path without it. The server ends it when it shuts down.
	Events *events.Hub
	// Keys serves /v1/gossip/keys, which is an unknown path without it.
	Keys Keys

	// Callers knows the keys of callers; nil, or a nil Table, knows none.
	Callers func() *caller.Table

	// Faults allows POST /debug/faults.
	Faults bool

	Logger     zerolog.Logger        // the zero value is silent
	Registerer prometheus.Registerer // for swarmpurse_http_*; nil: the metrics are kept but shown nowhere

	// MaxConns bounds the connections of each listener; more wait in the kernel's queue. Every agent
	// keeps a few open. 0 means 16,384, at some 10 kB each.
	MaxConns int

	// HeaderTimeout is how long a TLS handshake may take, and then the headers of a request; 0 means 10 s.
	HeaderTimeout time.Duration

	// BodyTimeout is how long a body may take to arrive once its headers have; 0 means 10 s. The
	// proxy bounds its own.
	BodyTimeout time.Duration

	// Grace is how long calls in flight may take to end after the context of Serve has; 0 means 10 s.
	Grace time.Duration
}

const (
	defaultMaxConns    = 16384
	defaultBodyTimeout = 10 * time.Second
	defaultGrace       = 10 * time.Second
	readHeaderTimeout  = 10 * time.Second
	writeTimeout       = 30 * time.Second // for one write, not for an answer
	idleTimeout        = 5 * time.Minute  // agents think between calls; a new connection costs more than an idle one
	maxHeaderBytes     = 64 << 10
)

// Server is the HTTP door of one node. Safe for concurrent use.
type Server struct {
	node        Node
	views       Viewer
	events      *events.Hub
	state       stateEvent
	log         zerolog.Logger
	metrics     *metrics
	calls       *Calls
	routes      []Route
	mux         *http.ServeMux
	http        *http.Server
	origin      *http.CrossOriginProtection
	bodyTimeout time.Duration
	maxConns    int
	grace       time.Duration
}

// New builds a server that listens nowhere yet: see Serve and Handler.
func New(o Options) (*Server, error) {
	if o.Node == nil {
		return nil, errors.New("api: Options.Node is missing")
	}
	if o.MaxConns < 0 || o.HeaderTimeout < 0 || o.BodyTimeout < 0 || o.Grace < 0 {
		return nil, fmt.Errorf("api: MaxConns %d, HeaderTimeout %v, BodyTimeout %v and Grace %v must not be negative", o.MaxConns, o.HeaderTimeout, o.BodyTimeout, o.Grace)
	}
	m, err := newMetrics(o.Registerer)
	if err == nil && o.Events != nil {
		err = eventMetrics(o.Registerer, o.Events)
	}
	if err != nil {
		return nil, err
	}
	s := &Server{
		node:        o.Node,
		views:       o.Views,
		events:      o.Events,
		log:         o.Logger,
		metrics:     m,
		calls:       &Calls{Node: o.Node, Callers: o.Callers, Refuse: m.refuse},
		mux:         http.NewServeMux(),
		origin:      http.NewCrossOriginProtection(),
		bodyTimeout: orDefault(o.BodyTimeout, defaultBodyTimeout),
		maxConns:    orDefault(o.MaxConns, defaultMaxConns),
		grace:       orDefault(o.Grace, defaultGrace),
	}
	if s.calls.Callers == nil {
		s.calls.Callers = func() *caller.Table { return nil }
	}
	if err := registerCallers(o.Registerer, s.calls.Callers); err != nil {
		return nil, err
	}
	s.mount(o)
	s.http = &http.Server{
		Handler: s.mux,
		// No ReadTimeout and no WriteTimeout: they would cut streams. Bodies have their own deadline.
		ReadHeaderTimeout: orDefault(o.HeaderTimeout, readHeaderTimeout),
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(httpLog{o.Logger}, "", 0),
		ConnContext:       watchedContext,
		ConnState:         s.connState,
		BaseContext: func(ln net.Listener) context.Context {
			if l, ok := ln.(*served); ok {
				return context.WithValue(context.Background(), doorKey{}, l.door)
			}
			return context.Background()
		},
	}
	s.http.RegisterOnShutdown(o.Events.End)
	return s, nil
}

// mount states every route, with those who may use it: see Audience.
func (s *Server) mount(o Options) {
	s.handle("/v1/admit", methods{"POST": {Tenants, s.admit}})
	s.handle("/v1/settle", methods{"POST": {Tenants, s.settle}})
	s.handle("/v1/score", methods{"POST": {Tenants, s.score}})
	s.handle("/v1/release", methods{"POST": {Tenants, s.release}})
	s.handle("/v1/caller", methods{"GET": {Tenants, s.whoCalls}})
	s.handle("/v1/mint", methods{"POST": {Operators, s.mint}})
	s.handle("/v1/burn", methods{"POST": {Operators, s.burn}})
	s.handle("/v1/freeze", methods{"GET": {Tenants, s.frozen}, "POST": {Operators, s.freezeTo(true)}})
	s.handle("/v1/unfreeze", methods{"POST": {Operators, s.freezeTo(false)}})
	s.handle("/v1/budgets", methods{"GET": {Tenants, s.budgets}})
	s.handle("/v1/budgets/{name}", methods{"GET": {Tenants, s.budget}})
	s.handle("/v1/members", methods{"GET": {Operators, s.members}})
	s.handle("/v1/members/{name}/remove", methods{"POST": {Operators, s.removeMember}})
	s.handle("/v1/decisions", methods{"GET": {Tenants, s.decisions}})
	s.handle("/v1/decisions/{id}", methods{"GET": {Tenants, s.decision}})
	s.handle("/v1/policy", methods{"GET": {Operators, s.policy}, "PUT": {Operators, s.putPolicy}})
	for _, what := range []string{Promote, Pause, Resume, RollBack} {
		s.handle("/v1/policy/"+what, methods{"POST": {Operators, s.policyAct(what)}})
	}
	s.handle("/v1/policy/history", methods{"GET": {Operators, s.policyHistory}})
	s.handle("/v1/trust", methods{"GET": {Operators, s.trust}})
	s.handle("/v1/enrolment", methods{"GET": {Operators, s.enrolment}, "POST": {Operators, s.enrol}})
	s.handle("/v1/status", methods{"GET": {Operators, s.status}})
	s.handle("/healthz", methods{"GET": {Public, s.health}})
	s.handle("/readyz", methods{"GET": {Public, s.ready}})
	s.auditRoutes(o.Audit)
	s.keyRoutes(o.Keys)
	if o.Views != nil {
		s.handle("/v1/overview", methods{"GET": {Operators, s.overview}})
	}
	if o.Events != nil {
		s.handle("/v1/events", methods{"GET": {Operators, s.follow}}) // what happens to all tenants
	}
	if o.Metrics != nil {
		s.handle("/metrics", methods{"GET": {Tenants, s.metricsOf(o)}})
	}
	s.handle("/ui/", methods{"GET": {Public, passThrough(http.StripPrefix("/ui/", ui.Handler()))}}) // what they show is asked for by the routes above
	s.handle("/ui", methods{"GET": {Public, passThrough(http.RedirectHandler("/ui/", http.StatusTemporaryRedirect))}})
	faults := s.faults
	if !o.Faults {
		faults = func(http.ResponseWriter, *http.Request) error {
			return newError(http.StatusForbidden, ErrCodeDisabled, "", "faults are for demonstrations and tests: start the node with --faults to allow them")
		}
	}
	s.handle("/debug/faults", methods{"POST": {Machine, faults}})
	for path, h := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index,
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		s.handle(path, methods{"GET": {Machine, passThrough(h)}})
	}
	if o.Proxy != nil {
		s.handle("/openai/", methods{"": {Tenants, passThrough(o.Proxy)}})
		s.handle("/anthropic/", methods{"": {Tenants, passThrough(o.Proxy)}})
		s.handle("/t/", methods{"": {Tenants, passThrough(o.Proxy)}})
		s.handle("/a/", methods{"": {Tenants, passThrough(o.Proxy)}})
	}
	s.handle("/", methods{"": {Public, func(w http.ResponseWriter, r *http.Request) error {
		return newError(http.StatusNotFound, ErrCodePath, "", "there is nothing at %q: the calls are under /v1/, as POST /v1/admit or GET /v1/budgets, the proxy under /openai/v1/ and /anthropic/v1/, and the dashboard is /ui/", clip(r.URL.Path, maxEchoLen))
	}}})
}

// Handler is the server without its listener: for tests and for mounting elsewhere.
func (s *Server) Handler() http.Handler { return s.mux }

// Serve answers on ln until ctx ends or Shutdown is called, then lets calls in flight end, for at
// most Grace, and returns nil. It may be called for several listeners at once. It refuses a TCP
// listener that is not on loopback and did not come from Listen.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	door, err := doorOf(ln)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.Background(), s.grace)
		defer cancel()
		if err := s.Shutdown(grace); err != nil {
			s.log.Warn().Err(err).Msg("http: calls were cut off")
		}
	})
	s.log.Info().Str("address", ln.Addr().String()).Bool("tls", door.Secure()).Bool("keys", door.locked).Msg("http: listening")
	var in net.Listener = watching{netutil.LimitListener(door.Listener, s.maxConns)}
	if door.cert != nil {
		door.cert.log = s.log
		s.metrics.show(door.cert)
		in = tls.NewListener(in, door.cert.config())
	}
	err = s.http.Serve(&served{in, door})
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("http: %w", err)
}

// Show tells of the certificate of a door that another server serves, if it has one.
func (s *Server) Show(d *Door) {
	if d.cert != nil {
		s.metrics.show(d.cert)
	}
}

// served has the connections of a door know it.
type served struct {
	net.Listener
	door *Door
}

type doorKey struct{}

// locked reports whether a request came in where callers need keys. One that came by no door of ours did not come from this machine,
// for all that is known.
func locked(r *http.Request) bool {
	if d, ok := r.Context().Value(doorKey{}).(*Door); ok {
		return d.locked
	}
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return !local(addr)
}

// Shutdown stops listening and waits until calls in flight have ended. When ctx ends first it cuts
// them off and says so.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	n := s.metrics.inFlightNow.Load()
	if cerr := s.http.Close(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	return fmt.Errorf("http: %d calls had not ended: %w", n, err)
}

type handler func(http.ResponseWriter, *http.Request) error

// methods holds a path's handlers by method; "" takes any.
type methods map[string]route

// route is a handler with those who may use it.
type route struct {
	who Audience
	h   handler
}

func (m methods) find(method string) (route, error) {
	if h, ok := m[""]; ok {
		return h, nil
	}
	if h, ok := m[method]; ok {
		return h, nil
	}
	if h, ok := m["GET"]; ok && method == http.MethodHead {
		return h, nil // net/http drops the body
	}
	allow := m.allow()
	return route{}, newError(http.StatusMethodNotAllowed, ErrCodeMethod, "", "%s is not allowed here: use %s", clip(method, maxEchoLen), allow)
}

func (m methods) allow() string {
	var names []string
	for name := range m {
		names = append(names, name)
		if name == "GET" {
			names = append(names, "HEAD")
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func passThrough(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// httpLog takes net/http's own lines: handshakes and broken connections, nobody's alarm.
type httpLog struct{ log zerolog.Logger }

func (l httpLog) Write(p []byte) (int, error) {
	l.log.Debug().Msg("http: " + strings.TrimSpace(string(p)))
	return len(p), nil
}

func orDefault[T int | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// metricsOf serves all metrics to who may see all, and to a tenant its own.
func (s *Server) metricsOf(o Options) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h, v := o.Metrics, ViewOf(r.Context())
		if !v.All {
			if o.TenantMetrics == nil {
				return s.forbid("operator", "", "this node shows metrics to operators only")
			}
			h = o.TenantMetrics(v.Tenant)
		}
		h.ServeHTTP(w, r)
		return nil
	}
}
