package llm_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
)

func (f *fakeAdmitter) told() []admit.Upstream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.heard)
}

// TestFeedback: what of a provider's answers is told to admission.
func TestFeedback(t *testing.T) {
	const quota = `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`
	const limited = `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`
	type headers map[string]string
	refused := func(after time.Duration) []admit.Upstream {
		return []admit.Upstream{{Refused: true, RetryAfter: after}}
	}
	for _, x := range []struct {
		name    string
		status  int
		headers headers
		body    string
		key     string // that the caller brings
		noKey   bool   // the node has none
		want    []admit.Upstream
	}{
		{name: "an answer", status: 200, body: "{}"},
		{name: "429", status: 429, body: limited, want: refused(0)},
		{name: "503 as a page", status: 503, headers: headers{"Content-Type": "text/html"}, body: "<html>", want: refused(0)},
		{name: "overloaded", status: 529, body: "{}", want: refused(0)},
		{name: "a mistake of the caller", status: 400, body: "{}"},
		{name: "a failure of the provider", status: 500, body: "{}"},
		{name: "seconds to wait", status: 429, headers: headers{"Retry-After": "20"}, body: limited, want: refused(20 * time.Second)},
		{name: "milliseconds win", status: 429, headers: headers{"Retry-After": "1", "Retry-After-Ms": "250"}, body: limited, want: refused(250 * time.Millisecond)},
		{name: "an absurd wait", status: 429, headers: headers{"Retry-After": "1e300"}, body: limited, want: refused(24 * time.Hour)},
		{name: "a wait below 0", status: 429, headers: headers{"Retry-After": "-5"}, body: limited, want: refused(0)},
		{name: "a date that is past", status: 429, headers: headers{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, body: limited, want: refused(0)},
		{name: "no wait that can be read", status: 429, headers: headers{"Retry-After": "soon"}, body: limited, want: refused(0)},
		{name: "money has run out, which no lower rate helps", status: 429, body: quota},
		{name: "larger than the provider's limit", status: 429, headers: headers{"X-Ratelimit-Limit-Tokens": "40"}, body: limited},
		{name: "not larger", status: 429, headers: headers{"X-Ratelimit-Limit-Tokens": "4000"}, body: limited, want: refused(0)},
		{name: "what is left of tokens", status: 200, headers: headers{"X-Ratelimit-Limit-Tokens": "1000", "X-Ratelimit-Remaining-Tokens": "250"}, body: "{}",
			want: []admit.Upstream{{Known: true, Left: 0.25}}},
		{name: "the least of all limits", status: 200, headers: headers{"X-Ratelimit-Limit-Tokens": "1000", "X-Ratelimit-Remaining-Tokens": "250",
			"X-Ratelimit-Limit-Requests": "100", "X-Ratelimit-Remaining-Requests": "1"}, body: "{}", want: []admit.Upstream{{Known: true, Left: 0.01}}},
		{name: "as Anthropic says it", status: 200, headers: headers{"Anthropic-Ratelimit-Input-Tokens-Limit": "1000", "Anthropic-Ratelimit-Input-Tokens-Remaining": "0"}, body: "{}",
			want: []admit.Upstream{{Known: true, Left: 0}}},
		{name: "of a limit that is not told", status: 200, headers: headers{"X-Ratelimit-Remaining-Tokens": "0"}, body: "{}"},
		{name: "nonsense", status: 200, headers: headers{"X-Ratelimit-Limit-Tokens": "-1", "X-Ratelimit-Remaining-Tokens": "NaN"}, body: "{}"},
		{name: "the caller's own key has its own limits", status: 429, key: "sk-a-providers-key-of-its-own", body: limited},
		{name: "keys of callers where the node has none", status: 429, key: "sk-a-providers-key-of-its-own", noKey: true, body: limited, want: refused(0)},
	} {
		t.Run(x.name, func(t *testing.T) {
			up := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for k, v := range x.headers {
					w.Header().Set(k, v)
				}
				w.WriteHeader(x.status)
				fmt.Fprint(w, x.body)
			})
			b := newBed(t, up, func(o *llm.Options) {
				if x.noKey {
					o.Upstreams[0].Key = ""
				}
			})
			c := b.client(option.WithMaxRetries(0))
			var opts []option.RequestOption
			if x.key != "" {
				opts = append(opts, option.WithAPIKey(x.key))
			}
			_, err := c.Chat.Completions.New(t.Context(), hello, opts...)
			if (err != nil) != (x.status >= 400) {
				t.Fatalf("the client got %v", err)
			}
			e := b.fake.only(t) // it is told before that: the client may have had a page sooner
			if got := b.fake.told(); !slices.Equal(got, x.want) {
				t.Errorf("told %+v, want %+v", got, x.want)
			}
			if x.status >= 400 && !e.freed {
				t.Errorf("a refused call was charged: %+v", e)
			}
			// The provider's answer is the client's as it is.
			if e := (*openai.Error)(nil); errors.As(err, &e) && (e.StatusCode != x.status || e.Response.Header.Get("Retry-After") != x.headers["Retry-After"]) {
				t.Errorf("the client saw %d, retry-after %q", e.StatusCode, e.Response.Header.Get("Retry-After"))
			}
		})
	}
}

// TestFeedbackOfStreams: a stream tells what is left before it begins, and a limit that is reached refuses the next.
func TestFeedbackOfStreams(t *testing.T) {
	b := newBed(t, nil, nil)
	b.model.SetLimit(1, 100)
	c := b.client(option.WithMaxRetries(0))
	s := c.Chat.Completions.NewStreaming(t.Context(), hello, outputs("50"))
	for s.Next() {
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	got := b.fake.told()
	if len(got) != 1 || got[0].Refused || !got[0].Known || got[0].Left > 0.4 || got[0].Left < 0.1 {
		t.Fatalf("told %+v", got)
	}
	s = c.Chat.Completions.NewStreaming(t.Context(), hello, outputs("50"))
	for s.Next() {
	}
	var e *openai.Error
	if err := s.Err(); !errors.As(err, &e) || e.StatusCode != 429 || e.Code != "rate_limit_exceeded" || !strings.Contains(e.Message, "try again") {
		t.Fatalf("%v", err)
	}
	if got = b.fake.told(); len(got) != 2 || !got[1].Refused || got[1].RetryAfter < 20*time.Second || got[1].RetryAfter > time.Minute {
		t.Fatalf("told %+v", got)
	}
	b.agree(t)
	if n := b.model.Stats().Total; n.Calls != 2 || n.Errors != 1 {
		t.Errorf("the model counted %+v", n)
	}
}
