package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/node/events"
)

// said is one event as a follower reads it.
type said struct{ id, kind, data string }

// following reads a stream of events.
type following struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
}

func followEvents(t *testing.T, url, query, after string) *following {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx(t), http.MethodGet, url+"/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if ct := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || ct != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		body, _ := io.ReadAll(resp.Body)
		t.Fatalf("status %d, %q: %s", resp.StatusCode, ct, body)
	}
	return &following{t, resp, bufio.NewReader(resp.Body)}
}

// next reads the next event; false at the end of the stream.
func (f *following) next() (e said, ok bool) {
	for {
		line, err := f.r.ReadString('\n')
		if err != nil {
			return e, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			e.data = value
		case "":
			if e != (said{}) {
				return e, true
			}
		}
	}
}

func (f *following) must(want said) said {
	f.t.Helper()
	e, ok := f.next()
	if !ok || e.kind != want.kind || want.data != "" && e.data != want.data || want.id != "" && e.id != want.id {
		f.t.Fatalf("got %+v, %v; want %+v", e, ok, want)
	}
	return e
}

func publish(t *testing.T, h *events.Hub, kind string, v any) {
	t.Helper()
	if !h.Wants(kind) {
		t.Fatalf("%s is not wanted", kind)
	}
	h.Publish(kind, v)
}

// TestEvents: events come in order with ids, of the kinds asked for, go on where they broke off, and end with the server.
func TestEvents(t *testing.T) {
	h, reg := api.NewEvents(7), prometheus.NewPedanticRegistry()
	n := apitest.New(1000)
	s, err := api.New(api.Options{Node: n, Events: h, Views: n, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)

	all := followEvents(t, ts.URL, "", "")
	publish(t, h, "decision", "one")
	first := all.must(said{kind: "decision", data: `"one"`})
	some := followEvents(t, ts.URL, "?kinds=transfer,state", first.id)
	if e := some.must(said{kind: api.EventState}); e.id != "" || !strings.Contains(e.data, `"classes"`) {
		t.Errorf("state: %+v", e)
	}
	publish(t, h, "decision", "two")
	publish(t, h, "transfer", "three")
	all.must(said{kind: "decision", data: `"two"`})
	last := all.must(said{kind: "transfer", data: `"three"`})
	some.must(said{kind: "transfer", data: `"three"`, id: last.id})

	again := followEvents(t, ts.URL, "", first.id)
	again.must(said{kind: "decision", data: `"two"`})
	lost := followEvents(t, ts.URL, "", "someone-5")
	lost.must(said{kind: api.EventGap})
	lost.must(said{kind: "decision", data: `"one"`})

	if n, err := testutil.GatherAndCount(reg, "swarmpurse_http_event_followers", "swarmpurse_http_event_followers_lost_total", "swarmpurse_http_events_left_out_total"); err != nil || n != 2+len(api.EventKinds) {
		t.Errorf("%d metrics, %v", n, err)
	}

	for _, bad := range []string{"?kinds=nonsense", "?kinds=,", "?kinds=bye"} {
		if resp, body := send(t, ts, "GET", "/v1/events"+bad, ""); resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "transfer") {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, body)
		}
	}

	if err := s.Shutdown(t.Context()); err != nil { // of a server that listens nowhere
		t.Fatal(err)
	}
	for _, f := range []*following{all, again} {
		for e, ok := f.next(); ; e, ok = f.next() {
			if !ok {
				t.Fatal("the stream ended without a word")
			}
			if e.kind == api.EventBye {
				break
			}
		}
		if e, ok := f.next(); ok {
			t.Errorf("after the end: %+v", e)
		}
	}
	if resp, body := send(t, ts, "GET", "/v1/events", ""); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "shutting down") {
		t.Errorf("after the end: %d %s", resp.StatusCode, body)
	}
}

// TestTooManyFollowers: one more than there may be is told so, and when to come again.
func TestTooManyFollowers(t *testing.T) {
	h := api.NewEvents(7)
	ts, _ := start(t, api.Options{Events: h})
	t.Cleanup(h.End) // or the server would wait for them
	for range events.MaxFollowers {
		f, _, err := h.Follow("")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
	}
	resp, body := send(t, ts, "GET", "/v1/events", "")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "32 follow") {
		t.Errorf("%d %q %s", resp.StatusCode, resp.Header.Get("Retry-After"), body)
	}
}

// stuckWriter is a connection that takes nothing once it has taken so many writes.
type stuckWriter struct {
	*httptest.ResponseRecorder
	left     int
	deadline time.Time
}

func (w *stuckWriter) SetWriteDeadline(t time.Time) error { w.deadline = t; return nil }

func (w *stuckWriter) Write(p []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return w.ResponseRecorder.Write(p)
}

// TestFollowerThatTakesNothing: it has a deadline, is let go and counted; nobody else waits for it.
func TestFollowerThatTakesNothing(t *testing.T) {
	h := api.NewEvents(7)
	s, err := api.New(api.Options{Node: apitest.New(1), Events: h})
	if err != nil {
		t.Fatal(err)
	}
	w := &stuckWriter{ResponseRecorder: httptest.NewRecorder(), left: 1}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Handler().ServeHTTP(w, httptest.NewRequestWithContext(onLoopback(context.Background()), "GET", "http://localhost/v1/events", nil))
	}()
	for end := time.Now().Add(time.Minute); h.Followers() == 0; {
		if time.Now().After(end) {
			t.Fatal("nobody follows")
		}
		time.Sleep(time.Millisecond)
	}
	publish(t, h, "transfer", 1)
	<-done
	if h.Slow() != 1 || h.Followers() != 0 || w.deadline.IsZero() {
		t.Errorf("%d were slow, %d follow, deadline %v", h.Slow(), h.Followers(), w.deadline)
	}
}

// TestOverview: the client reads what the node shows, and of an instance as the budget is asked for.
func TestOverview(t *testing.T) {
	ts, c := start(t, api.Options{Views: apitest.New(1000)})
	v, err := c.Overview(ctx(t), 3)
	if err != nil || v.Status.Node != "fake" || len(v.Classes) != 1 || v.Classes[0].LatencyBudgetMS != 500 {
		t.Errorf("%+v, %v", v, err)
	}
	b, err := c.Instance(ctx(t), "tenant-day", "tenant-day/a%2Fb")
	if err != nil || len(b.Instances) != 1 || b.Instances[0].Instance != "tenant-day/a%2Fb" {
		t.Errorf("%+v, %v", b, err)
	}
	var e *api.Error
	if _, err := c.Instance(ctx(t), "none", "none"); !errors.As(err, &e) || e.Status != http.StatusNotFound {
		t.Errorf("an unknown one: %v", err)
	}
	for _, q := range []string{"-1", "1001", "many"} {
		if resp, body := send(t, ts, "GET", "/v1/overview?instances="+q, ""); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", q, resp.StatusCode, body)
		}
	}
}
