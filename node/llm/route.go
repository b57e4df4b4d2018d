package llm

import (
	"net/url"
	"strings"

	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// Patterns are what the node's mux mounts the proxy at.
func Patterns() []string { return []string{"/openai/", "/t/", "/a/"} }

// Route is what a request path says: which upstream, what follows its /v1, and who calls.
type Route struct {
	Upstream string // the upstream's name
	Rest     string // escaped, with its leading slash: "/chat/completions"
	Tenant   string // "" if the path names none
	Agent    string // likewise
}

// ParseRoute takes apart an escaped path of the form [/t/{tenant}][/a/{agent}]/openai/v1/…; ok is
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
	after, found := strings.CutPrefix(rest, "/"+OpenAI+"/v1/")
	if !found {
		return Route{}, false
	}
	rt.Upstream, rt.Rest = OpenAI, "/"+after
	return rt, true
}

// attributes are what rules may look at, by endpoint. They are shared by all calls and never changed.
var attributes = func() (a [wire.NumEndpoints]map[string]string) {
	for e := range a {
		a[e] = map[string]string{"endpoint": wire.Endpoint(e).String(), "upstream": OpenAI}
	}
	return a
}()
