package llm

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Upstream is one provider that calls are forwarded to.
type Upstream struct {
	// Name is what policies call it. Where the policy routes no calls, they go to the one named as their dialect, "openai" or "anthropic"; those of
	// OpenAI's else to the only one, unless that is Anthropic's.
	Name string
	// URL is what /openai/v1 or /anthropic/v1 maps to, for example http://host/v1. No query, no user, no fragment.
	URL *url.URL
	// Key is the provider's key that the node holds; "" for none. It is never logged.
	Key string

	tokenizing *tokenizing // nil: it is never asked to count
}

// DrainLimit bounds how long the proxy reads an upstream on after its client has gone.
type DrainLimit struct {
	Time  time.Duration
	Bytes int64
}

// Options configures a Proxy. Zero fields take the defaults named; New checks all of them once.
type Options struct {
	// Admitter decides on calls and ends reservations. Required.
	Admitter admit.Admitter

	// Upstreams, at most one of each name. None is allowed: calls are then answered with 503.
	Upstreams []Upstream

	// Node is this node's name, told in X-Swarmpurse-Node.
	Node string

	// Counter counts prompts. Default: NewCounter().
	Counter *Counter

	// MaxBody bounds the body of a counted call, which is held in memory. Default 8 MiB.
	MaxBody int64
	// MaxPassBody bounds the body of any other call, which is not held in memory. Default 512 MiB,
	// which is the provider's own limit for an uploaded file.
	MaxPassBody int64
	// MaxBuffered bounds the request bodies held in memory at once, over all calls: a call beyond it
	// is answered with 503. Default 256 MiB; it should be several times MaxBody.
	MaxBuffered int64
	// MaxInFlight bounds the calls in the proxy at once, those queued for admission and those whose
	// client has gone included. Default 4096. Each costs some 100 kB and two sockets.
	MaxInFlight int

	// DefaultMaxOutput is the output limit, per choice, of a chat call that states none. Default 4096.
	DefaultMaxOutput int64
	// MaxOutput lowers larger output limits, per choice, to itself. Default 0: no limit of our own.
	MaxOutput int64

	// CallTimeout bounds one call at the upstream, from the first byte sent to the last received; the
	// reservation lives a little longer. Default 10 min, at most 50 min.
	CallTimeout time.Duration
	// BodyTimeout bounds the reading of a request body, WriteTimeout each write to a client.
	// Defaults 1 min and 30 s. A client that is slower is treated as gone.
	BodyTimeout, WriteTimeout time.Duration
	// Drain bounds reading on after a client has gone. Default 30 s and 8 MiB.
	Drain DrainLimit

	// Transport carries calls upstream. Default: a tuned http.Transport of the proxy's own. One that
	// replays requests by itself would make a provider charge twice for one reservation.
	Transport http.RoundTripper

	// Traces is told of calls; nil: nobody is, and the caller's trace context goes on as it came.
	Traces *traces.Tracer

	Registerer prometheus.Registerer // nil: metrics are kept but not registered
	Logger     zerolog.Logger
}

// maxCallTimeout leaves room below admit.MaxTTL for reading on after a client has gone.
const maxCallTimeout = 50 * time.Minute

func (o *Options) complete() error {
	if o.Admitter == nil {
		return errors.New("llm: Options.Admitter is missing")
	}
	if o.Counter == nil {
		o.Counter = NewCounter()
	}
	for _, f := range []struct {
		name string
		v    *int64
		def  int64
	}{
		{"MaxBody", &o.MaxBody, 8 << 20},
		{"MaxPassBody", &o.MaxPassBody, 512 << 20},
		{"MaxBuffered", &o.MaxBuffered, 256 << 20},
		{"DefaultMaxOutput", &o.DefaultMaxOutput, 4096},
		{"MaxOutput", &o.MaxOutput, 0},
		{"Drain.Bytes", &o.Drain.Bytes, 8 << 20},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 || *f.v > int64(ledger.MaxTokens) {
			return fmt.Errorf("llm: Options.%s is %d: it must lie between 0 and %d", f.name, *f.v, ledger.MaxTokens)
		}
	}
	if o.MaxBuffered < o.MaxBody {
		return fmt.Errorf("llm: Options.MaxBuffered is %d, below MaxBody, which is %d", o.MaxBuffered, o.MaxBody)
	}
	if o.MaxOutput > 0 && o.DefaultMaxOutput > o.MaxOutput {
		o.DefaultMaxOutput = o.MaxOutput
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = 4096
	}
	if o.MaxInFlight < 0 {
		return fmt.Errorf("llm: Options.MaxInFlight is %d: it must be positive", o.MaxInFlight)
	}
	for _, f := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"CallTimeout", &o.CallTimeout, 10 * time.Minute},
		{"BodyTimeout", &o.BodyTimeout, time.Minute},
		{"WriteTimeout", &o.WriteTimeout, 30 * time.Second},
		{"Drain.Time", &o.Drain.Time, 30 * time.Second},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
		if *f.v < 0 || *f.v > maxCallTimeout {
			return fmt.Errorf("llm: Options.%s is %v: it must lie between 0 and %v", f.name, *f.v, maxCallTimeout)
		}
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	return nil
}

// unrouted is the upstream of calls that the policy does not route; nil if it is not clear which.
func unrouted(ups map[string]*Upstream, d wire.Dialect) *Upstream {
	if u := ups[d.String()]; u != nil || len(ups) != 1 || d != wire.OpenAI || ups[wire.Anthropic.String()] != nil {
		return u
	}
	for _, u := range ups {
		return u
	}
	return nil
}

// checkUpstreams validates a set of upstreams and returns it by name.
func checkUpstreams(ups []Upstream) (map[string]*Upstream, error) {
	m := make(map[string]*Upstream, len(ups))
	for _, u := range ups {
		switch {
		case !validName(u.Name):
			return nil, fmt.Errorf("upstream %q: the name must be letters, digits, '-', '_' and '.', as policies name it, or %q or %q, as in --upstream %[2]s=http://host/v1", u.Name, wire.OpenAI.String(), wire.Anthropic.String())
		case m[u.Name] != nil:
			return nil, fmt.Errorf("upstream %q is given twice", u.Name)
		case u.URL == nil:
			return nil, fmt.Errorf("upstream %q has no URL", u.Name)
		case u.URL.Scheme != "http" && u.URL.Scheme != "https", u.URL.Host == "":
			return nil, fmt.Errorf("upstream %q: %q is not an http or https URL", u.Name, u.URL.Redacted())
		case u.URL.User != nil, u.URL.RawQuery != "", u.URL.Fragment != "":
			return nil, fmt.Errorf("upstream %q: the URL must have no user, query or fragment; give the provider's key separately", u.Name)
		case !validKey(u.Key):
			return nil, fmt.Errorf("upstream %q: the provider's key holds bytes that a header cannot carry (a line end, perhaps)", u.Name)
		}
		if u.tokenizing = nil; mayCount(&u) {
			u.tokenizing = &tokenizing{}
		}
		m[u.Name] = &u
	}
	return m, nil
}

// validName reports whether a policy can name an upstream so.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !word && (i == 0 || c != '-' && c != '_' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= policy.MaxName
}

func validKey(k string) bool {
	for i := range len(k) {
		if k[i] <= ' ' || k[i] >= 0x7f {
			return false
		}
	}
	return len(k) <= 4096
}
