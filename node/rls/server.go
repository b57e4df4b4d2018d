package rls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	gstatus "google.golang.org/grpc/status"

	"github.com/swarmpurse/swarmpurse/node/caller"
)

// Bounds of the listener.
const (
	maxConns       = 1024 // more wait in the kernel's queue; an Envoy keeps one for each of its workers
	maxStreams     = 1024 // requests at once on one connection
	maxHeaderBytes = 64 << 10
	handshake      = 10 * time.Second
	idleTimeout    = 15 * time.Minute
	minPing        = 5 * time.Second // between a client's pings
	workers        = 128             // goroutines that stay, with 8 kB each
)

// lookEvery is how often health and the reservations that wait for a refund are looked at.
const lookEvery = 200 * time.Millisecond

// defaultGrace is how long requests in flight may take to end after the context of Serve has.
const defaultGrace = 5 * time.Second

// Options make a Server. Node is required.
type Options struct {
	Node       Node
	Logger     zerolog.Logger        // the zero value is silent
	Registerer prometheus.Registerer // for swarmpurse_ratelimit_*; nil: the metrics are kept but shown nowhere

	TLS     *tls.Config          // what is spoken; nil: no TLS
	Callers func() *caller.Table // knows the keys of callers; nil, or a nil Table, knows none
	Locked  bool                 // requests need a key
}

// Server is the gRPC door of one node. Safe for concurrent use.
type Server struct {
	pb.UnimplementedRateLimitServiceServer

	node    Node
	log     zerolog.Logger
	metrics *metrics
	grpc    *grpc.Server
	health  *health.Server
	held    *held
	callers func() *caller.Table
	locked  bool
}

// New builds a server that listens nowhere yet: see Serve.
func New(o Options) (*Server, error) {
	if o.Node == nil {
		return nil, errors.New("rls: Options.Node is missing")
	}
	s := &Server{node: o.Node, log: o.Logger, held: newHeld(), health: health.NewServer(), callers: o.Callers, locked: o.Locked}
	if s.callers == nil {
		s.callers = func() *caller.Table { return nil }
	}
	var err error
	if s.metrics, err = newMetrics(o.Registerer, s.node.Rules, s.held.len); err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(creds),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaderBytes), grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		// Goroutines that stay keep the stacks that a decision needs: growing them anew was a tenth of a request. A call that waits
		// takes one; beyond them others get new ones, as without.
		grpc.NumStreamWorkers(workers),
	)
	pb.RegisterRateLimitServiceServer(s.grpc, s)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	s.tell(false)
	return s, nil
}

// guard makes a panic an error of one call. It is deferred by the call itself: an interceptor would cost it three allocations.
func (s *Server) guard(out **pb.RateLimitResponse, err *error) {
	if p := recover(); p != nil {
		s.log.Error().Str("panic", fmt.Sprint(p)).Str("stack", string(debug.Stack())).Msg("rls: a call panicked")
		s.metrics.requests.WithLabelValues("panic").Inc()
		*out, *err = nil, gstatus.Error(codes.Internal, "a bug of the node: its log says more")
	}
}

// tell sets what the health service says, of the server as a whole and of the rate limit service.
func (s *Server) tell(serving bool) {
	now := healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		now = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", now)
	s.health.SetServingStatus(pb.RateLimitService_ServiceDesc.ServiceName, now)
}

// Serve answers on ln until ctx ends, then lets requests in flight end, for some seconds, and returns nil.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	inner, stop := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		s.look(inner)
	}()
	ended := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(ended)
		s.shutdown()
	})
	s.log.Info().Str("address", ln.Addr().String()).Msg("rls: listening")
	err := s.grpc.Serve(netutil.LimitListener(ln, maxConns))
	if !unhook() {
		<-ended
		err = nil
	}
	stop()
	<-looked
	s.Flush()
	if err != nil {
		return fmt.Errorf("rls: %w", err)
	}
	return nil
}

func (s *Server) shutdown() {
	s.health.Shutdown()
	cut := time.AfterFunc(defaultGrace, func() {
		s.log.Warn().Msg("rls: requests were cut off")
		s.grpc.Stop()
	})
	s.grpc.GracefulStop()
	cut.Stop()
}

// look keeps health up to date, and charges what was held long enough.
func (s *Server) look(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.tell(s.node.Serving())
		s.expire(time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) expire(now time.Time) {
	for {
		r, ok := s.held.over(now)
		if !ok {
			return
		}
		s.charge(r, r.hits)
	}
}

// Drain says that the node is about to end: health tells callers to go elsewhere. Requests are answered on; the node refuses what is new.
func (s *Server) Drain() { s.tell(false) }

// Flush charges all that still waits for a refund.
func (s *Server) Flush() { s.expire(time.Now().Add(365 * 24 * time.Hour)) }
