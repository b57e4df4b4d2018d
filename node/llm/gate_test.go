package llm_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
)

// gate is an upstream that streams one chunk, waits to be opened and then ends as a model would.
type gate struct {
	once sync.Once
	ch   chan struct{}
}

func newGate() *gate { return &gate{ch: make(chan struct{})} }

func (g *gate) open() { g.once.Do(func() { close(g.ch) }) }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"one"}}]}`+"\n\n")
	w.(http.Flusher).Flush()
	select {
	case <-g.ch:
	case <-r.Context().Done():
		return
	}
	fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":" two"},"finish_reason":"stop"}]}`+"\n\n")
	fmt.Fprint(w, `data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22,"total_tokens":33}}`+"\n\ndata: [DONE]\n\n")
}
