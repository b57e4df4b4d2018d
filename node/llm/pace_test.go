package llm_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// TestPaceSeesAllBytes: every byte of request and reply is announced before it passes, a call that is not paced is asked for once, and one whose client
// has gone does not wait.
func TestPaceSeesAllBytes(t *testing.T) {
	reply := strings.Repeat("x", 100_000)
	upload := strings.Repeat("u", 50_000)
	b := newBed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, reply)
	}), nil)
	var calls, bytes atomic.Int64
	paced := true
	b.fake.pace = func(_ context.Context, id string, n int64) bool {
		calls.Add(1)
		bytes.Add(n)
		return paced && id != ""
	}
	resp := b.post(t, "/openai/v1/files", upload)
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != reply {
		t.Errorf("%d bytes came, %v", len(got), err)
	}
	b.fake.only(t)
	if n := bytes.Load(); n != int64(len(reply)+len(upload)) {
		t.Errorf("%d bytes were announced of %d", n, len(reply)+len(upload))
	}
	calls.Store(0)
	paced = false
	resp = b.post(t, "/openai/v1/models", "")
	_, _ = io.ReadAll(resp.Body)
	if n := calls.Load(); n != 1 {
		t.Errorf("a call that is not paced was asked for %d times", n)
	}
}
