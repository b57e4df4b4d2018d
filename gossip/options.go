package gossip

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Bounds that are not worth a setting. All are in bytes or entries.
const (
	MaxName    = 128     // name of a node
	MaxCluster = 64      // name of a cluster: it stands in every packet
	MaxPayload = 1 << 20 // payload of one Send or Spread
	MaxState   = 8 << 20 // our part of one push/pull state
	MaxTags    = 480     // encoded tags; memberlist stops at 512
	maxSeeds   = 64      // entries of Options.Join
)

// Options are fixed when a pool opens. The zero value of a field with a default takes it.
type Options struct {
	Name      string // of this node, unique in the cluster: letters, digits, '.', '_' and '-'
	Bind      string // host:port for UDP and TCP; port 0 lets the kernel choose
	Advertise string // host:port that peers are told; "" is what Bind came to
	Cluster   string // label in every packet: pools of different clusters never merge; "" is a label too

	// Keys are AES keys (16, 24 or 32 bytes); the first encrypts, all decrypt. None, and no
	// KeyringFile: no encryption. KeyringFile is where serf's key manager keeps the ring when keys
	// are rotated; without Keys they are loaded from it.
	Keys        [][]byte
	KeyringFile string

	Join         []string          // seeds, host:port; our own address among them is passed over
	SnapshotPath string            // where serf keeps peers and clocks, to rejoin after a restart; "" forgets them
	Tags         map[string]string // told to all peers; at most MaxTags bytes encoded
	Zone         string            // also told as the tag "zone"

	BytesPerSecond int           // ceiling of all that is sent: Spread and Relay get what the rest leaves, a fifth at least; default 25,000
	Fanout         int           // peers that get an item in one wave; default 3
	Waves          int           // waves per item, each to other peers; default 2
	Linger         time.Duration // how long a first item waits for company in its packet; default 2 ms

	PeerMessagesPerSecond int // packets that are taken from one address, burst of twice that, and four times as many frames in one name; default 2,000
	PeerBytesPerSecond    int // bytes in one name are four times that, bursts four times more; default 1 MiB

	Faults   bool       // allow SetFaults
	Tuning   *Tuning    // nil: the settings measured for production
	Delegate Delegate   // required
	Rand     *rand.Rand // chance for peers and jitter; the pool takes it over; nil seeds one

	Logger     zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Tuning shortens the timers of membership, so that tests see failure and repair within seconds.
// Production leaves Options.Tuning nil: short timers take healthy peers of a busy machine for dead.
// A zero field keeps its production value, which stands beside it.
type Tuning struct {
	ProbeInterval     time.Duration // 1 s
	ProbeTimeout      time.Duration // 500 ms
	GossipInterval    time.Duration // 200 ms
	PushPullInterval  time.Duration // 30 s, grows with the logarithm of the members from 32 on
	ReconnectInterval time.Duration // 5 s: try one failed member again
	SuspicionMult     int           // 4: suspicion lasts that times log10(n) probe intervals
	LeaveDelay        time.Duration // 1 s: stay and answer probes after a leave was told
	JoinJitter        time.Duration // 500 ms: most that the first join waits
	JoinAgain         time.Duration // 2 s: join one peer again after the first success
	RejoinInterval    time.Duration // 60 s: try one absent seed
	LeaveTakes        time.Duration // 15 s: ask a member that is leaving for longer whether it is
}

// Delegate is what the pool calls. Receive and MembersChanged may come while Open still runs.
type Delegate interface {
	// Receive gets one payload, from the peer whose name stands in the frame; that name is as good
	// as the cluster's key, no better. Calls come from one goroutine in order of arrival; the
	// payload is the delegate's to keep. The queue before it is bounded: while Receive blocks,
	// messages are dropped and counted.
	Receive(from string, payload []byte)
	// LocalState is our part of a push/pull, at most MaxState; MergeState gets the peer's, to keep.
	// join marks first contact. Both come from several goroutines of memberlist, also before Open
	// has returned, and must not wait for the pool.
	LocalState(join bool) []byte
	MergeState(state []byte, join bool)
	// MembersChanged says that Members now answers something else than round-trip times. Calls come
	// from one goroutine; several changes may make one call.
	MembersChanged()
}

var validName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// withDefaults fills in what was left open.
func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&o.BytesPerSecond, 25_000)
	def(&o.Fanout, 3)
	def(&o.Waves, 2)
	def(&o.PeerMessagesPerSecond, 2_000)
	def(&o.PeerBytesPerSecond, 1<<20)
	if o.Linger == 0 {
		o.Linger = 2 * time.Millisecond
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return o
}

