package llm_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/policy"
)

// The prompt has 8 tokens and 4 + 2 bytes of text.
const hiBody = `{"model":%q,"messages":[{"role":"user","content":"hi"}],"max_tokens":9}`

const hiBound, hiTokens = 3 + 4 + 2 + 3, 3 + 1 + 1 + 3

// TestHowPromptsAreCounted: by a bound where rights are ample, not at all where the call may not run, else by a tokenizer.
func TestHowPromptsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name    string
		glance  admit.Glance
		refused bool // by the bound
		model   string
		reply   string
		want    admit.Counted
		prompt  int64 // at admission
		settled int64
	}{
		{"ample", admit.Glance{Ample: true, Placed: true}, false, "gpt-4o", withUsage, admit.Bounded, hiBound, 7},
		{"ample, no usage", admit.Glance{Ample: true, Placed: true}, false, "gpt-4o", noUsage, admit.Bounded, hiBound, hiTokens},
		{"ample, but not any more", admit.Glance{Ample: true, Placed: true}, true, "gpt-4o", withUsage, admit.Tokenized, hiTokens, 7},
		{"scarce", admit.Glance{Placed: true}, false, "gpt-4o", noUsage, admit.Tokenized, hiTokens, hiTokens},
		{"scarce, another vendor's", admit.Glance{Placed: true}, false, "qwen", withUsage, admit.Estimated, hiTokens, 7},
		{"may not run", admit.Glance{Barred: true}, false, "gpt-4o", withUsage, admit.Bounded, hiBound, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/tokenize" {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, tt.reply)
			}), nil)
			b.fake.glance = func(r *admit.Request) admit.Glance {
				if r.PromptTokens != hiBound || r.About == 0 || r.About > r.PromptTokens || !r.Forward {
					t.Errorf("looked at with %+v", r)
				}
				return tt.glance
			}
			b.fake.answer = func(r *admit.Request) (admit.Answer, error) {
				if tt.refused && r.About > 0 {
					return admit.Answer{}, admit.ErrBound
				}
				return admit.Answer{Verdict: admit.Admit}, nil
			}
			resp := b.post(t, chatPath, fmt.Sprintf(hiBody, tt.model))
			_, _ = io.Copy(io.Discard, resp.Body)
			e := b.fake.only(t)
			if bound := e.req.About > 0; e.req.Counted != tt.want || e.req.PromptTokens != tt.prompt || bound != (tt.glance.Ample && !tt.refused) {
				t.Errorf("admitted with %d tokens (about %d), counted as %v", e.req.PromptTokens, e.req.About, e.req.Counted)
			}
			if e.usage == nil || e.usage.PromptTokens != tt.settled {
				t.Errorf("settled with %+v, want a prompt of %d", e.usage, tt.settled)
			}
			if got := metric(t, b.reg, "swarmpurse_proxy_prompts_counted_total", "how", tt.want.String()); got != 1 {
				t.Errorf("the metric says %v", got)
			}
		})
	}
}

const (
	withUsage = `{"choices":[{"index":0,"message":{"content":" the"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}`
	noUsage   = `{"choices":[{"index":0,"message":{"content":" the"},"finish_reason":"stop"}]}`
)

// vllm is a server that counts as vLLM does, or fails to.
type vllm struct {
	*httptest.Server
	asked, ran atomic.Int64
	how        atomic.Pointer[func(w http.ResponseWriter, r *http.Request, q map[string]json.RawMessage)]
	question   atomic.Pointer[string]
}

func newVLLM(t *testing.T) *vllm {
	v := &vllm{}
	v.tokens(41)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /tokenize", func(w http.ResponseWriter, r *http.Request) {
		v.asked.Add(1)
		src, _ := io.ReadAll(r.Body)
		var q map[string]json.RawMessage
		if err := json.Unmarshal(src, &q); err != nil {
			t.Errorf("asked %s", src)
		}
		s := r.Header.Get("Authorization") + " " + string(src)
		v.question.Store(&s)
		(*v.how.Load())(w, r, q)
	})
	mux.HandleFunc("POST /v1/", func(w http.ResponseWriter, r *http.Request) {
		v.ran.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, withUsage)
	})
	v.Server = httptest.NewServer(mux)
	t.Cleanup(v.Close)
	return v
}

func (v *vllm) does(f func(w http.ResponseWriter, r *http.Request, q map[string]json.RawMessage)) {
	v.how.Store(&f)
}

func (v *vllm) tokens(n int) {
	v.does(func(w http.ResponseWriter, _ *http.Request, _ map[string]json.RawMessage) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"count":%d,"max_model_len":4096,"tokens":[1,2,3],"token_strs":null}`, n)
	})
}

func (v *vllm) behind(o *llm.Options, name string) {
	u, _ := url.Parse(v.URL + "/v1")
	o.Upstreams = []llm.Upstream{{Name: name, URL: u, Key: "sk-gpu"}}
}

// TestUpstreamCounts: what of a call an upstream like vLLM counts, and what it is asked.
func TestUpstreamCounts(t *testing.T) {
	for _, tt := range []struct {
		path, body, question string // "": it is not asked
	}{
		{chatPath, `{"model":"qwen","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function"}],"temperature":1,"max_tokens":9}`,
			`{"model":"qwen","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function"}]}`},
		{"/openai/v1/completions", `{"model":"qwen","prompt":["hi"],"max_tokens":9}`, `{"model":"qwen","prompt":"hi"}`},
		{"/openai/v1/embeddings", `{"model":"bge","input":"hi"}`, `{"model":"bge","prompt":"hi"}`},
		{"/openai/v1/completions", `{"model":"qwen","prompt":["hi","there"],"max_tokens":9}`, ""},
		{"/openai/v1/responses", `{"model":"qwen","input":"hi","max_output_tokens":9}`, ""},
		{chatPath, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, ""}, // its tokenizer is ours
		{chatPath, `{"model":"qwen","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}`, ""},
	} {
		v := newVLLM(t)
		b := newBed(t, nil, func(o *llm.Options) { v.behind(o, "gpu") })
		resp := b.post(t, tt.path, tt.body)
		_, _ = io.Copy(io.Discard, resp.Body)
		e := b.fake.only(t)
		if tt.question == "" {
			if v.asked.Load() != 0 || e.req.Counted == admit.AskedFor {
				t.Errorf("%s: it was asked %s", tt.body, *v.question.Load())
			}
			continue
		}
		if e.req.PromptTokens != 41 || e.req.Counted != admit.AskedFor || e.req.About != 0 {
			t.Errorf("%s: admitted with %d tokens, counted as %v", tt.body, e.req.PromptTokens, e.req.Counted)
		}
		if q := *v.question.Load(); q != "Bearer sk-gpu "+tt.question {
			t.Errorf("asked %s, want %s", q, tt.question)
		}
	}
}

