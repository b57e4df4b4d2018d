package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	crand "crypto/rand"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/boottime"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/node/events"
	"github.com/swarmpurse/swarmpurse/node/identity"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/rls"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/socket"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
)

// Node is one running agent process.
type Node struct {
	opts    Options
	log     zerolog.Logger
	started time.Time
	clock   *core.Clock
	looked  time.Time                     // when the loop last compared the clocks
	booted  time.Duration                 // what boot showed then
	wrong   atomic.Int64                  // what SetFaults adds to the wall clock, in ns
	holder  atomic.Pointer[ledger.Holder] // this node in its present generation
	dir     uint64                        // the generation with which the data directory began

	store   *store.Store
	pool    *gossip.Pool
	engine  *admit.Engine
	metrics *telemetry.Metrics
	proxy   *llm.Proxy
	server  *api.Server
	events  *events.Hub
	auditor *auditor
	doors   []*api.Door // of HTTP
	key     identity.Key
	signer  *seal.Signer
	book    *seal.Book // of peers' keys, and what was read of theirs
	peers   peers
	mail    mailer
	refused *refusals
	rls     *rls.Server    // nil: no gRPC door
	traces  *traces.Tracer // nil: nothing is traced
	grpcLis *api.Door
	socket  *socket.Server // nil: no door for callers in Go
	sockLis *api.Door

	reporting chan struct{} // holds one while a report is made

	inputs   chan op       // to the loop, for the replica; full means busy
	looks    chan op       // to the loop: calls to decide, and questions
	poke     chan struct{} // rights may have come back
	stop     chan struct{} // closed when the loop should end
	stopped  chan struct{} // closed when it has
	waiting  atomic.Int64  // calls in the queue
	policy   atomic.Pointer[adopted]
	callers  atomic.Pointer[caller.Table] // of that policy
	trying   atomic.Pointer[trying]       // the candidate, nil if there is none
	idem     *idempotency
	draining atomic.Bool

	closing sync.Once
	carried chan struct{} // closed when what was posted is signed no more
	fatal   chan error    // the node cannot go on

	// The loop's.
	replica    *ledger.Replica
	core       core.Core
	after      []func(error) // run when the batch to come is durable, or has failed
	extra      []store.Write // the node's own writes of it
	ending     []func(error) // after, of the batch that is being written
	written    chan error    // how that went
	since      time.Time     // when it began
	saidSlow   bool
	write      func([]store.Write) error // the store's Commit
	founding   founding
	comparer   core.Comparer
	frozen     frozen
	enrolled   enrolment
	topups     topups
	deaths     deaths
	pooled     atomic.Bool // pool is there
	signed     signed
	starting   starting
	roll       revisions
	looking    sync.Mutex              // of who compares with a shadow
	shade      atomic.Pointer[shading] // the last shadow; the loop's to change
	boards     outcome.Boards          // the loop's
	counted    ledger.Instant          // when watchOutcomes last looked
	rand       *rand.Rand
	boot       func() time.Duration // the clock that counts suspension
	charter    ledger.CharterID     // of replica, and of the one that is being loaded
	next       *ledger.Replica      // of the generation that follows a claimed one, while it is made durable
	nextWrites []store.Write
	following  chan error     // how that went
	followAt   ledger.Instant // when to try again
	guarded    bool           // said of this generation that it has guardians
	unheld     ledger.Instant // since when guardians have not confirmed what is durable; 0: they have
	released   bool           // the lease was given up: this generation is over, and no other follows in this process
	failing    error          // why the last write failed; nil: it did not
	saidFenced bool
	reclaimed  map[string]telemetry.TokenAmount // by token type; the loop's
	strangers  map[string]bool                  // members by name: whether they belong to another cluster
	members    map[string]string                // how members were when that was noted for the audit log
	met        ledger.Instant                   // when the membership was taken over last
}

// New starts a node in this program: [Open] with all the time that it takes.
func New(o Options) (*Node, error) { return Open(context.Background(), o) }

