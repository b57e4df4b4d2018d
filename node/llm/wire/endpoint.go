package wire

import (
	"net/http"
	"net/url"
	"strings"
)

// Dialect is whose interface a call speaks.
type Dialect uint8

const (
	OpenAI Dialect = iota
	Anthropic
	NumDialects
)

// String is the first part of the dialect's paths, and the name of the upstream for its calls that are not routed.
func (d Dialect) String() string { return [...]string{"openai", "anthropic"}[d] }

// Endpoint is what kind of call a path is; it is also a metric label, so there are few.
type Endpoint uint8

const (
	Other Endpoint = iota
	Chat
	Completions
	Embeddings
	Responses // OpenAI's
	Messages  // Anthropic's
	NumEndpoints
)

func (e Endpoint) String() string {
	return [...]string{"other", "chat", "completions", "embeddings", "responses", "messages"}[e]
}

// EndpointOf classifies a call. It looks at the path as the upstream may understand it, decoded and
// without doubled or trailing slashes, so that no spelling of a counted path passes uncounted. bad is
// true for paths with dot segments, which would leave the upstream's base URL.
func EndpointOf(d Dialect, method, escapedRest string) (e Endpoint, bad bool) {
	path, err := url.PathUnescape(escapedRest)
	if err != nil {
		return Other, true
	}
	var segs [3]string
	n := 0
	for seg := range strings.SplitSeq(strings.ReplaceAll(path, `\`, "/"), "/") {
		switch {
		case seg == "." || seg == "..":
			return Other, true
		case seg == "":
			continue
		}
		if n < len(segs) {
			segs[n] = seg
		}
		n++
	}
	if method != http.MethodPost {
		return Other, false
	}
	if d == Anthropic {
		if n == 1 && strings.EqualFold(segs[0], "messages") {
			return Messages, false
		}
		return Other, false
	}
	switch {
	case n == 2 && strings.EqualFold(segs[0], "chat") && strings.EqualFold(segs[1], "completions"):
		return Chat, false
	case n == 1 && strings.EqualFold(segs[0], "completions"):
		return Completions, false
	case n == 1 && strings.EqualFold(segs[0], "embeddings"):
		return Embeddings, false
	case n == 1 && strings.EqualFold(segs[0], "responses"):
		return Responses, false
	}
	return Other, false
}
