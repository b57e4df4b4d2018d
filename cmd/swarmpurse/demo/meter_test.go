package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

func TestMeterTellsSlotsApart(t *testing.T) {
	now := noon
	g := &gauge{}
	m, err := newMeter(standin.Options{}, func(key string) []*gauge {
		if key == "k0" {
			return []*gauge{g}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.lookup = func() time.Time { return now }
	srv := httptest.NewServer(m)
	defer srv.Close()
	call := func(key string, prompt, output int64, header ...string) {
		t.Helper()
		path, body := request(Call{Prompt: prompt, Limit: 100}, 0)
		req, err := http.NewRequest(http.MethodPost, srv.URL+"/v1"+path, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(standin.HeaderTenant, key)
		req.Header.Set(standin.HeaderOutput, strconv.FormatInt(output, 10))
		if len(header) > 0 {
			req.Header.Set(header[0], header[1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return // it was told to break off
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
	}
	call("k0", 10, 5)
	now = noon.Add(slotLength - 1)
	call("k0", 20, 5)
	call("k1", 1, 0, standin.HeaderError, "503")
	now = noon.Add(time.Hour)
	call("k1", 30, 100)
	now = noon // the clock steps back: it counts in the last slot
	call("k0", 7, 50, standin.HeaderBreak, "3")

	for range 2 { // asking changes nothing
		counts := m.Counts()
		if len(counts) != 2 || !counts[0].Start.Equal(noon) || !counts[1].Start.Equal(noon.Add(time.Hour)) {
			t.Fatalf("slots %+v", counts)
		}
		if s := counts[0].ByKey["k0"]; s.Calls != 2 || s.PromptTokens != 30 || s.CompletionTokens != 10 {
			t.Errorf("the first slot counts %+v", s)
		}
		if s := counts[0].ByKey["k1"]; s.Calls != 1 || s.Errors != 1 || s.Tokens() != 0 {
			t.Errorf("a call that failed counts as %+v", s)
		}
		if s := counts[1].ByKey["k0"]; s.PromptTokens != 7 || s.CompletionTokens != 3 || s.Aborted != 1 {
			t.Errorf("a call that broke off counts as %+v", s)
		}
		total := Total(counts)
		if total.Calls != 5 || total.Tokens() != 30+10+130+10 {
			t.Errorf("in total %+v", total)
		}
	}
	if g.top() != 1 || g.now != 0 {
		t.Errorf("%d calls of k0 at once, %d now; want 1 and 0", g.top(), g.now)
	}
}