// TestUpstreamThatDoesNotCount: an upstream that cannot count, or does not answer well, is not asked again for a while, and calls go on by the estimate.
func TestUpstreamThatDoesNotCount(t *testing.T) {
	type how = func(w http.ResponseWriter, r *http.Request, q map[string]json.RawMessage)
	text := func(s string) how {
		return func(w http.ResponseWriter, _ *http.Request, _ map[string]json.RawMessage) {
			_, _ = io.WriteString(w, s)
		}
	}
	status := func(code int) how {
		return func(w http.ResponseWriter, _ *http.Request, _ map[string]json.RawMessage) { w.WriteHeader(code) }
	}
	for _, tt := range []struct {
		name, result string
		how          how
	}{
		{"404", "absent", status(404)},
		{"405", "absent", status(405)},
		{"422, another's interface", "absent", status(422)},
		{"no count", "absent", text(`{"tokens":[]}`)},
		{"no JSON", "absent", text(`<html>`)},
		{"a count that cannot be", "absent", text(`{"count":-1}`)},
		{"a count with a fraction", "absent", text(`{"count":1.5}`)},
		{"500", "failed", status(500)},
		{"breaks off", "failed", text(`{"tokens":[1,2`)},
		{"too long", "failed", func(w http.ResponseWriter, _ *http.Request, _ map[string]json.RawMessage) {
			_, _ = io.WriteString(w, `{"tokens":[`)
			for range 17 << 10 {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
			_, _ = io.WriteString(w, `],"count":1}`)
		}},
		{"never answers", "failed", func(_ http.ResponseWriter, r *http.Request, _ map[string]json.RawMessage) { <-r.Context().Done() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newVLLM(t)
			v.does(tt.how)
			b := newBed(t, nil, func(o *llm.Options) { v.behind(o, "gpu") })
			for range 2 {
				resp := b.post(t, chatPath, fmt.Sprintf(hiBody, "qwen"))
				if _, _ = io.Copy(io.Discard, resp.Body); resp.StatusCode != http.StatusOK {
					t.Fatal(resp.Status)
				}
			}
			if n := v.asked.Load(); n != 1 {
				t.Errorf("it was asked %d times", n)
			}
			if got := metric(t, b.reg, "swarmpurse_proxy_tokenize_total", "result", tt.result); got != 1 {
				t.Errorf("the metric says %v", got)
			}
			for _, e := range b.fake.all() {
				if e.req.PromptTokens != hiTokens || e.req.Counted != admit.Estimated {
					t.Errorf("admitted with %d tokens, counted as %v", e.req.PromptTokens, e.req.Counted)
				}
			}
		})
	}
}

// TestWhoIsAskedToCount: only the upstream to which the call would go, never a provider that is known not to count, nor for a call that may not run or may not go anywhere
// yet.
func TestWhoIsAskedToCount(t *testing.T) {
	v, other := newVLLM(t), newVLLM(t)
	gpu := &policy.Upstream{Name: "gpu"}
	b := newBed(t, nil, func(o *llm.Options) {
		v.behind(o, "gpu")
		u, _ := url.Parse(other.URL + "/v1")
		o.Upstreams = append(o.Upstreams, llm.Upstream{Name: "openai", URL: u}, llm.Upstream{Name: "anthropic", URL: u})
	})
	call := func(path string, g admit.Glance) {
		t.Helper()
		b.fake.mu.Lock()
		b.fake.glance, b.fake.route = func(*admit.Request) admit.Glance { return g }, g.Upstream
		b.fake.mu.Unlock()
		resp := b.post(t, path, fmt.Sprintf(hiBody, "qwen"))
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	call(chatPath, admit.Glance{Placed: true, Upstream: gpu})
	if v.asked.Load() != 1 || other.asked.Load() != 0 {
		t.Errorf("asked %d and %d times", v.asked.Load(), other.asked.Load())
	}
	call(chatPath, admit.Glance{Barred: true})
	call(chatPath, admit.Glance{}) // where it goes depends on how long its prompt is
	call("/anthropic/v1/messages", admit.Glance{Placed: true})
	if v.asked.Load() != 1 || other.asked.Load() != 0 {
		t.Errorf("asked %d and %d times", v.asked.Load(), other.asked.Load())
	}
	call(chatPath, admit.Glance{Placed: true})
	if other.asked.Load() != 1 {
		t.Errorf("the upstream of calls that are not routed was asked %d times", other.asked.Load())
	}
}

// metric is the value of a counter with that label.
func metric(t *testing.T, reg prometheus.Gatherer, name, label, value string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == label && l.GetValue() == value {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	return 0
}