// Open starts a node: it opens the data directory, joins the pool and listens. From then on it decides on calls ([Node.Admit]); [Node.Run] serves
// its doors until its context ends, and then ends it in good order, which a program that embeds a node without any wants, too. Errors say which option is
// at fault where one is. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Node, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts: o, log: o.Logger, started: time.Now(),
		inputs: make(chan op, maxOps), looks: make(chan op, maxOps), poke: make(chan struct{}, 1),
		stop: make(chan struct{}), stopped: make(chan struct{}), written: make(chan error, 1), following: make(chan error, 1),
		mail: mailer{queue: make(chan mail, maxMail)}, refused: newRefusals(), signed: newSigned(),
		reporting: make(chan struct{}, 1),
		idem:      newIdempotency(), fatal: make(chan error, 1), rand: newRand(), boot: boottime.Now,
	}
	n.events = api.NewEvents(uint64(n.started.UnixNano()))
	n.clock = core.NewClock(ledger.Instant(n.started.UnixMilli()))
	if err := n.open(ctx); err != nil {
		n.closeParts()
		return nil, err
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) (err error) {
	o := &n.opts
	ups, err := o.upstreams()
	if err != nil {
		return err
	}
	// The door first: a port in use should not leave a data directory behind.
	if err := n.listenHTTP(); err != nil {
		return err
	}
	if o.GRPC != "" {
		if n.grpcLis, err = listenGRPC(o.GRPC, api.TLSFiles{Cert: o.TLSCert, Key: o.TLSKey}); err != nil {
			return err
		}
	}
	if o.Socket != "" {
		if n.sockLis, err = listenSocket(o.Socket); err != nil {
			return err
		}
	}
	if n.metrics, err = telemetry.New(telemetry.Options{Registerer: o.Registry, Version: o.Version, Revision: o.Revision, Runtime: true}); err != nil {
		return err
	}
	if err := n.openTraces(ctx); err != nil {
		return err
	}
	n.store, err = store.Open(store.Options{Dir: o.Data, Node: o.Name, Cluster: o.Cluster, Logger: n.part("store"), Observer: n.metrics})
	if err != nil {
		return err
	}
	n.dir, n.write = n.store.Identity().Gen, n.store.Commit
	if !n.store.IsDurable() {
		n.log.Warn().Msg("no --data: this node keeps its state in memory only; rights that it holds are lost with it")
	}
	if err := n.openIdentity(); err != nil {
		return err
	}
	if err := n.loadPolicy(); err != nil {
		return err
	}
	n.engine = admit.New(n.now(), admit.Config{Node: o.Name, Gen: n.dir, Rand: newRand(), Zone: o.Zone}, n.policy.Load().policy)
	n.engine.SetReach(reachOf(ups))
	n.setTrial(n.trying.Load(), false, nil)
	if err := n.loadFrozen(); err != nil {
		return err
	}
	if err := n.loadTopUps(); err != nil {
		return err
	}
	if err := n.loadEnrolled(); err != nil {
		return err
	}
	if err := n.loadLedger(); err != nil {
		return err
	}
	if err := n.openAudit(); err != nil {
		return err
	}
	n.judgeEnrolment(n.now()) // before anybody can say anything
	// What was founded or restored is durable before anybody can hear of it.
	if n.replica.Pending() {
		n.finish(n.now(), true, n.write(n.begin(n.now())))
	}
	if n.failing != nil {
		return &OptionError{"data", n.failing, "free space on its disk, or check its rights, and start again: nothing is lost"}
	}
	n.metrics.SetSource(n.state)

	ring, err := n.ringFile()
	if err != nil {
		return err
	}
	n.pool, err = gossip.Open(ctx, gossip.Options{
		Name: o.Name, Bind: o.Gossip, Advertise: o.Advertise, Cluster: o.Cluster, KeyringFile: ring,
		Join: o.Join, SnapshotPath: n.snapshotPath(), Tags: n.tags(), Zone: o.Zone,
		BytesPerSecond: o.GossipBytesPerSecond, Faults: o.Faults, Tuning: o.GossipTuning,
		Delegate: (*delegate)(n), Rand: newRand(), Logger: n.part("gossip"), Registerer: o.Registry,
	})
	if err != nil {
		return err
	}
	n.pooled.Store(true)
	if n.proxy, err = llm.New(llm.Options{
		Admitter: n, Upstreams: ups, Node: o.Name, Traces: n.traces,
		Registerer: o.Registry, Logger: n.part("proxy"),
	}); err != nil {
		return err
	}
	n.server, err = api.New(api.Options{
		Node: n, Audit: n, Views: n, Events: n.events, Proxy: n.proxy, Keys: n, Callers: n.callers.Load,
		Metrics: promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}), TenantMetrics: n.tenantMetrics,
		Faults: o.Faults, Logger: n.part("http"), Registerer: o.Registry,
	})
	if err == nil && n.grpcLis != nil {
		log := n.part("rls")
		n.rls, err = rls.New(rls.Options{
			Node: rlsNode{n}, Logger: log, Registerer: o.Registry, TLS: n.grpcLis.TLS(log, "h2"), Callers: n.callers.Load, Locked: n.grpcLis.Locked(),
		})
		n.server.Show(n.grpcLis)
	}
	if err == nil && n.sockLis != nil {
		n.socket, err = socket.New(socket.Options{Node: n, Name: o.Name, Callers: n.callers.Load, Logger: n.part("socket"), Registerer: o.Registry})
	}
	if err == nil {
		err = telemetry.RegisterAudit(o.Registry, n.auditor.state)
	}
	if err == nil {
		err = telemetry.RegisterTrust(o.Registry, n.trustState)
	}
	if err == nil {
		go n.loop()
		n.carried = make(chan struct{})
		go func() { defer close(n.carried); n.carry() }()
		n.auditor.running = true
		go n.auditor.run()
	}
	return err
}

