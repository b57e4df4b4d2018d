package llm_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

var asked = responses.ResponseNewParams{
	Model: "gpt-4o", Instructions: openai.String("You are terse."), MaxOutputTokens: openai.Int(50),
	Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("How many roads must a man walk down?")},
}

var question = anthropic.MessageNewParams{
	Model: "claude-sonnet-4-5", MaxTokens: 50,
	System:   []anthropic.TextBlockParam{{Text: "You are terse."}},
	Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("How many roads must a man walk down?"))},
}

func claudeOutputs(n string) anthropicoption.RequestOption {
	return anthropicoption.WithHeader(standin.HeaderOutput, n)
}

// reserved demands what the call asked for, and what it was settled with.
func reserved(t *testing.T, b *bed, output, used int64) {
	t.Helper()
	e := b.fake.only(t)
	if e.req.MaxOutputTokens != output || e.req.PromptTokens <= 0 || e.usage == nil || e.usage.CompletionTokens != used || e.usage.PromptTokens != e.req.PromptTokens {
		t.Errorf("reserved %+v, settled %+v", e.req, e.usage)
	}
	b.agree(t)
}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		out  string
		want int64
	}{{"37", 37}, {"5000", 50}} {
		t.Run(c.out, func(t *testing.T) {
			b := newBed(t, nil, nil)
			cl := b.client()
			got, err := cl.Responses.New(t.Context(), asked, outputs(c.out))
			if err != nil {
				t.Fatal(err)
			}
			if n := counter.Text("gpt-4o", got.OutputText()); n != c.want || got.Usage.OutputTokens != c.want {
				t.Errorf("%d tokens came, usage %+v", n, got.Usage)
			}
			reserved(t, b, 50, c.want)
		})
		t.Run(c.out+" streamed", func(t *testing.T) {
			b := newBed(t, nil, nil)
			cl := b.client()
			s := cl.Responses.NewStreaming(t.Context(), asked, outputs(c.out))
			var text strings.Builder
			for s.Next() {
				switch e := s.Current(); e.Type {
				case "response.output_text.delta":
					text.WriteString(e.Delta)
				case "response.completed", "response.incomplete":
					if all := b.fake.all(); len(all) != 1 || all[0].ended != 1 {
						t.Error("the client sees the end of a call that is not settled")
					}
				}
			}
			if n := counter.Text("gpt-4o", text.String()); s.Err() != nil || n != c.want {
				t.Errorf("%d tokens came: %v", n, s.Err())
			}
			reserved(t, b, 50, c.want)
		})
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		out  string
		want int64
	}{{"37", 37}, {"5000", 50}} {
		t.Run(c.out, func(t *testing.T) {
			b := newBed(t, nil, nil)
			cl := b.claude()
			got, err := cl.Messages.New(t.Context(), question, claudeOutputs(c.out))
			if err != nil {
				t.Fatal(err)
			}
			if n := counter.Text("gpt-4o", got.Content[0].Text); n != c.want || got.Usage.OutputTokens != c.want {
				t.Errorf("%d tokens came, usage %+v", n, got.Usage)
			}
			reserved(t, b, 50, c.want)
		})
		t.Run(c.out+" streamed", func(t *testing.T) {
			b := newBed(t, nil, nil)
			cl := b.claude()
			s := cl.Messages.NewStreaming(t.Context(), question, claudeOutputs(c.out))
			var got anthropic.Message
			for s.Next() {
				if err := got.Accumulate(s.Current()); err != nil {
					t.Fatal(err)
				}
				if s.Current().Type == "message_stop" {
					if all := b.fake.all(); len(all) != 1 || all[0].ended != 1 {
						t.Error("the client sees the end of a call that is not settled")
					}
				}
			}
			if n := counter.Text("gpt-4o", got.Content[0].Text); s.Err() != nil || n != c.want {
				t.Errorf("%d tokens came: %v", n, s.Err())
			}
			reserved(t, b, 50, c.want)
		})
	}
}

