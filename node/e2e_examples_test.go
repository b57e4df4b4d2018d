//go:build unix

package node_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/needs"
)

// exampleCall is a call through the proxy of a node that runs a policy which ships, and what is spent of each budget by it. The model
// server counts 1,000 tokens of prompt, 400 of them cached, and 200 of output, 50 of them thought.
type exampleCall struct {
	example, tenant, agent, model string
	run, data, priority           string // headers
	class                         string // that it runs in
	upstream                      string // that it goes to
	flags, experiment             string // that the answer's headers name
	runs                          string // a part of the body that the model server gets, without white space
	spent                         map[string]ledger.Tokens
	bytes                         []string // instances of which all of its bytes are spent
}

// TestExamplesThroughTheProxy: every policy that ships, in a real node, with a call through its proxy.
func TestExamplesThroughTheProxy(t *testing.T) {
	t.Parallel()
	const answer = `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"yes"}}],` +
		`"usage":{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"prompt_tokens_details":{"cached_tokens":400},"completion_tokens_details":{"reasoning_tokens":50}}}`
	got := make(chan string, 64)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/tokenize" { // it does not count
			http.NotFound(w, r)
			return
		}
		got <- string(body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer up.Close()
	prompt := strings.Repeat("word ", 800)
	seen := map[string]bool{}
	for _, c := range []exampleCall{
		// A tenant with the flag pays three times for output.
		{example: "flags", tenant: "search", model: "m", flags: "dear_output", spent: map[string]ledger.Tokens{"pool": 1600}},
		{example: "flags", tenant: "mail", model: "m", spent: map[string]ledger.Tokens{"pool": 1200}},
		{example: "shadow", tenant: "search", model: "m", spent: map[string]ledger.Tokens{"pool": 1600, "tenant-day/search": 1600}},
		// 2.5 * 1000 + 10 * 200 and 0.15 * 1000 + 0.6 * 200 micro-dollars.
		{example: "ab", agent: "agent-8", model: "gpt-4o", experiment: "small-model=control", spent: map[string]ledger.Tokens{"company-day": 4500}},
		{example: "ab", agent: "agent-1", model: "gpt-4o", experiment: "small-model=mini", runs: `"model":"gpt-4o-mini","temperature":0.3`, spent: map[string]ledger.Tokens{"company-day": 270}},
		// 1000 - 0.9 * 400 + 4 * 200 + 2 * 50, and a tenth of that without what was thought.
		{example: "compute", model: "large", spent: map[string]ledger.Tokens{"gpu-pool": 1540}},
		{example: "compute", model: "small", spent: map[string]ledger.Tokens{"gpu-pool": 144}},
		{example: "data", agent: "crawler", model: "m", data: "eu/docs, us/wiki", spent: map[string]ledger.Tokens{"eu-docs": 1, "agent-reads/crawler": 2}},
		{example: "bandwidth", tenant: "search", model: "m", spent: map[string]ledger.Tokens{"pool": 1200}, bytes: []string{"line", "tenant-line/search"}},
		{example: "priority", tenant: "search", model: "m", priority: "true", class: "urgent", spent: map[string]ledger.Tokens{"pool": 1200, "points/search": 5}},
		{example: "priority", tenant: "mail", model: "m", class: "standard", spent: map[string]ledger.Tokens{"pool": 1200}},
		{example: "provider-limits", model: "m", spent: map[string]ledger.Tokens{"requests-minute": 1, "input-minute": 600, "output-minute": 200, "calls-at-once": 0}},
		// 2.5 * 600 + 1.25 * 400 + 10 * 200 micro-dollars.
		{example: "money", tenant: "search", model: "gpt-4o", spent: map[string]ledger.Tokens{"company-month": 4000, "tenant-day/search": 4000}},
		{example: "agents", tenant: "search", agent: "crawler", run: "r1", model: "m", spent: map[string]ledger.Tokens{"pool": 1200, "agent-hour/search/crawler": 1200, "run-day/r1": 1200}},
		{example: "envoy", tenant: "search", model: "m", spent: map[string]ledger.Tokens{"gpu-pool": 1200, "tenant-day/search": 1200}},
		{example: "locality", model: "gpt-4o", data: "eu/docs", upstream: "eu-gpu", spent: map[string]ledger.Tokens{"pool": 1200, "gpu": 1200, "eu-reads": 1}},
	} {
		seen[c.example] = true
		t.Run(c.example+" "+c.model+" "+c.tenant, func(t *testing.T) {
			src, err := os.ReadFile("../policy/examples/" + c.example + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			s := newSwarm(t, 1, "timezone: "+needs.Zone()+"\n"+string(src), func(set *settings) {
				set.Zone, set.Upstreams = "eu-west", []string{"openai=" + up.URL + "/v1"}
				if c.example == "locality" {
					set.Upstreams = []string{"eu-gpu=" + up.URL + "/v1", "cloud=http://127.0.0.1:1/v1"}
				}
			})
			p := s.nodes[0]
			body, err := json.Marshal(map[string]any{"model": c.model, "max_tokens": 500, "messages": []map[string]string{{"role": "user", "content": prompt}}})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.set.HTTP+"/openai/v1/chat/completions", strings.NewReader(string(body)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for name, value := range map[string]string{llm.HeaderTenant: c.tenant, llm.HeaderAgent: c.agent, llm.HeaderRun: c.run, llm.HeaderData: c.data, llm.HeaderPriority: c.priority} {
				if value != "" {
					req.Header.Set(name, value)
				}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || string(got) != answer {
				t.Fatalf("status %d, %v: %s", resp.StatusCode, err, got)
			}
			if body := <-got; !strings.Contains(body, c.runs) {
				t.Errorf("the model server got %.200s, and not %s", body, c.runs)
			}
			if flags, experiment := resp.Header.Get(llm.HeaderFlags), resp.Header.Get(llm.HeaderExperiment); flags != c.flags || experiment != c.experiment {
				t.Errorf("flags %q, experiment %q; want %q, %q", flags, experiment, c.flags, c.experiment)
			}
			if got := resp.Header.Get(llm.HeaderUpstream); c.upstream != "" && got != c.upstream {
				t.Errorf("it went to %q", got)
			}
			spentOf := func(name string) (ledger.Tokens, error) {
				budget, _, _ := strings.Cut(name, "/")
				in, err := p.instanceOf(budget, name)
				if err == nil && in.Instance == "" {
					err = fmt.Errorf("no instance %s", name)
				}
				if in.Local.Reserved != 0 {
					err = fmt.Errorf("%d of %s are reserved still", in.Local.Reserved, name)
				}
				return in.Local.Spent, err
			}
			eventually(t, func() error { // it is settled when its last byte has passed
				for name, want := range c.spent {
					if got, err := spentOf(name); err != nil || got != want {
						return fmt.Errorf("%d of %s are spent, want %d: %v", got, name, want, err)
					}
				}
				for _, name := range c.bytes {
					if got, err := spentOf(name); err != nil || got < ledger.Tokens(len(body)+len(answer)) || got > ledger.Tokens(len(body)+len(answer)+4096) {
						return fmt.Errorf("%d bytes of %s are spent, %d have passed: %v", got, name, len(body)+len(answer), err)
					}
				}
				return nil
			})
			d, err := p.Decision(t.Context(), resp.Header.Get(llm.HeaderDecision))
			if err != nil || d.State != "settled" || c.class != "" && d.Class != c.class {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
	files, err := os.ReadDir("../policy/examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name, yaml := strings.CutSuffix(f.Name(), ".yaml"); yaml && !strings.HasSuffix(name, ".test") && !seen[name] {
			t.Errorf("no call shows %s", name)
		}
	}
}
