package node

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/llm"
)

// Options are what a node is started with; the flags of `swarmpurse node` fill them in. The zero value of
// a field takes the default named.
type Options struct {
	Name      string // of the node, unique in its cluster; kept with the data directory. Required
	Cluster   string // gossip label: clusters of different names never merge. Default "swarmpurse"
	Gossip    string // host:port for UDP and TCP. Default 127.0.0.1:7946
	Advertise string // host:port that peers are told. Default: what Gossip came to
	HTTP      string // host:port, or unix:/path, or several with commas between; "off": there is none. Default 127.0.0.1:7070. Other than on loopback they need the next two
	TLSCert   string // PEM file of the certificate of the HTTP addresses, with its chain; read again when it changes
	TLSKey    string // PEM file of its key
	GRPC      string // of the rate limit service, host:port or unix:/path; other than on loopback it needs the certificate, too. "" or "off": there is none
	Socket    string // of the door for callers in Go (package client), unix:/path. "": there is none
	Zone      string // where the node runs, told to peers
	Host      string // the machine that it runs on, told to peers: they choose guardians on others. Default: the host's name

	Join            []string // host:port of some members
	BootstrapExpect int      // founders of a new cluster. Default 1; with Join and 1 the node founds nothing
	KeyringFile     string   // serf keyring: gossip is encrypted with it

	Policy      string                            // a policy document, for programs that embed a node; or
	PolicyFile  string                            // YAML file of one; "": what the data directory or the peers have, else the built-in default
	Data        string                            // data directory; "": in memory, nothing survives
	AuditMB     int                               // most that the audit log may take on disk, in MiB. Default 256
	Upstreams   []string                          // NAME=URL
	UpstreamKey func(name string) (string, error) // the provider's key for an upstream; nil: none is held

	OTLP string // where spans go, as traces.ParseEndpoint takes it; "": nothing is traced

	Faults bool          // allow POST /debug/faults
	Drain  time.Duration // most that a shutdown waits for calls in flight. Default 20 s

	GossipBytesPerSecond int            // ceiling of what rows may cost. Default 25,000
	GossipTuning         *gossip.Tuning // tests only: shorter timers of membership

	Version  string // of the binary, told to peers
	Revision string // of the source that it was built from
	Logger   zerolog.Logger
	Registry *prometheus.Registry // nil makes one
}

// Defaults of Options, which are the flags' defaults too.
const (
	DefaultCluster = "swarmpurse"
	DefaultGossip  = "127.0.0.1:7946"
	DefaultHTTP    = "127.0.0.1:7070"
	// DefaultGRPC is the flag's default; an Options that does not say opens no gRPC door.
	DefaultGRPC  = "127.0.0.1:7071"
	DefaultDrain = 20 * time.Second
	// DefaultGossipRate is in bytes per second.
	DefaultGossipRate = 25_000
	maxExpect         = 64
	maxHost           = 64 // bytes; all that is told of a member must fit in one packet
)

// OptionError says which option is wrong and what to do.
type OptionError struct {
	Flag string // as on the command line, without dashes
	Err  error
	hint string
}

func (e *OptionError) Error() string { return fmt.Sprintf("--%s: %v", e.Flag, e.Err) }
func (e *OptionError) Unwrap() error { return e.Err }

// Hint names the next thing to try.
func (e *OptionError) Hint() string { return e.hint }

func (o Options) complete() (Options, error) {
	def := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	def(&o.Cluster, DefaultCluster)
	def(&o.Gossip, DefaultGossip)
	def(&o.HTTP, DefaultHTTP)
	def(&o.Version, "dev")
	if o.GRPC == off {
		o.GRPC = ""
	}
	if o.BootstrapExpect == 0 {
		o.BootstrapExpect = 1
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.GossipBytesPerSecond == 0 {
		o.GossipBytesPerSecond = DefaultGossipRate
	}
	if host, err := os.Hostname(); o.Host == "" && err == nil {
		o.Host = host[:min(len(host), maxHost)]
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	switch {
	case o.Name == "":
		return o, &OptionError{"name", errors.New("the node needs a name"), "give each node its own, as in --name n1"}
	case len(o.Host) > maxHost:
		return o, &OptionError{"host", fmt.Errorf("the name has %d bytes, at most %d are possible", len(o.Host), maxHost), "a short name will do, if no other machine has it"}
	case o.BootstrapExpect < 1 || o.BootstrapExpect > maxExpect:
		return o, &OptionError{"bootstrap-expect", fmt.Errorf("%d founders; 1 to %d are possible", o.BootstrapExpect, maxExpect),
			"say how many of the first members found the cluster: more than half of them"}
	case o.Policy != "" && o.PolicyFile != "":
		return o, &OptionError{"policy", errors.New("both a document and a file are given"), "give one of Options.Policy and Options.PolicyFile"}
	case o.KeyringFile != "":
		if _, err := gossip.LoadKeyring(o.KeyringFile); err != nil {
			return o, &OptionError{"keyring", err, "a keyring is a JSON list of base64 keys of 16, 24 or 32 bytes, the first of which encrypts"}
		}
	}
	for _, seed := range o.Join {
		if _, _, err := net.SplitHostPort(seed); err != nil {
			return o, &OptionError{"join", fmt.Errorf("%q is not host:port: %w", seed, err), "name a member's gossip address, as in --join 127.0.0.1:7946"}
		}
	}
	switch {
	case o.Drain < 0:
		return o, &OptionError{"drain", fmt.Errorf("%v is negative", o.Drain), "say how long calls in flight may take, as in --drain 20s"}
	}
	return o, nil
}

// upstreams reads NAME=URL settings and asks for the provider's keys.
func (o *Options) upstreams() ([]llm.Upstream, error) {
	var ups []llm.Upstream
	for _, s := range o.Upstreams {
		name, raw, ok := strings.Cut(s, "=")
		u, err := url.Parse(raw)
		if !ok || err != nil {
			return nil, &OptionError{"upstream", fmt.Errorf("%q is not NAME=URL", s), "for example --upstream openai=https://api.openai.com/v1"}
		}
		up := llm.Upstream{Name: name, URL: u}
		if o.UpstreamKey != nil {
			if up.Key, err = o.UpstreamKey(name); err != nil {
				return nil, &OptionError{"upstream", err, "the provider's key comes from the environment or a file that this user can read"}
			}
		}
		ups = append(ups, up)
	}
	return ups, nil
}

// foundsAlone reports whether the node makes a cluster of its own if it has none on disk.
func (o *Options) foundsAlone() bool { return o.BootstrapExpect == 1 && len(o.Join) == 0 }

// candidate reports whether the node is one of several founders.
func (o *Options) candidate() bool { return o.BootstrapExpect > 1 }