// validate returns one error with everything that is wrong and how to right it.
func (o Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if o.Delegate == nil {
		bad("delegate: none given")
	}
	if err := checkName("name", o.Name, MaxName); err != nil {
		errs = append(errs, err)
	}
	if o.Cluster != "" {
		if err := checkName("cluster", o.Cluster, MaxCluster); err != nil {
			errs = append(errs, err)
		}
	}
	if err := checkHostPort("gossip", o.Bind, true); err != nil {
		errs = append(errs, err)
	}
	if o.Advertise != "" {
		if err := checkHostPort("advertise", o.Advertise, true); err != nil {
			errs = append(errs, err)
		} else if host, _, _ := net.SplitHostPort(o.Advertise); host == "" {
			bad("advertise: %q names no host; give the address that peers reach", o.Advertise)
		}
	}
	if len(o.Join) > maxSeeds {
		bad("join: %d seeds, at most %d; a few are enough, the others are learnt from them", len(o.Join), maxSeeds)
	}
	for _, s := range o.Join {
		if err := checkHostPort("join", s, false); err != nil {
			errs = append(errs, err)
		}
	}
	for i, k := range o.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			bad("keyring: key %d has %d bytes; AES takes 16, 24 or 32", i+1, len(k))
		}
	}
	if z, ok := o.Tags["zone"]; ok && o.Zone != "" && z != o.Zone {
		bad("zone: %q, but the tag zone says %q; set one of them", o.Zone, z)
	}
	if err := checkTags(o.allTags()); err != nil {
		errs = append(errs, err)
	}
	positive := func(name string, v, most int) {
		if v < 0 || v > most {
			bad("%s: %d is outside 1 to %d", name, v, most)
		}
	}
	positive("gossip bytes per second", o.BytesPerSecond, 1<<30)
	positive("fanout", o.Fanout, 16)
	positive("waves", o.Waves, 8)
	positive("messages per second from a peer", o.PeerMessagesPerSecond, 1<<20)
	positive("bytes per second from a peer", o.PeerBytesPerSecond, 1<<30)
	if o.Linger < 0 || o.Linger > time.Second {
		bad("linger: %v is outside 0 to 1s", o.Linger)
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("gossip options: %w", errors.Join(errs...))
}

// allTags are the tags with the zone among them, in a map of their own.
func (o Options) allTags() map[string]string {
	return withZone(o.Tags, o.Zone)
}

func withZone(tags map[string]string, zone string) map[string]string {
	out := make(map[string]string, len(tags)+1)
	for k, v := range tags {
		out[k] = v
	}
	if zone != "" {
		out["zone"] = zone
	}
	return out
}

// checkTags bounds what serf would otherwise refuse with a panic deep inside memberlist.
func checkTags(tags map[string]string) error {
	size := 1 + 5 // serf's mark and the map's length
	for k, v := range tags {
		size += len(k) + len(v) + 6 // at most 3 bytes of length before each
	}
	if size > MaxTags {
		return fmt.Errorf("tags: %d bytes encoded, at most %d; shorten or drop some of the %d tags", size, MaxTags, len(tags))
	}
	return nil
}

func checkName(what, s string, most int) error {
	switch {
	case s == "":
		return fmt.Errorf("%s: empty; give one", what)
	case len(s) > most:
		return fmt.Errorf("%s: %d bytes, at most %d", what, len(s), most)
	case !validName.MatchString(s):
		return fmt.Errorf("%s: %q; only letters, digits, '.', '_' and '-' may stand in it", what, s)
	}
	return nil
}

func checkHostPort(what, s string, anyPort bool) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port, as in 127.0.0.1:7946", what, s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || (n == 0 && !anyPort) {
		return fmt.Errorf("%s: %q has no port from 1 to 65535, as in 127.0.0.1:7946", what, s)
	}
	if strings.ContainsAny(host, "/ ") || (host == "" && !anyPort) {
		return fmt.Errorf("%s: %q has no host, as in 127.0.0.1:7946", what, s)
	}
	return nil
}

func splitHostPort(s string) (string, int) {
	host, port, _ := net.SplitHostPort(s)
	n, _ := strconv.Atoi(port)
	return host, n
}

// resolveIP makes an address of a host name; memberlist would take a name for "all interfaces".
func resolveIP(what, host string) (net.IP, error) {
	if host == "" {
		return net.IPv4zero, nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip, nil
	}
	ips, err := net.LookupIP(host)
	if err != nil || len(ips) == 0 {
		return nil, fmt.Errorf("gossip: %s: cannot resolve host %q: %v; give an IP address", what, host, err)
	}
	for _, ip := range ips { // a name that has both means IPv4 to most who write it
		if ip.To4() != nil {
			return ip, nil
		}
	}
	return ips[0], nil
}
