package llm_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

const benchBody = `{"model":"gpt-4o","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"How many roads must a man walk down before you call him a man?"}],"max_tokens":64}`

// fixed answers at once: what is left is the cost of the way.
func fixed(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Forty-two."},"finish_reason":"stop"}],"usage":{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35}}`)
}

// BenchmarkCall compares a call straight to an upstream with one through the proxy, over keep-alive.
func BenchmarkCall(b *testing.B) {
	direct := httptest.NewServer(http.HandlerFunc(fixed))
	defer direct.Close()
	bed := newBed(b, http.HandlerFunc(fixed), nil)
	for _, x := range []struct{ name, url string }{{"direct", direct.URL + "/v1/chat/completions"}, {"proxy", bed.url + chatPath}} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.Post(x.url, "application/json", strings.NewReader(benchBody))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					b.Fatal(resp.Status, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// BenchmarkStream is a stream of 200 chunks, straight and through the proxy.
func BenchmarkStream(b *testing.B) {
	chunk := "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n"
	up := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 200 {
			_, _ = io.WriteString(w, chunk)
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":200}}\n\ndata: [DONE]\n\n")
	})
	direct := httptest.NewServer(up)
	defer direct.Close()
	bed := newBed(b, up, nil)
	body := strings.Replace(benchBody, "{", `{"stream":true,`, 1)
	for _, x := range []struct{ name, url string }{{"direct", direct.URL + "/v1/chat/completions"}, {"proxy", bed.url + chatPath}} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				resp, err := http.Post(x.url, "application/json", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// BenchmarkFirst is the way of a call to its provider and of the first event back: straight, through the standard library's reverse proxy, which looks
// into nothing, and through ours.
func BenchmarkFirst(b *testing.B) {
	up := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"id\":\"x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n")
	})
	direct := httptest.NewServer(up)
	defer direct.Close()
	to, err := url.Parse(direct.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1})
	defer bare.Close()
	bed := newBed(b, up, nil)
	body := strings.Replace(benchBody, "{", `{"stream":true,`, 1)
	for _, x := range []struct{ name, url string }{
		{"direct", direct.URL + "/v1/chat/completions"}, {"bare", bare.URL + "/v1/chat/completions"}, {"proxy", bed.url + chatPath},
	} {
		b.Run(x.name, func(b *testing.B) {
			var first time.Duration
			for b.Loop() {
				at := time.Now()
				resp, err := http.Post(x.url, "application/json", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				in := bufio.NewReader(resp.Body)
				if _, err := in.ReadSlice('\n'); err != nil {
					b.Fatal(err)
				}
				first += time.Since(at)
				if _, err := io.Copy(io.Discard, in); err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			b.ReportMetric(float64(first.Microseconds())/float64(b.N), "µs-first/op")
		})
	}
}

func BenchmarkCount(b *testing.B) {
	c := llm.NewCounter()
	for _, x := range []struct {
		name, text string
	}{
		{"1KiB", strings.Repeat("The quick brown fox jumps over the lazy dog. ", 23)},
		{"100KiB", strings.Repeat("The quick brown fox jumps over the lazy dog. ", 2300)},
		{"100KiB-blanks", strings.Repeat(" \n", 50<<10)}, // the worst text known
	} {
		b.Run(x.name, func(b *testing.B) {
			b.SetBytes(int64(len(x.text)))
			for b.Loop() {
				c.Text("gpt-4o", x.text)
			}
		})
	}
}
