package standin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

var counter = llm.NewCounter()

func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	o.Counter = counter
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Server) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// Texts have exactly the tokens that they claim, in every encoding, however they are cut.
func TestTextIsExact(t *testing.T) {
	for _, model := range []string{"gpt-4o", "gpt-4", "text-davinci-003", "davinci"} {
		for n := int64(0); n < 120; n++ {
			if got := counter.Text(model, Text(0, n)); got != n {
				t.Fatalf("%s: a text of %d tokens has %d", model, n, got)
			}
		}
	}
	if Text(0, 50) != Text(0, 17)+Text(17, 33) {
		t.Error("parts do not make the whole")
	}
}

func TestAnswers(t *testing.T) {
	for _, x := range []struct {
		name, path, body string
		header           []string
		output           int64
		finish           string
	}{
		{"default", "chat/completions", `{"model":"m","messages":[]}`, nil, 64, "stop"},
		{"header", "chat/completions", `{"model":"m","messages":[]}`, []string{HeaderOutput, "7"}, 7, "stop"},
		{"metadata", "chat/completions", `{"model":"m","messages":[],"metadata":{"standin_output_tokens":"9"}}`, nil, 9, "stop"},
		{"limit", "chat/completions", `{"model":"m","messages":[],"max_tokens":5}`, nil, 5, "length"},
		{"both limits", "chat/completions", `{"model":"m","messages":[],"max_tokens":5,"max_completion_tokens":4}`, nil, 4, "length"},
		{"choices", "chat/completions", `{"model":"m","messages":[],"n":3,"max_tokens":5}`, nil, 15, "length"},
		{"completion", "completions", `{"model":"m","prompt":["a","b"]}`, nil, 32, "length"},
	} {
		for _, stream := range []bool{false, true} {
			s := newServer(t, Options{})
			body := x.body
			if stream {
				body = strings.Replace(body, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
			}
			w := s.do("POST", "/v1/"+x.path, body, x.header...)
			if w.Code != 200 || !strings.Contains(w.Body.String(), fmt.Sprintf(`"completion_tokens":%d,`, x.output)) || !strings.Contains(w.Body.String(), `"finish_reason":"`+x.finish+`"`) {
				t.Errorf("%s, stream %v: %d %s", x.name, stream, w.Code, w.Body)
			}
			if got := s.Stats().Total; got.CompletionTokens != x.output || got.Completed != 1 || got.Calls != 1 {
				t.Errorf("%s, stream %v: counted %+v", x.name, stream, got)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	s := newServer(t, Options{})
	for _, x := range []struct {
		path, body string
		header     []string
		status     int
	}{
		{"/v1/chat/completions", `{`, nil, 400},
		{"/v1/chat/completions", `{"messages":[]}`, nil, 400},
		{"/v1/chat/completions", `{"model":"m"}`, nil, 400},
		{"/v1/chat/completions", `{"model":"m","messages":[],"max_tokens":0}`, nil, 400},
		{"/v1/chat/completions", `{"model":"m","messages":[],"n":1000}`, nil, 400},
		{"/v1/chat/completions", `{"model":"m","messages":[]}`, []string{HeaderOutput, "x"}, 400},
		{"/v1/chat/completions", `{"model":"m","messages":[]}`, []string{HeaderError, "429"}, 429},
		{"/v1/chat/completions", `{"model":"m","messages":[]}`, []string{HeaderError, "500"}, 500},
		{"/v1/embeddings", `{"model":"m","input":"x","dimensions":100000}`, nil, 400},
		{"/v1/nothing", `{}`, nil, 404},
	} {
		w := s.do("POST", x.path, x.body, x.header...)
		var v struct {
			Error struct{ Message, Type string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != x.status || v.Error.Message == "" || v.Error.Type == "" {
			t.Errorf("%s %s: %d %s", x.path, x.body, w.Code, w.Body)
		}
	}
	if got := s.Stats().Total; got.Tokens() != 0 || got.Errors != 9 {
		t.Errorf("counted %+v", got)
	}
	always := newServer(t, Options{ErrorRate: 1, ErrorStatus: 503})
	if w := always.do("POST", "/v1/embeddings", `{"model":"m","input":"x"}`); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}

func TestStats(t *testing.T) {
	s := newServer(t, Options{})
	s.do("POST", "/v1/embeddings", `{"model":"e","input":"hello world","user":"ads"}`)
	s.do("POST", "/v1/chat/completions", `{"model":"m","messages":[],"max_tokens":5}`, HeaderTenant, "search")
	s.do("POST", "/v1/chat/completions", `{"model":"m","messages":[],"max_tokens":6}`, HeaderTenant, "ads")
	var got Stats
	if err := json.Unmarshal(s.do("GET", "/standin/stats", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Total.Tokens() != 2+3+5+3+6 || got.ByModel["m"].Tokens() != 17 || got.ByTenant["ads"].Tokens() != 11 || got.ByTenantModel["search"]["m"].CompletionTokens != 5 {
		t.Errorf("%+v", got)
	}
	var sum int64
	for _, sec := range got.Seconds {
		sum += sec.Tokens()
	}
	if sum != got.Total.Tokens() || got.PeakInFlight != 1 || got.InFlight != 0 {
		t.Errorf("%+v", got)
	}
	s.do("POST", "/standin/reset", "")
	if got := s.Stats(); got.Total != (Sums{}) || len(got.ByTenant) != 0 {
		t.Errorf("after the reset: %+v", got)
	}
}

func TestStatsAreBounded(t *testing.T) {
	c := newCounts()
	for i := range MaxKeys + 100 {
		c.add(fmt.Sprint(i), "m", time.Unix(int64(i), 0), Sums{Calls: 1})
	}
	s := c.stats()
	if len(s.ByTenant) != MaxKeys+1 || s.ByTenant[Others].Calls != 100 || len(s.Seconds) != MaxSeconds || s.Total.Calls != MaxKeys+100 {
		t.Errorf("%d tenants, %d others, %d seconds", len(s.ByTenant), s.ByTenant[Others].Calls, len(s.Seconds))
	}
}

// Speed and the count of a call whose client hangs up, on virtual time.
func TestSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, Options{TokensPerSecond: 100, FirstToken: time.Second})
		start := time.Now()
		s.do("POST", "/v1/chat/completions", `{"model":"m","messages":[],"stream":true}`, HeaderOutput, "200")
		if took := time.Since(start); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("200 tokens took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`)).WithContext(ctx)
		r.Header.Set(HeaderOutput, "200")
		r.Header.Set(HeaderTenant, "gone")
		s.ServeHTTP(httptest.NewRecorder(), r)
		got := s.Stats().ByTenant["gone"]
		if got.Aborted != 1 || got.CompletionTokens < 95 || got.CompletionTokens > 100 { // a second's worth
			t.Errorf("counted %+v", got)
		}
	})
}

func TestTooManyAtOnce(t *testing.T) {
	s := newServer(t, Options{MaxConcurrent: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`)).WithContext(ctx)
		r.Header.Set(HeaderStall, "0")
		s.ServeHTTP(httptest.NewRecorder(), r)
	}()
	for deadline := time.Now().Add(20 * time.Second); s.Stats().InFlight == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the first call never came in")
		}
	}
	if w := s.do("POST", "/v1/embeddings", `{"model":"m","input":"x"}`); w.Code != http.StatusTooManyRequests {
		t.Errorf("status %d", w.Code)
	}
	cancel()
	<-done
}

func TestOptionsAndModels(t *testing.T) {
	for _, o := range []Options{{TokensPerSecond: -1}, {ErrorRate: 2}, {ErrorStatus: 200}, {FirstToken: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	w := newServer(t, Options{Models: []string{"a", "b"}}).do("GET", "/v1/models", "")
	if b, _ := io.ReadAll(w.Body); !strings.Contains(string(b), `"id":"b"`) {
		t.Errorf("%s", b)
	}
}
