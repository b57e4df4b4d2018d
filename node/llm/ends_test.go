package llm_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

// script is a stream of one dialect, event by event.
type script struct {
	path, body string
	events     []string
	told       int    // after so many events the call's usage is known for good
	counted    int    // after so many, the stream is complete though its usage was not told; 0: never
	failed     string // how the dialect reports an error in a stream
}

// Every script uses 8 tokens of its prompt and 2 of its output.
var scripts = []script{
	{"/openai/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true}`, []string{
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`,
		`{"choices":[{"index":0,"delta":{"content":" the of"},"finish_reason":null}],"usage":null}`,
		`{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`,
		`{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}}`,
		`[DONE]`}, 4, 3, `{"error":{"message":"The server had an error","type":"server_error"}}`},
	{"/openai/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"hi","max_tokens":9,"stream":true}`, []string{
		`{"choices":[{"index":0,"text":" the of","finish_reason":null}],"usage":null}`,
		`{"choices":[{"index":0,"text":"","finish_reason":"stop"}],"usage":null}`,
		`{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2}}`,
		`[DONE]`}, 3, 2, `{"error":{"message":"The server had an error","type":"server_error"}}`},
	{"/openai/v1/responses", `{"model":"gpt-4o","input":"hi","max_output_tokens":9,"stream":true}`, []string{
		`{"type":"response.created","response":{"status":"in_progress","usage":null}}`,
		`{"type":"response.output_text.delta","delta":" the of"}`,
		`{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":8,"output_tokens":2}}}`},
		3, 0, `{"type":"error","code":"server_error","message":"The server had an error","param":null,"sequence_number":2}`},
	{"/anthropic/v1/messages", `{"model":"claude-x","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"stream":true}`, []string{
		`{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":5,"cache_creation_input_tokens":0,"output_tokens":1}}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" the of"}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`,
		`{"type":"message_stop"}`}, 4, 0, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`},
}

// TestEveryEndOfEveryStream cuts the stream of every dialect at every event in every way that a call can end. Each time its reservation ends once: with
// the usage if that had come, with what was counted where the stream was complete, else as a whole; and a client that sees the end of a stream that was
// not whole hears of it.
func TestEveryEndOfEveryStream(t *testing.T) {
	type ways struct {
		name   string
		finish func(w http.ResponseWriter, r *http.Request, s *script, at int) // the upstream's, after so many events
		client func(b *bed, r *bufio.Reader, resp *http.Response)              // after it has read so many; nil: it reads on
		set    func(*llm.Options)
	}
	rest := func(w http.ResponseWriter, s *script, at int) {
		for _, e := range s.events[at:] {
			fmt.Fprintf(w, "data: %s\n\n", e)
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request, _ *script, _ int) { <-r.Context().Done() }
	all := []ways{
		{name: "done", finish: func(w http.ResponseWriter, _ *http.Request, s *script, at int) { rest(w, s, at) }},
		{name: "upstream breaks off", finish: func(http.ResponseWriter, *http.Request, *script, int) { panic(http.ErrAbortHandler) }},
		{name: "upstream ends", finish: func(http.ResponseWriter, *http.Request, *script, int) {}},
		{name: "error", finish: func(w http.ResponseWriter, _ *http.Request, s *script, _ int) {
			fmt.Fprintf(w, "data: %s\n\n", s.failed)
		}},
		{name: "client hangs up", client: func(_ *bed, _ *bufio.Reader, resp *http.Response) { resp.Body.Close() }},
		{name: "timeout", finish: hang, set: func(o *llm.Options) { o.CallTimeout = 20 * time.Millisecond }},
		{name: "shutdown", finish: hang, client: func(b *bed, _ *bufio.Reader, _ *http.Response) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = b.proxy.Drain(ctx) // it had to cut, and says so
		}},
	}
	for _, s := range scripts {
		for _, way := range all {
			for at := range len(s.events) + 1 {
				t.Run(fmt.Sprintf("%s/%s after %d", strings.TrimPrefix(s.path, "/"), way.name, at), func(t *testing.T) {
					t.Parallel()
					left := make(chan struct{}) // the client has
					b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the proxy has gone
						w.Header().Set("Content-Type", "text/event-stream")
						for _, e := range s.events[:at] {
							fmt.Fprintf(w, "data: %s\n\n", e)
						}
						_ = http.NewResponseController(w).Flush()
						if way.finish == nil {
							<-left
							rest(w, &s, at)
							return
						}
						way.finish(w, r, &s, at)
					}), way.set)
					resp := b.post(t, s.path, s.body)
					r := bufio.NewReader(resp.Body)
					if way.client != nil {
						seen := at
						if s.counted > 0 && at >= s.told {
							seen-- // a usage chunk is kept from a client that did not ask for it
						}
						for seen > 0 {
							line, err := r.ReadString('\n')
							if err != nil {
								t.Fatalf("the client reads %d events: %v", at, err)
							}
							if line == "\n" {
								seen--
							}
						}
						way.client(b, r, resp)
					}
					close(left)
					_, err := io.Copy(io.Discard, r)
					e := b.fake.only(t)

					whole := way.name == "done" || way.name == "client hangs up"
					told := whole || at >= s.told
					counted := way.name == "upstream ends" && s.counted > 0 && at >= s.counted
					switch {
					case way.name == "timeout" && e.usage == nil: // nothing may have come in time, on a busy machine
						if e.out != "cut" && !e.freed {
							t.Errorf("ended as %q", e.out)
						}
					case (told || counted) != (e.usage != nil) || e.freed:
						t.Errorf("ended %+v", e)
					case told && (e.usage.PromptTokens != 8 || e.usage.CompletionTokens != 2):
						t.Errorf("settled with %+v", e.usage)
					case !told && !counted && (e.guess == nil || e.guess.CompletionTokens > 3):
						t.Errorf("what arrived is counted as %+v", e.guess)
					}
					if !whole && way.name != "upstream ends" && way.name != "error" && at < len(s.events) && err == nil && resp.StatusCode == http.StatusOK {
						t.Error("the client takes the stream for whole")
					}
				})
			}
		}
	}
}

// TestStreamThatBreaksBeforeItsFirstEvent is an error with a status, as its head waits for the event: a client's library knows what to do with that. (On a
// busy machine the head may have gone by then: then the connection breaks, and another is tried.)
func TestStreamThatBreaksBeforeItsFirstEvent(t *testing.T) {
	for _, s := range scripts {
		b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), nil)
		eventually(t, s.path+": a stream without an event is an error with a status", func() bool {
			resp := b.post(t, s.path, s.body)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode == http.StatusOK {
				if err == nil {
					t.Error("the client takes the stream for whole")
				}
				return false
			}
			if resp.StatusCode != http.StatusBadGateway || resp.Header.Get("Content-Type") != "application/json" || !bytes.Contains(body, []byte("broke off")) {
				t.Errorf("%s: %s %v %s", s.path, resp.Status, resp.Header, body)
			}
			return true
		})
	}
}
