package llm

import (
	"net/url"
	"strings"

	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// Patterns are what the node's mux mounts the proxy at.
func Patterns() []string { return []string{"/openai/", "/anthropic/", "/t/", "/a/"} }

// Route is what a request path says: whose interface it speaks, what follows its /v1, and who calls.
type Route struct {
	Dialect wire.Dialect
	Rest    string // escaped, with its leading slash: "/chat/completions"
	Tenant  string // "" if the path names none
	Agent   string // likewise
}

// ParseRoute takes apart an escaped path of the form [/t/{tenant}][/a/{agent}]/openai/v1/…, or with anthropic; ok is
// false if it has another form. Tenant and agent are path-escaped, one segment each.
func ParseRoute(escaped string) (rt Route, ok bool) {
	rest := escaped
	for _, part := range []struct {
		prefix string
		into   *string
	}{{"/t/", &rt.Tenant}, {"/a/", &rt.Agent}} {
		after, found := strings.CutPrefix(rest, part.prefix)
		if !found {
			continue
		}
		seg, tail, more := strings.Cut(after, "/")
		v, err := url.PathUnescape(seg)
		if err != nil || v == "" || !more {
			return Route{}, false
		}
		*part.into, rest = v, "/"+tail
	}
	for d := range wire.NumDialects {
		if after, found := strings.CutPrefix(rest, "/"+d.String()+"/v1/"); found {
			rt.Dialect, rt.Rest = d, "/"+after
			return rt, true
		}
	}
	return Route{}, false
}

// attributes are what rules may look at, by dialect and endpoint. They are shared by all calls and never changed.
var attributes = func() (a [wire.NumDialects][wire.NumEndpoints]map[string]string) {
	for d := range a {
		for e := range a[d] {
			a[d][e] = map[string]string{"endpoint": wire.Endpoint(e).String(), "upstream": wire.Dialect(d).String()}
		}
	}
	return a
}()
