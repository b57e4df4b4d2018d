package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
)

// Bounds. A connection has two buffers of some 64 kB while it is busy, and as much as its calls that wait.
const (
	maxConns = 1024 // more wait in the kernel's queue; a program needs one
	window   = 1024 // calls of one connection that wait at once; more are refused
	// maxOut is how much of answers is put together before it is written.
	maxOut = 64 << 10

	defaultTime  = 10 * time.Second
	defaultGrace = 5 * time.Second
)

// Node is what the door asks. All methods are safe for concurrent use.
type Node interface {
	api.CallNode
	// TryAdmit is Admit for what can be decided at once; false: ask Admit. It keeps nothing of r but strings.
	TryAdmit(r *admit.Request) (admit.Answer, bool, error)
}

// Options make a Server. Node is required.
type Options struct {
	Node       Node
	Name       string                // of the node, told to callers
	Callers    func() *caller.Table  // knows the keys of callers; nil, or a nil Table, knows none
	Logger     zerolog.Logger        // the zero value is silent
	Registerer prometheus.Registerer // for swarmpurse_socket_*; nil: the metrics are kept but shown nowhere

	// Time is how long the hello, a frame that has begun, and a write of answers may take; 0 means 10 s.
	Time time.Duration
	// Grace is how long connections may stay after the context of Serve has ended; 0 means 5 s.
	Grace time.Duration
}

// Server is the door. Safe for concurrent use.
type Server struct {
	node    Node
	name    string
	calls   api.Calls
	log     zerolog.Logger
	metrics *metrics
	time    time.Duration
	grace   time.Duration

	mu    sync.Mutex // guards below
	conns map[*conn]struct{}
	done  bool // no more are taken
}

// New builds a server that listens nowhere yet: see Serve.
func New(o Options) (*Server, error) {
	if o.Node == nil {
		return nil, errors.New("socket: Options.Node is missing")
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Server{node: o.Node, name: o.Name, log: o.Logger, metrics: m, time: o.Time, grace: o.Grace, conns: map[*conn]struct{}{}}
	if s.time == 0 {
		s.time = defaultTime
	}
	if s.grace == 0 {
		s.grace = defaultGrace
	}
	if o.Callers == nil {
		o.Callers = func() *caller.Table { return nil }
	}
	s.calls = api.Calls{Node: o.Node, Callers: o.Callers, Refuse: m.refuse}
	return s, nil
}

// Serve answers on ln, which must be a Unix socket, until ctx ends. Then callers are told to send what is new elsewhere; connections that are
// still there after the grace are cut. It returns nil after that.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if network := ln.Addr().Network(); network != "unix" {
		return fmt.Errorf("socket: refusing to serve %s: only a Unix socket is this user's alone", network)
	}
	s.log.Info().Str("address", ln.Addr().String()).Msg("socket: listening")
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var open sync.WaitGroup
	in := netutil.LimitListener(ln, maxConns)
	var err error
	for {
		var c net.Conn
		if c, err = in.Accept(); err != nil {
			break
		}
		open.Go(func() { s.serve(c) })
	}
	if ctx.Err() != nil {
		err = nil
	}
	s.end(&open)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	return nil
}

// end lets connections end, and cuts those that do not.
func (s *Server) end(open *sync.WaitGroup) {
	s.mu.Lock()
	s.done = true
	for c := range s.conns {
		go c.bye()
	}
	s.mu.Unlock()
	late := time.AfterFunc(s.grace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.cut(cutEnd, nil)
		}
	})
	open.Wait()
	late.Stop()
}

// enter keeps a connection in view; false: the server has ended.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return false
	}
	s.conns[c] = struct{}{}
	s.metrics.open.Add(1)
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.metrics.open.Add(-1)
}
