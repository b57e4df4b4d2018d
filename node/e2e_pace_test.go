//go:build unix

package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// Streams through the proxies of two nodes share a budget of bytes: they are slowed down to it, come whole, and are charged to the byte. So
// is one whose budget brings nothing any more.
func TestStreamsArePaced(t *testing.T) {
	t.Parallel()
	const size, rate, burst = 300_000, 200_000, 100_000
	event := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("x", 940) + "\"}}]}\n\n"
	last := "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n"
	streams := map[string]string{"long": strings.Repeat(event, size/len(event)) + last, "short": event + last} // by model
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var call struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&call)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, streams[call.Model])
	}))
	defer up.Close()
	s := newSwarm(t, 2, fmt.Sprintf(`apiVersion: swarmpurse/v1
revision: 1
tokens:
  bandwidth: {unit: byte}
budgets:
  - {name: line, token: bandwidth, supply: {rate: %d/s, burst: %d}}
  - {name: gone, token: bandwidth, supply: {grant: 1}}
rules:
  - {when: tenant == "late", draw: [gone], stop: true}
  - {draw: [line]}
`, rate, burst), func(set *settings) { set.Upstreams = []string{"openai=" + up.URL + "/v1"} })
	const body = `{"model":%q,"stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	want := streams["long"]
	get := func(p *proc, tenant, model string) (time.Duration, error) {
		begin := time.Now()
		resp, err := http.Post("http://"+p.set.HTTP+"/t/"+tenant+"/openai/v1/chat/completions", "application/json", strings.NewReader(fmt.Sprintf(body, model)))
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err == nil && string(got) != streams[model] {
			err = fmt.Errorf("status %d, %d bytes of %d", resp.StatusCode, len(got), len(streams[model]))
		}
		return time.Since(begin), err
	}
	type result struct {
		took time.Duration
		err  error
	}
	done := make(chan result, 2)
	begin := time.Now()
	for _, p := range s.nodes {
		go func() {
			took, err := get(p, "search", "long")
			done <- result{took, err}
		}()
	}
	for range s.nodes {
		if r := <-done; r.err != nil {
			t.Error(r.err)
		}
	}
	least := time.Duration(float64(2*len(want)-burst) / rate * float64(time.Second))
	took := time.Since(begin)
	t.Logf("%d bytes took %v, at least %v", 2*len(want), took, least)
	if took < least*9/10 {
		t.Errorf("%d bytes passed in %v, by the budget they take %v", 2*len(want), took, least)
	}
	eventually(t, func() error {
		in, _ := s.totals("line", "line")
		// The request is forwarded with stream_options added.
		if sent := int64(in.Swarm.Spent); sent < int64(2*len(want)) || sent > int64(2*(len(want)+len(body)+100)) || in.Swarm.Reserved != 0 {
			return fmt.Errorf("spent %d, reserved %d for 2 × %d bytes", in.Swarm.Spent, in.Swarm.Reserved, len(want))
		}
		return nil
	})

	// Nothing comes any more: the stream is held up, goes on, and what it moved is owed.
	took, err := get(s.nodes[0], "late", "short")
	if err != nil || took < time.Second {
		t.Errorf("without rights it took %v, %v", took, err)
	}
	if in, err := s.nodes[0].instanceOf("gone", "gone"); err != nil || in.Local.Debt < 1000 {
		t.Errorf("%+v, %v", in.Local, err)
	}
	a, err := s.nodes[0].Admit(t.Context(), api.AdmitRequest{Tenant: "late", Wait: "0s"})
	if err != nil || a.Admitted() {
		t.Errorf("a call of one who owes bytes: %+v, %v", a, err)
	}
}
