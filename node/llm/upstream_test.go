package llm_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/policy"
)

// saysWho is an upstream that answers with its name and the key that it got.
func saysWho(t *testing.T, name, key string) llm.Upstream {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for h := range r.Header {
			if strings.HasPrefix(h, "X-Swarmpurse") {
				t.Errorf("%s reached the upstream", h)
			}
		}
		_, _ = w.Write([]byte(`{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"` +
			name + " " + r.Header.Get("Authorization") + `"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`))
	}))
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	return llm.Upstream{Name: name, URL: u, Key: key}
}

// TestChosenUpstream: the call goes where the decision says, with that upstream's key; how long its answer took is told; and one that is not there is
// told as such, and costs nothing.
func TestChosenUpstream(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	nowhere, _ := url.Parse(gone.URL + "/v1")
	ups := []llm.Upstream{saysWho(t, "eu", "key-of-eu"), saysWho(t, "us", "key-of-us"), {Name: "gone", URL: nowhere}}
	b := newBed(t, nil, func(o *llm.Options) { o.Upstreams = ups })
	client := b.client(option.WithMaxRetries(0))
	var resp *http.Response
	ask := func(to string, opts ...option.RequestOption) (string, error) {
		b.fake.route = nil
		if to != "" {
			b.fake.route = &policy.Upstream{Name: to}
		}
		c, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
			Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hi.")},
		}, append(opts, option.WithResponseInto(&resp))...)
		if err != nil {
			return "", err
		}
		return c.Choices[0].Message.Content, nil
	}
	if got, err := ask("eu", option.WithAPIKey("sk-the-callers-own-key-for-another-provider"), option.WithHeader("X-Api-Key", "another")); err != nil || got != "eu Bearer key-of-eu" {
		t.Errorf("a caller's own key: %q, %v", got, err)
	}
	b.fake.mu.Lock()
	b.fake.entries, b.fake.heard = nil, nil
	b.fake.mu.Unlock()
	for _, name := range []string{"eu", "us"} {
		got, err := ask(name, option.WithHeader(llm.HeaderData, "eu/docs@sha256:00, x"))
		if err != nil || got != name+" Bearer key-of-"+name || resp.Header.Get(llm.HeaderUpstream) != name {
			t.Errorf("%s: %q, %v, header %q", name, got, err, resp.Header.Get(llm.HeaderUpstream))
		}
	}
	all := b.fake.all()
	if r := all[0].req; !r.Forward || len(r.Data) != 2 || r.Data[0] != "eu/docs" || len(r.Digests) != 2 || r.Digests[0] != "sha256:00" || r.Digests[1] != "" {
		t.Errorf("%+v", r)
	}
	b.fake.mu.Lock()
	if len(b.fake.heard) != 2 || b.fake.heard[0].Latency <= 0 || b.fake.heard[0].Refused {
		t.Errorf("heard %+v", b.fake.heard)
	}
	b.fake.heard = nil
	b.fake.mu.Unlock()

	var e *openai.Error
	if _, err := ask("gone"); !errors.As(err, &e) || e.StatusCode != http.StatusBadGateway {
		t.Errorf("of one that is not there: %v", err)
	}
	if last := b.fake.all()[2]; last.ended != 1 || !last.freed {
		t.Errorf("a call that was not sent ended as %+v", last)
	}
	b.fake.mu.Lock()
	if len(b.fake.heard) != 1 || !b.fake.heard[0].Unreachable {
		t.Errorf("heard %+v", b.fake.heard)
	}
	b.fake.mu.Unlock()

	// What the node does not know: a policy that names another, and one that names none of three.
	for _, to := range []string{"mars", ""} {
		if _, err := ask(to); !errors.As(err, &e) || e.StatusCode != http.StatusServiceUnavailable || e.Code != "no_upstream" {
			t.Errorf("to %q: %v", to, err)
		}
	}
	for _, x := range b.fake.all()[3:] {
		if x.ended != 1 || !x.freed {
			t.Errorf("a call that was not sent ended as %+v", x)
		}
	}
	if err := b.proxy.Reload(ups[1:2]); err != nil { // the only one
		t.Fatal(err)
	}
	if got, err := ask(""); err != nil || !strings.HasPrefix(got, "us ") || resp.Header.Get(llm.HeaderUpstream) != "" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestRefusedForItsPlace: clients are told not to retry, and where to ask.
func TestRefusedForItsPlace(t *testing.T) {
	b := newBed(t, nil, nil)
	b.fake.answer = func(*admit.Request) (admit.Answer, error) {
		return admit.Answer{ID: "1", Verdict: admit.Deny, Code: admit.CodeLocality, Reason: "elsewhere", Nearest: &admit.Neighbor{Name: "n3", HTTP: "http://10.1.2.3:7070"}}, nil
	}
	client := b.client()
	_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hi.")},
	})
	var e *openai.Error
	if !errors.As(err, &e) || e.StatusCode != 429 || e.Response.Header.Get(llm.HeaderNearest) != "n3 http://10.1.2.3:7070" || e.Response.Header.Get("X-Should-Retry") != "false" || e.Type != "insufficient_quota" {
		t.Errorf("%v", err)
	}
}

func TestDataHeaderMistakes(t *testing.T) {
	b := newBed(t, nil, nil)
	client := b.client()
	for _, data := range []string{"eu/docs@latest", "@sha256:00", strings.Repeat("x", 300)} {
		_, err := client.Models.List(t.Context(), option.WithHeader(llm.HeaderData, data))
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != http.StatusBadRequest || e.Param != "data" {
			t.Errorf("%.20q: %v", data, err)
		}
	}
	if len(b.fake.all()) != 0 {
		t.Error("it was admitted")
	}
}
