package standin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// What a request may choose, by header, or where a client can set no headers, by a field of the body.
const (
	// HeaderOutput is how many tokens each choice would have, were there no limit: the limit that the
	// request states cuts it. In the body: metadata.standin_output_tokens.
	HeaderOutput = "X-Standin-Output-Tokens"
	// HeaderTenant is whom the tokens are counted for. In the body: user.
	HeaderTenant = "X-Standin-Tenant"
	// HeaderError answers with that status, 400 to 599.
	HeaderError = "X-Standin-Error"
	// HeaderBreak breaks the connection off after so many tokens, 0 before the first.
	HeaderBreak = "X-Standin-Break-After"
	// HeaderNoUsage, when "1", leaves usage out of the answer.
	HeaderNoUsage = "X-Standin-No-Usage"
	// HeaderStall, after so many tokens, generates nothing more until the client hangs up.
	HeaderStall = "X-Standin-Stall-After"
)

const (
	maxBody   = 64 << 20
	maxOutput = 1 << 20 // tokens of one choice
	maxTotal  = 4 << 20 // tokens of all choices of a call

	completionsLimit = 16 // of completions that state no limit, as the provider has it
)

type request struct {
	body, model, tenant string
	prompt              int64
	output              int64 // of each choice
	cut                 bool  // by the limit
	choices             int
	stream, usageChunk  bool
	noUsage             bool
	breakAfter          int64 // -1: never
	stallAfter          int64 // -1: never
	base64              bool
	dimensions          int
	inputs              int
}

type badRequest struct {
	status         int
	message, param string
}

func (e *badRequest) Error() string { return e.message }

func bad(param, format string, args ...any) error {
	return &badRequest{http.StatusBadRequest, fmt.Sprintf(format, args...), param}
}

// read reads and checks a request. kind is the path after /v1/.
func (s *Server) read(r *http.Request, kind string) (*request, error) {
	b, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, bad("", "the body could not be read: %v", err)
	}
	if !json.Valid(b) || !gjson.ParseBytes(b).IsObject() {
		return nil, bad("", "the body is not a JSON object")
	}
	q := &request{body: string(b), breakAfter: -1, stallAfter: -1, choices: 1, inputs: 1, dimensions: 8}
	root := gjson.Parse(q.body)
	q.model = root.Get("model").String()
	if q.model == "" || len(q.model) > 256 {
		return nil, bad("model", "you must provide a model")
	}
	if q.tenant = r.Header.Get(HeaderTenant); q.tenant == "" {
		q.tenant = root.Get("user").String()
	}
	if len(q.tenant) > 256 {
		return nil, bad("user", "the tenant is longer than 256 bytes")
	}
	if err := q.headers(r.Header); err != nil {
		return nil, err
	}
	switch kind {
	case "embeddings":
		q.prompt = s.o.Counter.Embeddings(q.model, q.body)
		return q, q.embedding(root)
	case "chat/completions", "messages":
		if !root.Get("messages").IsArray() {
			return nil, bad("messages", "messages is missing")
		}
		if q.prompt = s.o.Counter.Chat(q.model, q.body); kind == "messages" {
			q.prompt = s.o.Counter.Messages(q.model, q.body)
			if !root.Get("max_tokens").Exists() {
				return nil, bad("max_tokens", "max_tokens: Field required")
			}
		}
	case "responses":
		q.prompt = s.o.Counter.Responses(q.model, q.body)
	case "completions":
		var prompts int64
		q.prompt, prompts = s.o.Counter.Completions(q.model, q.body)
		q.choices = int(min(prompts, maxTotal))
	}
	q.stream = root.Get("stream").Bool()
	q.usageChunk = root.Get("stream_options.include_usage").Bool()
	if v := root.Get("n"); v.Exists() && v.Type != gjson.Null {
		if v.Int() < 1 || v.Int() > 128 {
			return nil, bad("n", "n must lie between 1 and 128")
		}
		q.choices *= int(v.Int())
	}
	return q, s.length(q, root, r.Header, kind)
}

// length decides how many tokens each choice has.
func (s *Server) length(q *request, root gjson.Result, h http.Header, kind string) error {
	q.output = s.o.DefaultOutput
	want := h.Get(HeaderOutput)
	if want == "" {
		want = root.Get("metadata.standin_output_tokens").String()
	}
	if want != "" {
		n, err := strconv.ParseInt(want, 10, 64)
		if err != nil || n < 0 || n > maxOutput {
			return bad("metadata", "%s must lie between 0 and %d", HeaderOutput, maxOutput)
		}
		q.output = n
	}
	limit, stated := int64(0), false
	for _, name := range []string{"max_completion_tokens", "max_tokens", "max_output_tokens"} {
		if v := root.Get(name); v.Type == gjson.Number {
			if v.Int() < 1 {
				return bad(name, "%s must be at least 1", name)
			}
			if !stated || v.Int() < limit {
				limit, stated = v.Int(), true
			}
		}
	}
	if !stated && kind == "completions" {
		limit, stated = completionsLimit, true
	}
	if stated && q.output > limit {
		q.output, q.cut = limit, true
	}
	if q.output*int64(q.choices) > maxTotal {
		return bad("n", "%d choices of %d tokens are more than %d tokens", q.choices, q.output, maxTotal)
	}
	return nil
}

func (q *request) embedding(root gjson.Result) error {
	in := root.Get("input")
	if in.IsArray() && (in.Get("0").Type == gjson.String || in.Get("0").IsArray()) {
		q.inputs = int(in.Get("#").Int())
	}
	if q.inputs > 2048 {
		return bad("input", "at most 2048 inputs are allowed")
	}
	q.base64 = root.Get("encoding_format").Str == "base64"
	if v := root.Get("dimensions"); v.Exists() {
		if v.Int() < 1 || v.Int() > 4096 {
			return bad("dimensions", "dimensions must lie between 1 and 4096")
		}
		q.dimensions = int(v.Int())
	}
	return nil
}

func (q *request) headers(h http.Header) error {
	if v := h.Get(HeaderError); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || !errorStatus(n) {
			return bad("", "%s must lie between 400 and 599", HeaderError)
		}
		return &badRequest{n, "the request asked for this error", ""}
	}
	for name, into := range map[string]*int64{HeaderBreak: &q.breakAfter, HeaderStall: &q.stallAfter} {
		if v := h.Get(name); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				return bad("", "%s must be a number of tokens", name)
			}
			*into = n
		}
	}
	q.noUsage = h.Get(HeaderNoUsage) == "1"
	return nil
}
