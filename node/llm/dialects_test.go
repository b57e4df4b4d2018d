package llm_test

import (
	"errors"
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

// TestToolsAndImagesPass: what a call carries beside text goes to the provider byte for byte, and counts.
func TestToolsAndImagesPass(t *testing.T) {
	const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	for path, body := range map[string]string{
		"/openai/v1/chat/completions": `{"model":"gpt-4o","max_tokens":9,"tool_choice":"auto","tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}],
			"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `","detail":"low"}}]},
			{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"7"}]}`,
		"/openai/v1/responses": `{"model":"gpt-4o","max_output_tokens":9,"tools":[{"type":"function","name":"look","parameters":{}},{"type":"web_search"}],
			"input":[{"role":"user","content":[{"type":"input_text","text":"hi"},{"type":"input_image","image_url":"data:image/png;base64,` + png + `"}]},
			{"type":"function_call_output","call_id":"c1","output":"7"}]}`,
		"/anthropic/v1/messages": `{"model":"claude-x","max_tokens":9,"tools":[{"name":"look","input_schema":{"type":"object"}}],
			"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}},{"type":"text","text":"hi"}]},
			{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"look","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"7"}]}]}`,
	} {
		var got string
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			got = string(text)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"usage":{"input_tokens":1,"output_tokens":1}}`)
		}), nil)
		if resp := b.post(t, path, body); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
		if e := b.fake.only(t); got != body || e.req.PromptTokens < 100 || e.req.MaxOutputTokens != 9 {
			t.Errorf("%s: forwarded %s, counted %d and %d", path, got, e.req.PromptTokens, e.req.MaxOutputTokens)
		}
	}
}
