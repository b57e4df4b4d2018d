package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// Counting by the upstream: vLLM tells at POST /tokenize, beside its /v1, how many tokens of its model a prompt has, chat template and all. Whether an upstream does is found out
// by asking, and remembered for a while.

const (
	// tokenizeWithin is how long the answer may take: then the prompt is estimated.
	tokenizeWithin = 300 * time.Millisecond
	// maxTokenize bounds the answer, in bytes: it lists the tokens.
	maxTokenize = 16 << 20
	// keepAlive is how much of an answer is read beyond the count.
	keepAlive = 256 << 10
	// tokenizeAbsent is for how long an upstream is not asked that does not count, tokenizeFailed one that gave no answer.
	tokenizeAbsent = 10 * time.Minute
	tokenizeFailed = 30 * time.Second
)

// tokenizing is what is known of an upstream's counting. Safe for concurrent use.
type tokenizing struct {
	counts  atomic.Bool  // it did
	asking  atomic.Bool  // somebody finds out
	silence atomic.Int64 // until when it is not asked, in Unix ms
}

var (
	errAbsent   = errors.New("it does not count")
	errTokenize = errors.New("no count")
)

// tokenize has the upstream that the call would go to count its prompt; false: estimate it. Nothing is shown to an upstream that the call might not go to.
func (x *exchange) tokenize(g admit.Glance) (int64, bool) {
	if !g.Placed || x.dialect != wire.OpenAI || x.media || tokenizerKnown(x.plan.Model) {
		return 0, false
	}
	up := (*Upstream)(nil)
	if g.Upstream != nil {
		up = x.ups[g.Upstream.Name]
	} else {
		up = unrouted(x.ups, x.dialect)
	}
	if up == nil || up.tokenizing == nil {
		return 0, false
	}
	s, now := up.tokenizing, time.Now()
	if now.UnixMilli() < s.silence.Load() {
		return 0, false
	}
	body := question(x.ep, x.plan)
	if body == nil {
		return 0, false
	}
	if !s.counts.Load() { // one finds out, the others do not wait for it
		if !s.asking.CompareAndSwap(false, true) {
			return 0, false
		}
		defer s.asking.Store(false)
	}
	n, err := x.ask(up, body, g.Upstream != nil)
	result := "ok"
	switch {
	case err == nil:
		s.counts.Store(true)
	case x.r.Context().Err() != nil: // the client has gone
		return 0, false
	case errors.Is(err, errAbsent) && !s.counts.Load():
		result = "absent"
		s.silence.Store(now.Add(tokenizeAbsent).UnixMilli())
	default:
		result = "failed"
		s.silence.Store(now.Add(tokenizeFailed).UnixMilli())
		x.p.o.Logger.Info().Err(err).Str("upstream", up.Name).Dur("for", tokenizeFailed).Msg("the upstream did not count a prompt: prompts are estimated")
	}
	x.p.m.tokenize.WithLabelValues(up.Name, result).Inc()
	return n, err == nil
}

// question is what vLLM is asked; nil for what it cannot be.
func question(e wire.Endpoint, p *wire.Plan) []byte {
	q := struct {
		Model    string          `json:"model,omitempty"`
		Prompt   json.RawMessage `json:"prompt,omitempty"`
		Messages json.RawMessage `json:"messages,omitempty"`
		Tools    json.RawMessage `json:"tools,omitempty"`
		Kwargs   json.RawMessage `json:"chat_template_kwargs,omitempty"`
	}{Model: p.Model}
	raw := func(name string) json.RawMessage {
		if v := gjson.Get(p.Body, name); v.Exists() && v.Type != gjson.Null {
			return json.RawMessage(v.Raw)
		}
		return nil
	}
	switch e {
	case wire.Chat:
		q.Messages, q.Tools, q.Kwargs = raw("messages"), raw("tools"), raw("chat_template_kwargs")
	case wire.Completions, wire.Embeddings:
		name := "prompt"
		if e == wire.Embeddings {
			name = "input"
		}
		v := gjson.Get(p.Body, name)
		if list := v.Array(); v.IsArray() && len(list) == 1 {
			v = list[0]
		}
		if v.Type != gjson.String { // it takes one text at a time
			return nil
		}
		q.Prompt = json.RawMessage(v.Raw)
	default:
		return nil
	}
	b, err := json.Marshal(q)
	if err != nil { // the body was valid JSON
		return nil
	}
	return b
}

// ask asks an upstream.
func (x *exchange) ask(up *Upstream, body []byte, routed bool) (int64, error) {
	ctx, cancel := context.WithTimeout(x.r.Context(), tokenizeWithin)
	defer cancel()
	u := *up.URL
	u.Path, u.RawPath = strings.TrimSuffix(strings.TrimSuffix(up.URL.Path, "/"), "/v1")+"/tokenize", ""
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"Authorization", "Api-Key"} {
		if v := x.r.Header.Values(name); len(v) > 0 {
			req.Header[name] = v
		}
	}
	authorize(req.Header, up, x.dialect, routed)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := x.p.o.Transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errTokenize, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return 0, fmt.Errorf("%w: %s", errAbsent, resp.Status)
	default:
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return 0, fmt.Errorf("%w: %s", errAbsent, resp.Status) // another interface by that name
		}
		return 0, fmt.Errorf("%w: %s", errTokenize, resp.Status)
	}
	n, err := readCount(io.LimitReader(resp.Body, maxTokenize))
	_, _ = io.CopyN(io.Discard, resp.Body, keepAlive) // what is left of a short answer, so that the connection lives on
	return n, err
}

// readCount reads the count out of an answer, which may list all tokens before it.
func readCount(r io.Reader) (int64, error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return 0, fmt.Errorf("%w: its answer is no JSON object", errAbsent)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errTokenize, err)
		}
		if key == "count" {
			var n json.Number
			if err := d.Decode(&n); err != nil {
				return 0, fmt.Errorf("%w: its count is no number", errAbsent)
			}
			v, err := n.Int64()
			if err != nil || v < 0 || v > int64(ledger.MaxTokens) {
				return 0, fmt.Errorf("%w: its count is %.20s", errAbsent, n)
			}
			return v, nil
		}
		if err := skip(d); err != nil {
			return 0, fmt.Errorf("%w: %w", errTokenize, err)
		}
	}
	return 0, fmt.Errorf("%w: its answer has no count", errAbsent)
}

// skip passes a value over without keeping it.
func skip(d *json.Decoder) error {
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// mayCount reports whether an upstream may be asked to count: those of providers that are known not to are not.
func mayCount(u *Upstream) bool {
	host := strings.ToLower(u.URL.Hostname())
	for _, domain := range []string{"openai.com", "anthropic.com", "openai.azure.com", "googleapis.com", "amazonaws.com", "mistral.ai", "groq.com", "openrouter.ai"} {
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return false
		}
	}
	return u.Name != wire.Anthropic.String()
}
