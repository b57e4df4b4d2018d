package llm

import (
	"net/http"
	"net/url"
	"strings"
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

// endpoint is what kind of call a path is; it is also a metric label, so there are few.
type endpoint uint8

const (
	epOther endpoint = iota
	epChat
	epCompletions
	epEmbeddings
	numEndpoints
)

func (e endpoint) String() string {
	return [...]string{"other", "chat", "completions", "embeddings"}[e]
}

// attributes are what rules may look at, by endpoint. They are shared by all calls and never changed.
var attributes = func() (a [numEndpoints]map[string]string) {
	for e := range a {
		a[e] = map[string]string{"endpoint": endpoint(e).String(), "upstream": OpenAI}
	}
	return a
}()

// endpointOf classifies a call. It looks at the path as the upstream may understand it, decoded and
// without doubled or trailing slashes, so that no spelling of a counted path passes uncounted. bad is
// true for paths with dot segments, which would leave the upstream's base URL.
func endpointOf(method, escapedRest string) (e endpoint, bad bool) {
	path, err := url.PathUnescape(escapedRest)
	if err != nil {
		return epOther, true
	}
	var segs [3]string
	n := 0
	for seg := range strings.SplitSeq(strings.ReplaceAll(path, `\`, "/"), "/") {
		switch {
		case seg == "." || seg == "..":
			return epOther, true
		case seg == "":
			continue
		}
		if n < len(segs) {
			segs[n] = seg
		}
		n++
	}
	if method != http.MethodPost {
		return epOther, false
	}
	switch {
	case n == 2 && strings.EqualFold(segs[0], "chat") && strings.EqualFold(segs[1], "completions"):
		return epChat, false
	case n == 1 && strings.EqualFold(segs[0], "completions"):
		return epCompletions, false
	case n == 1 && strings.EqualFold(segs[0], "embeddings"):
		return epEmbeddings, false
	}
	return epOther, false
}
