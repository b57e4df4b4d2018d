package llm_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

func chatBody(stream bool) string {
	return fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":12,"stream":%v}`, stream)
}

// post sends a call without any client library; header pairs follow the body.
func (b *bed) post(t testing.TB, path, body string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

const chatPath = "/openai/v1/chat/completions"

// The upstream breaks off after every possible number of tokens: the reservation ends once, is charged
// at least what the model generated, and the client sees that its reply is not whole.
func TestUpstreamBreaksOffAnywhere(t *testing.T) {
	for _, stream := range []bool{true, false} {
		b := newBed(t, nil, nil)
		for after := range 12 {
			resp := b.post(t, chatPath, chatBody(stream), standin.HeaderOutput, "12", standin.HeaderBreak, fmt.Sprint(after))
			_, err := io.ReadAll(resp.Body)
			if stream && resp.StatusCode == 200 && err == nil {
				t.Errorf("after %d tokens: the stream seems whole", after)
			}
			if !stream && resp.StatusCode != http.StatusBadGateway {
				t.Errorf("after %d tokens: status %d", after, resp.StatusCode)
			}
		}
		eventually(t, "all have ended", func() bool {
			for _, e := range b.fake.all() {
				if e.ended == 0 {
					return false
				}
			}
			return b.model.Stats().InFlight == 0
		})
		var charged int64
		for i, e := range b.fake.all() {
			charged += e.charged()
			if e.ended != 1 || e.usage != nil || e.freed {
				t.Errorf("reservation %d: ended %d times, %+v", i, e.ended, e)
			}
			// What arrived of a stream is the charge where the ceiling is not hard.
			switch {
			case !stream && e.guess != nil:
				t.Errorf("reservation %d: an estimate %+v of a reply that nobody saw", i, *e.guess)
			case stream && e.guess == nil && i > 0:
				t.Errorf("reservation %d: no estimate", i)
			case stream && e.guess != nil && (e.guess.PromptTokens != e.req.PromptTokens || e.guess.CompletionTokens > int64(i)):
				t.Errorf("reservation %d: the estimate is %+v, at most %d tokens arrived", i, *e.guess, i)
			}
		}
		if got := b.model.Stats().Total.Tokens(); got > charged {
			t.Errorf("the model generated %d tokens, charged are %d", got, charged)
		}
	}
}

// The client hangs up after every possible number of events: the reservation ends once and is charged
// exactly what the model generated, since the upstream is read on to its end.
func TestClientHangsUpAnywhere(t *testing.T) {
	b := newBed(t, nil, nil)
	for after := range 16 {
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.url+chatPath, strings.NewReader(chatBody(true)))
		req.Header.Set(standin.HeaderOutput, "12")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(resp.Body)
		for range 2 * after {
			_, _ = r.ReadString('\n')
		}
		cancel()
		_ = resp.Body.Close()
	}
	b.agree(t)
}

