package llm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/policy"
)

const retriesHelp = "Calls that were sent again, by the upstream that did not run them, why (unreachable, refused), and how: again, to where they were sent before, or failover, to another."

// TestSentAgain: which failures of an upstream have a call sent to another one, and which could have run it, so that the caller hears of them.
func TestSentAgain(t *testing.T) {
	const limited = `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`
	answers := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	responses := func(more string) string {
		return `{"model":"gpt-4o","input":"hi","max_output_tokens":9` + more + `}`
	}
	for _, x := range []struct {
		name  string
		first http.HandlerFunc // nil: nobody listens there
		path  string           // "": a chat
		body  string
		again string        // what admission is asked; "": nothing
		after time.Duration // the upstream says
		final bool
		stay  bool
	}{
		{name: "not reached", again: "unreachable"},
		{name: "refused", first: answers(429, limited), again: "429"},
		{name: "refused until later", first: answers(429, limited, "Retry-After-Ms", "30"), again: "429", after: 30 * time.Millisecond},
		{name: "overloaded", first: answers(529, `{"type":"error","error":{"type":"overloaded_error"}}`), again: "529"},
		{name: "unavailable, it says", first: answers(503, `{"error":{"message":"The engine is overloaded"}}`), again: "503"},
		{name: "unavailable until later", first: answers(503, "busy", "Retry-After", "1"), again: "503", after: time.Second},
		{name: "money has run out", first: answers(429, `{"error":{"code":"insufficient_quota"}}`), again: "429", final: true},
		{name: "it is not to be asked again", first: answers(429, limited, "X-Should-Retry", "false"), again: "429", final: true},
		{name: "larger than its limit", first: answers(429, limited, "X-Ratelimit-Limit-Tokens", "2"), again: "429", final: true},
		{name: "a path that is not counted", first: answers(429, limited), path: "/openai/v1/moderations", body: `{"model":"m","input":"x"}`, again: "429", stay: true},
		{name: "a response", first: answers(429, limited), path: "/openai/v1/responses", body: responses(""), again: "429"},
		{name: "a response to one that is kept there", first: answers(429, limited), path: "/openai/v1/responses", body: responses(`,"previous_response_id":"resp_1"`), again: "429", stay: true},

		{name: "a gateway that may have lost the model", first: answers(503, "upstream connect error or disconnect/reset before headers")},
		{name: "a bad gateway", first: answers(502, limited)},
		{name: "a gateway that waited in vain", first: answers(504, limited)},
		{name: "an error of the model", first: answers(500, limited)},
		{name: "a mistake", first: answers(400, limited)},
		{name: "it says what it used", first: answers(429, `{"usage":{"prompt_tokens":1,"completion_tokens":0}}`)},
		{name: "a refusal that breaks off", first: answers(429, limited, "Content-Length", "9999")},
		{name: "an endless refusal", first: answers(429, strings.Repeat("x", 100_000))},
		{name: "it hangs up before it answers", first: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "it hangs up after it began", first: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: {\"choices\":[]}\n\n")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			first := httptest.NewServer(x.first)
			if x.first == nil {
				first.Close()
			}
			defer first.Close()
			u, _ := url.Parse(first.URL + "/v1")
			second := saysWho(t, "second", "key-of-second")
			var asked []admit.Failed
			b := newBed(t, nil, func(o *llm.Options) {
				o.Upstreams = []llm.Upstream{{Name: "first", URL: u, Key: "key-of-first"}, second}
			})
			b.fake.route = &policy.Upstream{Name: "first"}
			b.fake.retry = func(_ string, f admit.Failed) (admit.Next, bool) {
				asked = append(asked, f)
				return admit.Next{Upstream: &policy.Upstream{Name: "second"}, Failover: true}, true
			}
			path, body := x.path, x.body
			if path == "" {
				path, body = chatPath, chatBody(false)
			}
			resp := b.post(t, path, body)
			text, _ := io.ReadAll(resp.Body)
			e := b.fake.only(t)
			if x.again == "" {
				if len(asked) > 0 || resp.Header.Get(llm.HeaderTried) != "" || strings.Contains(string(text), "key-of-second") {
					t.Errorf("sent again after %+v", asked)
				}
				return
			}
			if len(asked) != 1 || asked[0].Upstream != "first" || asked[0].Why != x.again || asked[0].RetryAfter != x.after || asked[0].Final != x.final || asked[0].Stay != x.stay {
				t.Fatalf("asked %+v", asked)
			}
			if resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "second Bearer key-of-second") ||
				resp.Header.Get(llm.HeaderUpstream) != "second" || resp.Header.Get(llm.HeaderTried) != "first "+x.again {
				t.Errorf("the client got %d %s with %v", resp.StatusCode, text, resp.Header)
			}
			if e.freed || e.usage == nil || e.usage.CompletionTokens != 1 {
				t.Errorf("ended %+v", e)
			}
			reason := "refused"
			if x.first == nil {
				reason = "unreachable"
			}
			if got := testutil.GatherAndCompare(b.reg, strings.NewReader(`# HELP swarmpurse_proxy_retries_total `+retriesHelp+`
# TYPE swarmpurse_proxy_retries_total counter
swarmpurse_proxy_retries_total{how="failover",reason="`+reason+`",upstream="first"} 1
`), "swarmpurse_proxy_retries_total"); got != nil {
				t.Error(got)
			}
		})
	}
}

// TestSentAgainInVain: when admission names nobody, the client gets the upstream's own answer, which is told to admission once.
func TestSentAgainInVain(t *testing.T) {
	b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After-Ms", "70")
		w.WriteHeader(429)
		fmt.Fprint(w, "slowly")
	}), nil)
	resp := b.post(t, chatPath, chatBody(false))
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 429 || string(text) != "slowly" || resp.Header.Get("Retry-After-Ms") != "70" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if e := b.fake.only(t); !e.freed || len(b.fake.told()) != 1 {
		t.Errorf("%+v, told %v", e, b.fake.told())
	}
}

// TestWaitsToBeSentAgain: a call waits as it was told; when its client leaves or the node stops meanwhile, it is not sent, and costs nothing.
func TestWaitsToBeSentAgain(t *testing.T) {
	for _, way := range []string{"waits", "client leaves", "node stops"} {
		t.Run(way, func(t *testing.T) {
			var calls atomic.Int64
			b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					w.WriteHeader(429)
					return
				}
				echo(w, r)
			}), nil)
			asked := make(chan struct{})
			wait := time.Hour
			if way == "waits" {
				wait = 5 * time.Millisecond
			}
			b.fake.retry = func(string, admit.Failed) (admit.Next, bool) {
				close(asked)
				return admit.Next{Wait: wait}, true
			}
			req, _ := http.NewRequest(http.MethodPost, b.url+chatPath, strings.NewReader(chatBody(false)))
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-asked
				switch way {
				case "client leaves":
					cancel()
				case "node stops":
					stopped, stop := context.WithCancel(t.Context())
					stop()
					_ = b.proxy.Drain(stopped)
				}
			}()
			resp, err := http.DefaultTransport.RoundTrip(req.WithContext(ctx))
			if err == nil {
				resp.Body.Close()
			}
			e := b.fake.only(t)
			if way == "waits" {
				if err != nil || resp.StatusCode != 200 || calls.Load() != 2 || e.freed {
					t.Errorf("%v %v after %d calls: %+v", resp, err, calls.Load(), e)
				}
			} else if calls.Load() != 1 || !e.freed || way == "node stops" && (err != nil || resp.StatusCode != 429) {
				t.Errorf("%v after %d calls: %+v", err, calls.Load(), e)
			}
		})
	}
}
