package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
	"github.com/rs/zerolog"
)

// Pool is this node's part of the swarm's one pool.
type Pool struct {
	opts  Options
	tune  Tuning
	log   zerolog.Logger
	addr  string // host:port we are bound to
	room  int    // bytes of a user message that fit in one packet
	count counters

	serf    *serf.Serf
	net     *transport
	inbox   *inbox
	outbox  *outbox
	packets *lane
	streams *lane
	view    atomic.Pointer[view]
	seeks   bool // there were seeds, or peers of the last life, to join

	namesake atomic.Int64 // when a peer last told of a member of our name at another address, in ns; 0: never

	changed chan struct{} // serf may have changed
	seen    chan struct{} // the view has changed
	moved   chan struct{} // the same, for the list of peers on disk
	retag   chan struct{} // tags wait to be told
	syncs   chan string   // addresses of members that Sync named

	randMu sync.Mutex // guards opts.Rand

	tagMu sync.Mutex
	tags  map[string]string // guarded by tagMu

	// Leave and Close: serf must not be shut down while it leaves, so Close waits for stopMu.
	stopMu  sync.Mutex
	stopped bool // guarded by stopMu
	cancel  context.CancelFunc
	done    chan struct{}
	wg      sync.WaitGroup
}

// broadcastTimeout bounds how long serf waits for its own gossip when it leaves or changes tags.
const broadcastTimeout = 2 * time.Second

// Open binds the port, starts the pool and returns. Joining goes on in the background until Close; a
// node that reaches no seed runs alone and says so in the log. ctx bounds Open only.
func Open(ctx context.Context, o Options) (*Pool, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(o.Keys) == 0 && o.KeyringFile != "" {
		keys, err := LoadKeyring(o.KeyringFile)
		if err != nil {
			return nil, fmt.Errorf("gossip: %w", err)
		}
		o.Keys = keys
	}
	peers, err := knownPeers(o.SnapshotPath, o.Name)
	if err != nil {
		return nil, err
	}
	seeds := append([]string(nil), o.Join...)

	p := &Pool{
		opts: o, tune: o.Tuning.orProduction(),
		log:     o.Logger.With().Str("component", "gossip").Logger(),
		changed: make(chan struct{}, 1), seen: make(chan struct{}, 1), moved: make(chan struct{}, 1), retag: make(chan struct{}, 1),
		syncs: make(chan string, 64),
		done:  make(chan struct{}),
		tags:  o.allTags(),
	}
	p.seeks = len(seeds)+len(peers) > 0
	p.view.Store(&view{})
	p.room = packetRoom(o.Cluster, len(o.Keys) > 0)
	p.inbox, p.outbox = newInbox(p), newOutbox(p)
	p.packets, p.streams = newLane(p.room-frameSize(o.Name)), newLane(streamBundle)

	if err := p.start(); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.wg.Go(func() { p.join(background, seeds, peers) })
	return p, nil
}

// packetRoom is what a user message may take of a packet. Nobody checks this for us: memberlist
// packs its own packets to UDPBufferSize, but sends a user message of any size as it is.
func packetRoom(label string, encrypted bool) int {
	room := wirePacket - 1 - 5 // memberlist's message type and checksum
	if label != "" {
		room -= 2 + len(label)
	}
	if encrypted {
		room -= 1 + 12 + 16 // version, nonce, tag
	}
	return room
}