func (n *Node) part(name string) zerolog.Logger { return n.log.With().Str("part", name).Logger() }

func (n *Node) now() ledger.Instant { return n.at(time.Now()) }

// at is the instant of a time read with time.Now.
func (n *Node) at(t time.Time) ledger.Instant { return n.clock.At(n.elapsed(t)) }

// jumped reports that the wall clock is a second or more ahead of what the node goes by: a machine that was suspended has woken,
// and leases may be over, before the loop has looked. Calls then wait for it.
func (n *Node) jumped(t time.Time) bool {
	return ledger.Instant(t.UnixMilli()+n.wrong.Load()/int64(time.Millisecond))-n.at(t) > 1000
}

func (n *Node) elapsed(t time.Time) ledger.Millis {
	return ledger.Millis(t.Sub(n.started).Milliseconds())
}

func newRand() *rand.Rand {
	var seed [32]byte
	if _, err := crand.Read(seed[:]); err != nil {
		panic(fmt.Sprintf("BUG: crypto/rand does not fail: %v", err))
	}
	return rand.New(rand.NewChaCha8(seed))
}

// self is this node in its present generation. Safe for concurrent use.
func (n *Node) self() ledger.Holder { return *n.holder.Load() }

// resolve tells the ledger what an instance is by the present policy.
func (n *Node) resolve(id ledger.InstanceID) (ledger.Spec, bool) {
	b, _, ok := n.policy.Load().policy.Resolve(n.charter, id)
	if !ok {
		return ledger.Spec{}, false
	}
	return b.Spec, true
}

// Run serves until ctx ends, then drains, hands the node's rights on and closes. It returns nil after a
// clean shutdown.
func (n *Node) Run(ctx context.Context) error {
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var doors errgroup.Group // each ends when the context does, or the port fails
	served := make(chan error, 1)
	failed := make(chan error, len(n.doors)+2)
	serve := func(name string, f func(context.Context, net.Listener) error, ln net.Listener) {
		doors.Go(func() error {
			err := f(serveCtx, ln)
			failed <- fmt.Errorf("the %s server ended: %w", name, err)
			return err
		})
	}
	for _, d := range n.doors {
		serve("HTTP", n.server.Serve, d)
	}
	if n.rls != nil {
		serve("gRPC", n.rls.Serve, n.grpcLis)
	}
	if n.socket != nil {
		serve("socket", n.socket.Serve, n.sockLis)
	}
	go func() { served <- doors.Wait() }()
	n.log.Info().Str("gossip", n.pool.Addr()).Str("http", n.HTTPAddr()).Str("grpc", n.GRPCAddr()).Str("socket", n.SocketAddr()).Str("version", n.opts.Version).
		Str("key", n.identity().Key.String()).Int64("policy_revision", n.policy.Load().policy.Revision()).Msg("node started")

	var err error
	select {
	case <-ctx.Done():
		n.drain()
	case err = <-failed:
	case err = <-n.fatal:
	case <-n.stopped:
		err = errors.New("the node was closed")
	}
	stopServing()
	select {
	case e := <-served:
		if e != nil && !errors.Is(e, http.ErrServerClosed) && err == nil {
			err = e
		}
	case <-time.After(15 * time.Second):
		n.log.Warn().Msg("connections did not end in time")
	}
	n.Close()
	n.log.Info().Msg("node stopped")
	return err
}