// A client that has gone is not read on for forever, by time or by bytes: then the whole reservation
// is charged.
func TestReadingOnIsBounded(t *testing.T) {
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"and "}}]}`+"\n\n")
			w.(http.Flusher).Flush()
		}
	})
	for name, x := range map[string]struct {
		upstream http.Handler
		limit    llm.DrainLimit
	}{
		"time":  {newGate(), llm.DrainLimit{Time: 20 * time.Millisecond, Bytes: 1 << 40}},
		"bytes": {endless, llm.DrainLimit{Time: 40 * time.Minute, Bytes: 50_000}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, x.upstream, func(o *llm.Options) { o.Drain = x.limit })
			resp := b.post(t, chatPath, chatBody(true))
			if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if e := b.fake.only(t); e.usage != nil || e.freed || e.out != "cut" {
				t.Errorf("settled %+v, outcome %q", e.usage, e.out)
			}
		})
	}
}

func TestCallTimeout(t *testing.T) {
	for _, stream := range []bool{true, false} {
		b := newBed(t, nil, func(o *llm.Options) { o.CallTimeout = 50 * time.Millisecond })
		resp := b.post(t, chatPath, chatBody(stream), standin.HeaderStall, "3")
		_, err := io.ReadAll(resp.Body)
		if stream == (err == nil) || !stream && resp.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("stream %v: status %d, %v", stream, resp.StatusCode, err)
		}
		if e := b.fake.only(t); e.usage != nil || e.freed || e.out != "cut" {
			t.Errorf("stream %v: settled %+v, outcome %q", stream, e.usage, e.out)
		}
	}
}

// The node shuts down: calls in flight end by themselves if they can, and are cut when time is up.
func TestDrain(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		g := newGate()
		b := newBed(t, g, nil)
		resp := b.post(t, chatPath, chatBody(true))
		done := make(chan error)
		go func() { done <- b.proxy.Drain(context.Background()) }()
		eventually(t, "new calls are refused", func() bool {
			w := httptest.NewRecorder()
			b.proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openai/no-such-path", nil))
			return w.Code == http.StatusServiceUnavailable
		})
		g.open()
		if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
			t.Errorf("the stream ended with %v: %q", err, body)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		for _, e := range b.fake.all() {
			if e.ended != 1 {
				t.Errorf("%+v", e)
			}
		}
	})
	t.Run("out of time", func(t *testing.T) {
		b := newBed(t, newGate(), nil)
		b.post(t, chatPath, chatBody(true))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.proxy.Drain(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if all := b.fake.all(); len(all) != 1 || all[0].ended != 1 || all[0].out != "cut" { // at once: Drain waited for it
			t.Errorf("%+v", all)
		}
	})
}

// panicky is a ResponseWriter with a bug.
type panicky struct{ *httptest.ResponseRecorder }

func (panicky) Write([]byte) (int, error) { panic("a bug") }

func TestPanicsEndReservations(t *testing.T) {
	b := newBed(t, newGate(), nil)
	r := httptest.NewRequest(http.MethodPost, chatPath, strings.NewReader(chatBody(true)))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		b.proxy.ServeHTTP(panicky{httptest.NewRecorder()}, r)
	}()
	if e := b.fake.only(t); e.usage != nil || e.freed {
		t.Errorf("settled %+v", e)
	}
}

// What an upstream may answer that no provider's documentation promises.
func TestOddReplies(t *testing.T) {
	const answer = `{"choices":[{"index":0,"message":{"role":"assistant","content":"hello world"}}]`
	const use = `,"usage":{"prompt_tokens":3,"completion_tokens":4}}`
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(s))
		_ = z.Close()
		return b.String()
	}
	reply := func(status int, kind, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const js, sse = "application/json", "text/event-stream"
	chunk := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello world\"}}]}\n\n"
	last := strings.Replace(chunk, "}}]}", `},"finish_reason":"stop"}]}`, 1)
	long := strings.Replace(chunk, "hello world", strings.Repeat("long ", 300_000), 1)
	counted := &admit.Usage{PromptTokens: 8, CompletionTokens: 2} // "hi" and its message; "hello world"
	for _, x := range []struct {
		name  string
		up    http.HandlerFunc
		usage *admit.Usage // nil: the whole reservation
		freed bool
		body  string // what the client sees; "" for an error of the proxy's own
	}{
		{"no usage", reply(200, js, answer+"}"), counted, false, answer + "}"},
		{"no usage in a stream", reply(200, sse, chunk+"data: [DONE]\n\n"), counted, false, chunk + "data: [DONE]\n\n"},
		{"no end of a stream", reply(200, sse, chunk), nil, false, chunk},
		{"no [DONE] of a stream that has finished", reply(200, sse, last), counted, false, last},
		{"usage in the last chunk of a stream", reply(200, sse, strings.Replace(last, "}]}\n", `}]`+use+"\n", 1)), &admit.Usage{PromptTokens: 3, CompletionTokens: 4}, false, strings.Replace(last, "}]}\n", `}]`+use+"\n", 1)},
		{"usage so far, and no end of a stream", reply(200, sse, strings.Replace(chunk, "}]}\n", `}]`+use+"\n", 1)), nil, false, strings.Replace(chunk, "}]}\n", `}]`+use+"\n", 1)},
		{"one of two choices of a stream ends", reply(200, sse, strings.Replace(chunk, `"index":0`, `"index":1`, 1)+last), nil, false, strings.Replace(chunk, `"index":0`, `"index":1`, 1) + last},
		{"an event of a stream that is too long", reply(200, sse, long+"data: [DONE]\n\n"), nil, false, long + "data: [DONE]\n\n"},
		{"usage chunk", reply(200, sse, chunk+`data: {"choices":[]`+use+"\n\ndata: [DONE]\n\n"), &admit.Usage{PromptTokens: 3, CompletionTokens: 4}, false, chunk + "data: [DONE]\n\n"},
		{"an error in a stream", reply(200, sse, chunk+"data: {\"error\":{\"message\":\"x\"}}\n\n"), nil, false, chunk + "data: {\"error\":{\"message\":\"x\"}}\n\n"},
		{"gzip", reply(200, js, zip(answer+use), "Content-Encoding", "gzip"), &admit.Usage{PromptTokens: 3, CompletionTokens: 4}, false, answer + use},
		{"broken gzip", reply(200, js, "no gzip", "Content-Encoding", "gzip"), nil, false, ""},
		{"not JSON", reply(200, "text/html", "<p>"), nil, false, "<p>"},
		{"broken JSON", reply(200, js, answer), nil, false, answer},
		{"an error with usage", reply(500, js, `{"error":{}`+use), &admit.Usage{PromptTokens: 3, CompletionTokens: 4}, false, `{"error":{}` + use},
		{"an error", reply(500, js, `{"error":{}}`), nil, true, `{"error":{}}`},
		{"less than announced", reply(200, js, answer+use, "Content-Length", "9999"), nil, false, ""},
		{"a long reply", reply(200, js, `{"x":"`+strings.Repeat("x", 3<<20)+`"`+use), &admit.Usage{PromptTokens: 3, CompletionTokens: 4}, false, `{"x":"` + strings.Repeat("x", 3<<20) + `"` + use},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBed(t, x.up, nil)
			resp := b.post(t, chatPath, chatBody(strings.Contains(x.name, "stream")))
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Errorf("the client: %v", err)
			}
			if x.body == "" && resp.StatusCode != http.StatusBadGateway || x.body != "" && string(got) != x.body {
				t.Errorf("the client got %d %.200q", resp.StatusCode, got)
			}
			e := b.fake.only(t)
			if e.freed != x.freed || (e.usage == nil) != (x.usage == nil) || e.usage != nil && *e.usage != *x.usage {
				t.Errorf("released %v, settled %+v, want %v, %+v", e.freed, e.usage, x.freed, x.usage)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close() // nobody listens there now
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangs.Close()
	for addr, freed := range map[string]bool{gone.URL: true, hangs.URL: false} {
		u, _ := url.Parse(addr)
		b := newBed(t, nil, func(o *llm.Options) { o.Upstreams[0].URL = u })
		if resp := b.post(t, chatPath, chatBody(false)); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", resp.StatusCode)
		}
		if e := b.fake.only(t); e.freed != freed || e.usage != nil { // what was sent may have run
			t.Errorf("released %v, want %v", e.freed, freed)
		}
	}
}

// A client that leaves while its call is queued costs nothing and never reaches the model.
func TestClientLeavesTheQueue(t *testing.T) {
	b := newBed(t, nil, nil)
	var calls atomic.Int64
	b.fake.answer = func(r *admit.Request) (admit.Answer, error) {
		calls.Add(1)
		return admit.Answer{}, context.Canceled
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	b.proxy.ServeHTTP(w, httptest.NewRequest(http.MethodPost, chatPath, strings.NewReader(chatBody(false))).WithContext(ctx))
	b.fake.answer = nil // now it is admitted, but the client has gone meanwhile
	b.proxy.ServeHTTP(w, httptest.NewRequest(http.MethodPost, chatPath, strings.NewReader(chatBody(false))).WithContext(ctx))
	if e := b.fake.only(t); !e.freed || calls.Load() != 1 {
		t.Errorf("%+v", e)
	}
	if n := b.model.Stats().Total.Calls; n != 0 {
		t.Errorf("%d calls reached the model", n)
	}
}

func TestNoGoroutineStays(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("calls", func(t *testing.T) {
		b := newBed(t, nil, nil)
		for i := range 20 {
			resp := b.post(t, chatPath, chatBody(i%2 == 0))
			if i%4 != 0 {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			_ = resp.Body.Close()
		}
		b.agree(t)
	})
	eventually(t, "the goroutines are gone", func() bool {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return runtime.NumGoroutine() <= before
	})
}