func (p *Pool) start() error {
	events := make(chan serf.Event, 1024)
	lines := newLines(p).logger()
	conf, err := p.memberlistConfig()
	if err != nil {
		return err
	}
	conf.Logger = lines
	inner, err := p.listen(conf)
	if err != nil {
		return err
	}
	p.net = newTransport(p, inner, conf)
	// Serf leaves a goroutine behind when Create fails, so what can fail for a user's reason is tried before.
	if err := p.try(inner, conf); err != nil {
		_ = p.net.Shutdown()
		return err
	}
	conf.Transport = p.net
	p.addr = net.JoinHostPort(bound(conf.BindAddr), strconv.Itoa(conf.BindPort))

	sc := p.serfConfig(conf)
	sc.Logger = lines
	sc.EventCh = events
	// Serf sends events while it holds its locks, so the drain must run before Create does.
	p.wg.Go(func() { p.drainEvents(events) })
	if p.serf, err = serf.Create(sc); err != nil {
		_ = p.net.Shutdown()
		close(p.done)
		p.wg.Wait()
		return fmt.Errorf("gossip: %w", err)
	}
	if p.net.mux == nil || conf.Delegate != memberlist.Delegate(p.net.mux) {
		_ = p.serf.Shutdown()
		close(p.done)
		p.wg.Wait()
		return errors.New("gossip: BUG: memberlist did not take our delegate; the versions of serf and memberlist do not fit this driver")
	}
	p.view.Store(p.look())
	p.net.mux.ready.Store(true)
	if p.opts.Registerer != nil {
		if err := p.opts.Registerer.Register(collector{p}); err != nil {
			_ = p.serf.Shutdown()
			close(p.done)
			p.wg.Wait()
			return fmt.Errorf("gossip: metrics: %w; give each pool a registry of its own", err)
		}
	}
	p.wg.Go(p.watch)
	p.wg.Go(p.announce)
	p.wg.Go(p.remember)
	p.wg.Go(p.tell)
	p.wg.Go(p.sync)
	p.wg.Go(p.inbox.deliver)
	p.wg.Go(p.outbox.run)
	p.wg.Go(p.sendPackets)
	for range streamWorkers {
		p.wg.Go(p.sendStreams)
	}
	p.log.Info().Str("addr", p.Addr()).Str("name", p.opts.Name).Str("cluster", p.opts.Cluster).
		Bool("encrypted", len(p.opts.Keys) > 0).Msg("gossip is up")
	return nil
}

// listen binds UDP and TCP to one port. A port chosen by the kernel for one can be taken for the other.
func (p *Pool) listen(conf *memberlist.Config) (*memberlist.NetTransport, error) {
	var err error
	for range 10 {
		var nt *memberlist.NetTransport
		nt, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{conf.BindAddr}, BindPort: conf.BindPort, Logger: conf.Logger,
		})
		if err == nil {
			if conf.BindPort == 0 {
				conf.BindPort = nt.GetAutoBindPort()
			}
			if conf.AdvertisePort == 0 {
				conf.AdvertisePort = conf.BindPort
			}
			return nt, nil
		}
		if conf.BindPort != 0 {
			break
		}
	}
	if strings.Contains(err.Error(), "address already in use") {
		return nil, fmt.Errorf("gossip: --gossip %s: the port is in use; stop what listens there or choose another port (%w)", p.opts.Bind, err)
	}
	return nil, fmt.Errorf("gossip: --gossip %s: cannot listen: %w", p.opts.Bind, err)
}

func (p *Pool) try(inner *memberlist.NetTransport, conf *memberlist.Config) error {
	if _, _, err := inner.FinalAdvertiseAddr(conf.AdvertiseAddr, conf.AdvertisePort); err != nil {
		return fmt.Errorf("gossip: no address to tell peers: %w; set --advertise host:port", err)
	}
	if p.opts.SnapshotPath == "" {
		return nil
	}
	f, err := os.OpenFile(p.opts.SnapshotPath, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("gossip: cannot keep the list of peers: %w; make its directory writable", err)
	}
	return f.Close()
}

func bound(ip string) string {
	if ip == "0.0.0.0" || ip == "::" {
		return "127.0.0.1"
	}
	return ip
}

// Addr is host:port as told to peers.
func (p *Pool) Addr() string {
	v := p.view.Load()
	if i, ok := v.byName[p.opts.Name]; ok {
		return v.members[i].Addr
	}
	return p.addr
}

