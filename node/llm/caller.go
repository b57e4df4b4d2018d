package llm

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
	"github.com/swarmpurse/swarmpurse/policy"
)

// The headers that name a caller. None of them is ever forwarded.
const (
	headerPrefix = "X-Swarmpurse-"
	HeaderTenant = headerPrefix + "Tenant"
	HeaderAgent  = headerPrefix + "Agent"
	HeaderRun    = headerPrefix + "Run"
	HeaderClass  = headerPrefix + "Class"
	// HeaderPriority is "true" for one class better, paid in points.
	HeaderPriority = headerPrefix + "Priority"
	// HeaderData names the data sets that the call reads, comma separated, with digests or without: "eu/docs@sha256:9f86…, eu/mail".
	HeaderData = headerPrefix + "Data"
)

// The headers of replies.
const (
	HeaderDecision = headerPrefix + "Decision" // id of the decision, for `swarmpurse explain`
	HeaderNode     = headerPrefix + "Node"
	HeaderUpstream = headerPrefix + "Upstream" // that the policy chose for the call
	HeaderTried    = headerPrefix + "Tried"    // upstreams that did not run it before that one did, and why: "cloud 429, spare unreachable"
	HeaderNearest  = headerPrefix + "Nearest"  // of a call that this node may not decide on: the nearest that may, "n3 http://10.1.2.3:7070"
	// HeaderBackpressure is 0 to 3: how near the budgets that the call draws on are to their end.
	HeaderBackpressure = headerPrefix + "Backpressure"
	HeaderPrice        = headerPrefix + "Price" // "compute=1.5", comma separated
	// HeaderDegraded says how the call was made cheaper: "model=gpt-4o-mini, max_output_tokens=512".
	HeaderDegraded = headerPrefix + "Degraded"
	HeaderFlags    = headerPrefix + "Flags" // that are on for the call, comma separated
	// HeaderExperiment names the experiment in which the call takes part, and its arm: "small-model=mini".
	HeaderExperiment = headerPrefix + "Experiment"
)

// minProviderKey is the shortest token that is taken for a provider's own key where the node holds
// one: real ones have 40 bytes and more, placeholders like "dummy" or "not-needed" have few.
const minProviderKey = 20

const (
	maxName     = 128 // bytes of a tenant, agent, run or class
	maxDataSets = 64
)

// bearer returns the token of an Authorization header, "" if there is none.
func bearer(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// identify fills in who calls: the key that the door has found decides, then path and headers, which must not contradict it
// or one another. The error is ready to be sent.
func (p *Proxy) identify(r *http.Request, rt Route, req *admit.Request) *apiError {
	c := &req.Call
	for _, f := range []struct {
		name, header string
		path         string
		into         *string
	}{
		{"tenant", HeaderTenant, rt.Tenant, &c.Tenant},
		{"agent", HeaderAgent, rt.Agent, &c.Agent},
		{"run", HeaderRun, "", &c.Run},
		{"class", HeaderClass, "", &c.Class},
	} {
		v := r.Header.Get(f.header)
		if v != "" && f.path != "" && v != f.path {
			return invalid(f.name, "the path says %s %q and %s says %q: state it once", f.name, clip(f.path), f.header, clip(v))
		}
		if v == "" {
			v = f.path
		}
		if err := checkName(f.name, v); err != nil {
			return err
		}
		*f.into = v
	}
	if v := r.Header.Get(HeaderPriority); v != "" {
		var err error
		if c.Priority, err = strconv.ParseBool(v); err != nil {
			return invalid("priority", "%s is %q: write true or false", HeaderPriority, clip(v))
		}
	}
	var digests []string
	given := false
	for _, line := range r.Header.Values(HeaderData) {
		for d := range strings.SplitSeq(line, ",") {
			if d = strings.TrimSpace(d); d == "" {
				continue
			}
			name, digest, err := policy.SplitData(d)
			if err != nil {
				return invalid("data", "%s: %v", HeaderData, err)
			}
			if c.Data = append(c.Data, name); len(c.Data) > maxDataSets {
				return invalid("data", "%s names more than %d data sets", HeaderData, maxDataSets)
			}
			digests = append(digests, digest)
			given = given || digest != ""
		}
	}

	if given {
		req.Digests = digests
	}

	if k := caller.From(r.Context()); k != nil {
		var f *caller.Forbidden
		if err := k.Fix(c); errors.As(err, &f) {
			return forbidden("%s", f.Message)
		}
		req.Key = k.Name
	}
	return nil
}

func checkName(field, v string) *apiError {
	if len(v) > maxName {
		return invalid(field, "the %s has %d bytes, at most %d are allowed", field, len(v), maxName)
	}
	for i := range len(v) {
		if v[i] < ' ' || v[i] == 0x7f {
			return invalid(field, "the %s holds a control character", field)
		}
	}
	return nil
}

// clip bounds what is quoted back to a caller.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// authorize puts the right Authorization into an outgoing header. Where the node holds a key, none, a
// swarmpurse key and a placeholder are swapped for it; a provider's own key passes. Where it holds
// none, only swarmpurse keys are taken out. pooled says that the provider's limits are those of all: of the node's key, or of
// those that callers bring because the node has none.
//
// Where the policy chose the upstream, no key of the caller's passes: he cannot know whom it would be shown to.
func authorize(h http.Header, u *Upstream, d wire.Dialect, routed bool) (pooled bool) {
	if !routed {
		caller.Strip(h) // a swarmpurse key must not leave the swarm
		brought := len(bearer(h)) >= minProviderKey || d == wire.Anthropic && len(h.Get("X-Api-Key")) >= minProviderKey
		if u.Key == "" || brought {
			return u.Key == ""
		}
	}
	for _, name := range []string{"Authorization", "Api-Key", "X-Api-Key", caller.Header} {
		h.Del(name)
	}
	switch {
	case u.Key == "":
	case d == wire.Anthropic:
		h.Set("X-Api-Key", u.Key)
	default:
		h.Set("Authorization", "Bearer "+u.Key)
	}
	return true
}

var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// dropHopByHop removes what concerns one connection only (RFC 9110, 7.6.1), and our own headers.
func dropHopByHop(h http.Header) {
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
	for name := range h {
		if len(name) > len(headerPrefix) && strings.EqualFold(name[:len(headerPrefix)], headerPrefix) {
			delete(h, name)
		}
	}
}

// priceHeader is "" when everything costs its base price.
func priceHeader(price map[string]float64) string {
	names := make([]string, 0, len(price))
	for n := range price {
		names = append(names, n)
	}
	slices.Sort(names)
	for i, n := range names {
		names[i] = fmt.Sprintf("%s=%g", n, price[n])
	}
	return strings.Join(names, ", ")
}

func degradedHeader(a *admit.Advice) string {
	var list []string
	if a.Model != "" {
		model := a.Model
		if !headerText(model) {
			model = strconv.Quote(model)
		}
		list = append(list, "model="+model)
	}
	if a.MaxOutputTokens > 0 {
		list = append(list, fmt.Sprintf("max_output_tokens=%d", a.MaxOutputTokens))
	}
	return strings.Join(list, ", ")
}

// headerText reports whether a header can carry s as it is.
func headerText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