// Close stops everything at once, without draining: what a crash would leave on disk is what it leaves. It
// may be called more than once.
func (n *Node) Close() {
	n.closing.Do(func() {
		close(n.stop)
		<-n.stopped
		<-n.carried
		n.closeParts()
	})
}

func (n *Node) closeParts() {
	if n.pool != nil {
		_ = n.pool.Close()
	}
	for _, d := range n.doors {
		_ = d.Close()
	}
	if n.grpcLis != nil {
		_ = n.grpcLis.Close()
	}
	if n.sockLis != nil {
		_ = n.sockLis.Close()
	}
	n.auditor.close()
	n.closeTraces()
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Error().Err(err).Msg("closing the data directory")
		}
	}
}

// HTTPAddr is where others find the HTTP API: a URL's base, or unix:/path. Of several addresses it is the first that is not for this
// machine only, else the first that is no socket's. An address that is every interface's is told as the host
// that gossip is told at. "" if there is none.
func (n *Node) HTTPAddr() string {
	if len(n.doors) == 0 {
		return ""
	}
	door := n.doors[0]
	if i := slices.IndexFunc(n.doors, (*api.Door).Locked); i >= 0 {
		door = n.doors[i]
	} else if i := slices.IndexFunc(n.doors, func(d *api.Door) bool { return d.Addr().Network() != "unix" }); i >= 0 {
		door = n.doors[i]
	}
	a := door.Addr()
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	scheme, at := "http://", a.String()
	if door.Secure() {
		scheme = "https://"
	}
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		if host, _, err := net.SplitHostPort(cmp.Or(n.opts.Advertise, n.opts.Gossip)); err == nil && host != "" {
			if ip := net.ParseIP(host); ip == nil || !ip.IsUnspecified() {
				at = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
			}
		}
	}
	return scheme + at
}

// GossipAddr is where the node gossips, host:port.
func (n *Node) GossipAddr() string { return n.pool.Addr() }

// Tags that peers read.
const (
	tagGen      = "gen"      // generation, hexadecimal
	tagDir      = "dir"      // generation with which the data directory began; a version without it guards nobody
	tagHost     = "host"     // the machine that the node runs on
	tagHTTP     = "http"     // base of the HTTP API
	tagVersion  = "version"  // of the binary
	tagExpect   = "expect"   // --bootstrap-expect of a founder without a charter yet
	tagCharter  = "charter"  // first bytes of the charter's id
	tagRevision = "revision" // of the policy
	tagDraining = "draining" // the node is shutting down: nothing should be handed on to it
)

func (n *Node) tags() map[string]string {
	t := map[string]string{
		tagGen: strconv.FormatUint(n.self().Gen, 16), tagDir: strconv.FormatUint(n.dir, 16), tagHTTP: n.HTTPAddr(), tagVersion: n.opts.Version,
		tagRevision: strconv.FormatInt(n.policy.Load().policy.Revision(), 10), tagKey: seal.Tag(n.key.Public()),
	}
	if n.opts.Host != "" {
		t[tagHost] = n.opts.Host
	}
	if n.draining.Load() {
		t[tagDraining] = "1"
	}
	if c := n.charterTag(); c != "" {
		t[tagCharter] = c
	} else if n.opts.candidate() {
		t[tagExpect] = strconv.Itoa(n.opts.BootstrapExpect)
	}
	return t
}

func (n *Node) snapshotPath() string {
	if n.opts.Data == "" {
		return ""
	}
	return n.opts.Data + string(os.PathSeparator) + "serf.snapshot"
}

// nonce makes charters of one founder differ.
func nonce() (b [16]byte) {
	r := newRand()
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	return b
}