// Seeks reports whether there were seeds, or peers of the last life, to join when the pool was opened.
func (p *Pool) Seeks() bool { return p.seeks }

// Namesake is when a peer last told that a member of this node's name lives at another address; zero: none has. It may be this node's own last life, which peers
// have not missed yet. Otherwise letters to this name go there.
func (p *Pool) Namesake() time.Time {
	if at := p.namesake.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

func (p *Pool) memberlist() *memberlist.Memberlist { return p.serf.Memberlist() }

// SetTags replaces the tags that peers see; the zone stays. It returns before they are told.
func (p *Pool) SetTags(tags map[string]string) error {
	all := withZone(tags, p.opts.Zone)
	if err := checkTags(all); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	p.tagMu.Lock()
	p.tags = all
	p.tagMu.Unlock()
	signal(p.retag)
	return nil
}

// tell is the one caller of serf.SetTags, which writes serf's configuration without a lock and waits
// for the gossip to go out.
func (p *Pool) tell() {
	for {
		select {
		case <-p.retag:
		case <-p.done:
			return
		}
		p.tagMu.Lock()
		tags := p.tags
		p.tagMu.Unlock()
		if err := p.serf.SetTags(tags); err != nil {
			p.log.Debug().Err(err).Msg("tags are set; peers learn them by and by")
		}
		signal(p.changed)
	}
}

// Leave says goodbye to the peers, so that they need not find out, and closes the pool. When ctx ends
// first it says so, and closes as soon as serf gives up on its own, which takes at most 5 s more.
func (p *Pool) Leave(ctx context.Context) error {
	p.stopMu.Lock()
	if p.stopped {
		p.stopMu.Unlock()
		return nil
	}
	p.cancel() // no joining from now on
	left := make(chan error, 1)
	go func() {
		defer p.stopMu.Unlock() // held across: Close must not shut serf down while it leaves
		left <- p.serf.Leave()
	}()
	var err error
	select {
	case err = <-left:
	case <-ctx.Done():
		err = fmt.Errorf("gossip: leave not confirmed in time: %w; peers will find this node failed", ctx.Err())
	}
	return errors.Join(err, p.Close())
}

// Remove takes a member off the list that has left or failed, at all nodes: it is not waited for any more. One that is alive
// comes back by itself.
func (p *Pool) Remove(name string) error {
	if err := p.serf.RemoveFailedNodePrune(name); err != nil {
		return fmt.Errorf("gossip: %q is not taken off the list: %w", name, err)
	}
	return nil
}

// Close stops the pool without a word to the peers. It waits for the delegate's calls to return, and
// is idempotent; the delegate must not call it. Timers of memberlist that were running end by themselves within a probe interval.
func (p *Pool) Close() error {
	p.stopMu.Lock()
	defer p.stopMu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	p.cancel()
	p.outbox.close()
	err := p.serf.Shutdown()
	p.packets.close()
	p.streams.close()
	close(p.done)
	p.wg.Wait()
	if p.opts.Registerer != nil {
		p.opts.Registerer.Unregister(collector{p})
	}
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

// memberlistConfig and serfConfig hold the settings that were measured (see DESIGN.md).

func (p *Pool) memberlistConfig() (*memberlist.Config, error) {
	conf := memberlist.DefaultLANConfig()
	host, port := splitHostPort(p.opts.Bind)
	ip, err := resolveIP("gossip", host)
	if err != nil {
		return nil, err
	}
	conf.BindAddr, conf.BindPort = ip.String(), port
	conf.AdvertiseAddr, conf.AdvertisePort = "", 0
	if p.opts.Advertise != "" {
		host, port := splitHostPort(p.opts.Advertise)
		ip, err := resolveIP("advertise", host)
		if err != nil {
			return nil, err
		}
		conf.AdvertiseAddr, conf.AdvertisePort = ip.String(), port
	} else if ip.Equal(net.IPv6unspecified) {
		return nil, fmt.Errorf("gossip: %s means all addresses; set --advertise host:port to the one that peers reach", p.opts.Bind)
	}
	conf.Label = p.opts.Cluster
	conf.UDPBufferSize = wirePacket
	conf.EnableCompression = false // 100 µs and 84 kB of garbage a packet, for rows that hardly shrink
	conf.ProbeInterval, conf.ProbeTimeout = p.tune.ProbeInterval, p.tune.ProbeTimeout
	conf.GossipInterval, conf.PushPullInterval = p.tune.GossipInterval, p.tune.PushPullInterval
	conf.SuspicionMult = p.tune.SuspicionMult
	conf.GossipToTheDeadTime = 10 * time.Minute
	conf.DeadNodeReclaimTime = 5 * time.Second // a restarted node may come back at another address
	conf.Alive = newcomers{p}
	if len(p.opts.Keys) > 0 {
		ring, err := memberlist.NewKeyring(p.opts.Keys, p.opts.Keys[0])
		if err != nil {
			return nil, fmt.Errorf("gossip: keyring: %w", err)
		}
		conf.Keyring = ring
		p.warnReadable()
	}
	return conf, nil
}

func (p *Pool) warnReadable() {
	if p.opts.KeyringFile == "" {
		return
	}
	if st, err := os.Stat(p.opts.KeyringFile); err == nil && st.Mode().Perm()&0o077 != 0 {
		p.log.Warn().Str("keyring", p.opts.KeyringFile).Stringer("mode", st.Mode()).Msg("others can read the gossip keys; chmod 600")
	}
}

func (p *Pool) serfConfig(conf *memberlist.Config) *serf.Config {
	sc := serf.DefaultConfig()
	sc.NodeName = p.opts.Name
	sc.Tags = p.opts.allTags()
	sc.MemberlistConfig = conf
	sc.LogOutput = nil
	sc.ReconnectInterval = p.tune.ReconnectInterval
	sc.LeavePropagateDelay = p.tune.LeaveDelay
	sc.BroadcastTimeout = broadcastTimeout
	sc.EnableNameConflictResolution = false // a node's identity is not serf's to vote about
	sc.MinQueueDepth = 4096                 // as Consul: a large join must not lose intents
	sc.QueueDepthWarning = 1_000_000
	sc.SnapshotPath = p.opts.SnapshotPath
	sc.RejoinAfterLeave = true // a drained node that is started again belongs to its cluster
	sc.KeyringFile = p.opts.KeyringFile
	return sc
}

// orProduction fills in the timers of production.
func (t *Tuning) orProduction() Tuning {
	out := Tuning{
		ProbeInterval: time.Second, ProbeTimeout: 500 * time.Millisecond, GossipInterval: 200 * time.Millisecond,
		PushPullInterval: 30 * time.Second, ReconnectInterval: 5 * time.Second, SuspicionMult: 4,
		LeaveDelay: time.Second, JoinJitter: 500 * time.Millisecond, JoinAgain: 2 * time.Second, RejoinInterval: time.Minute,
		LeaveTakes: 15 * time.Second,
	}
	if t == nil {
		return out
	}
	set := func(v *time.Duration, d time.Duration) {
		if d > 0 {
			*v = d
		}
	}
	set(&out.ProbeInterval, t.ProbeInterval)
	set(&out.ProbeTimeout, t.ProbeTimeout)
	set(&out.GossipInterval, t.GossipInterval)
	set(&out.PushPullInterval, t.PushPullInterval)
	set(&out.ReconnectInterval, t.ReconnectInterval)
	set(&out.LeaveDelay, t.LeaveDelay)
	set(&out.JoinJitter, t.JoinJitter)
	set(&out.JoinAgain, t.JoinAgain)
	set(&out.RejoinInterval, t.RejoinInterval)
	set(&out.LeaveTakes, t.LeaveTakes)
	if t.SuspicionMult > 0 {
		out.SuspicionMult = t.SuspicionMult
	}
	return out
}