// TestAnthropicKeys: what a caller brings as Anthropic's clients send keys is swapped for the node's, unless it is a provider's own.
func TestAnthropicKeys(t *testing.T) {
	own := "sk-ant-a-key-of-the-caller's-own"
	for _, c := range []struct{ name, header, key, want string }{
		{"placeholder", "X-Api-Key", "dummy", "sk-ant-provider-key-of-the-node"},
		{"none", "X-Other", "x", "sk-ant-provider-key-of-the-node"},
		{"a provider's own", "X-Api-Key", own, own},
		{"a token of the provider's own", "Authorization", "Bearer " + own, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got http.Header
			b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Clone()
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"input_tokens":1}`)
			}), nil)
			if resp := b.post(t, "/anthropic/v1/messages/count_tokens", `{"model":"m","messages":[]}`, c.header, c.key, "Anthropic-Version", "2023-06-01"); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
			if got.Get("X-Api-Key") != c.want || c.want == "" && got.Get("Authorization") != c.key || c.want != "" && got.Get("Authorization") != "" || got.Get("Anthropic-Version") == "" {
				t.Errorf("forwarded %v", got)
			}
		})
	}
}

// TestCountTokens: it costs what the policy says for a call without tokens.
func TestCountTokens(t *testing.T) {
	b := newBed(t, nil, nil)
	cl := b.claude()
	got, err := cl.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: question.Model, Messages: question.Messages})
	if err != nil || got.InputTokens == 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if e := b.fake.only(t); e.req.PromptTokens != 0 || e.req.MaxOutputTokens != 0 || e.req.Model != string(question.Model) || e.charged() != 0 {
		t.Errorf("%+v, charged %d", e.req, e.charged())
	}
}

// TestAnthropicRefusals: errors are in Anthropic's form, and its client reads them.
func TestAnthropicRefusals(t *testing.T) {
	b := newBed(t, nil, nil)
	b.fake.answer = func(*admit.Request) (admit.Answer, error) {
		return admit.Answer{ID: "d1", Verdict: admit.Defer, Reason: "no tokens are left of budget day", RetryAfter: 2 * time.Second}, nil
	}
	cl := b.claude()
	_, err := cl.Messages.New(t.Context(), question)
	var e *anthropic.Error
	if !errors.As(err, &e) || e.StatusCode != http.StatusTooManyRequests || e.Response.Header.Get("Retry-After") != "2" {
		t.Fatalf("%v", err)
	}
	if raw := e.RawJSON(); !strings.Contains(raw, `"type":"error","error":{"type":"rate_limit_error","message":"no tokens are left of budget day"}`) {
		t.Errorf("%s", raw)
	}
	for status, body := range map[int]string{http.StatusBadRequest: `{"model":1,"messages":[]}`, http.StatusNotFound: ""} {
		path := "/anthropic/v1/messages"
		if body == "" {
			path = "/t/x/anthropic/v2/messages"
		}
		resp, err := http.Post(b.url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != status || status == http.StatusBadRequest && !strings.Contains(string(text), `{"type":"error","error":{"type":"invalid_request_error"`) {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	}
}

// TestStreamsThatTellNoUsage: what arrived is counted.
func TestStreamsThatTellNoUsage(t *testing.T) {
	b := newBed(t, nil, nil)
	cl := b.client()
	s := cl.Responses.NewStreaming(t.Context(), asked, outputs("21"), option.WithHeader(standin.HeaderNoUsage, "1"))
	for s.Next() {
	}
	if e := b.fake.only(t); s.Err() != nil || e.usage == nil || e.usage.CompletionTokens != 21 {
		t.Errorf("%+v %v", e.usage, s.Err())
	}
	b = newBed(t, nil, nil)
	ant := b.claude()
	m := ant.Messages.NewStreaming(t.Context(), question, claudeOutputs("21"), anthropicoption.WithHeader(standin.HeaderNoUsage, "1"))
	for m.Next() {
	}
	if e := b.fake.only(t); m.Err() != nil || e.usage == nil || e.usage.CompletionTokens < 21 || e.usage.CompletionTokens > 30 {
		t.Errorf("%+v %v: Claude's tokens are estimated to be more", e.usage, m.Err())
	}
}

// TestCutAtEveryEvent: wherever a stream of either dialect breaks off, the call is ended once: with its usage if that had come, else as a whole.
func TestCutAtEveryEvent(t *testing.T) {
	for _, c := range []struct {
		path, body, last string
		events           []string
	}{
		{"/openai/v1/responses", `{"model":"gpt-4o","input":"hi","max_output_tokens":9,"stream":true}`, "response.completed", []string{
			`{"type":"response.created","response":{"status":"in_progress","usage":null}}`,
			`{"type":"response.output_text.delta","delta":" the of"}`,
			`{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":8,"output_tokens":2}}}`}},
		{"/anthropic/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true}`, "message_stop", []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":1}}}`,
			`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" the of"}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`,
			`{"type":"message_stop"}`}},
	} {
		for cut := range len(c.events) + 1 {
			t.Run(fmt.Sprintf("%s after %d", c.path, cut), func(t *testing.T) {
				b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					w.WriteHeader(200)
					for _, e := range c.events[:cut] {
						fmt.Fprintf(w, "data: %s\n\n", e)
					}
					http.NewResponseController(w).Flush()
					if cut < len(c.events) {
						panic(http.ErrAbortHandler)
					}
				}), nil)
				resp, err := http.Post(b.url+c.path, "application/json", strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				e := b.fake.only(t)
				if whole := cut == len(c.events); whole != (e.usage != nil) || whole != (err == nil) {
					t.Errorf("settled with %+v, the client saw %v", e.usage, err)
				} else if whole && (e.usage.PromptTokens != 8 || e.usage.CompletionTokens != 2) {
					t.Errorf("settled with %+v", e.usage)
				}
			})
		}
	}
}
