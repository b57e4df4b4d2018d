//go:build unix

package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// abPolicy gives half of the agents a model that costs a fifth.
const abPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens: {money: {unit: cent}}
budgets: [{name: day, token: money, supply: {window: 24h, amount: 100M}}]
flags: {scored: {on: 100%}}
experiments:
  - {name: small-model, when: model == "large", by: agent, arms: [{name: control}, {name: mini, model: mini, max_output_tokens: 8, temperature: 0.5}]}
rules:
  - {when: model == "large", draw: [day], cost: {money: 5 * prompt_tokens + 5 * max_output_tokens}}
  - {when: model == "mini", draw: [day], cost: {money: prompt_tokens + max_output_tokens}}
`

// TestExperimentInASwarm: three nodes, the official client through their proxies, and a model server. Each agent's calls run as its arm says,
// whichever node it asks; callers score answers after their calls have ended; all nodes show the same comparison of the calls of all, with
// the verdicts that are right, also after one was started again.
func TestExperimentInASwarm(t *testing.T) {
	t.Parallel()
	m, err := standin.New(standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(m)
	defer up.Close()
	s := newSwarm(t, 3, abPolicy, func(set *settings) { set.Upstreams = []string{"openai=" + up.URL + "/v1"} })
	const agents, each = 60, 8
	var arms sync.Map // of agents
	var scored [2]atomic.Int64
	call := func(p *proc, agent string) error {
		client := openai.NewClient(option.WithBaseURL("http://"+p.set.HTTP+"/openai/v1/"), option.WithAPIKey("dummy"), option.WithMaxRetries(0),
			option.WithHeader(llm.HeaderAgent, agent), option.WithHeader(standin.HeaderOutput, "20"))
		var resp *http.Response
		got, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
			Model: "large", MaxCompletionTokens: openai.Int(20), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Go on.")},
		}, option.WithResponseInto(&resp))
		if err != nil {
			return err
		}
		arm := resp.Header.Get(llm.HeaderExperiment)
		if was, _ := arms.LoadOrStore(agent, arm); was != arm {
			return fmt.Errorf("agent %s was of %s, and is of %s at %s", agent, was, arm, p.set.Name)
		}
		model, output, score, i := "large", int64(20), 0.5, 0
		if arm == "small-model=mini" {
			model, output, score, i = "mini", 8, 0.9, 1
		} else if arm != "small-model=control" {
			return fmt.Errorf("experiment %q", arm)
		}
		if got.Model != model || got.Usage.CompletionTokens != output || resp.Header.Get(llm.HeaderFlags) != "scored" {
			return fmt.Errorf("%s ran with %s and put out %d, flags %q", arm, got.Model, got.Usage.CompletionTokens, resp.Header.Get(llm.HeaderFlags))
		}
		receipt, err := p.Score(t.Context(), resp.Header.Get(llm.HeaderDecision), score)
		if err != nil || receipt.Repeated || receipt.Score != score {
			return fmt.Errorf("%+v, %w", receipt, err)
		}
		scored[i].Add(1)
		return nil
	}
	var all sync.WaitGroup
	for w, p := range s.nodes {
		all.Go(func() {
			for i := range agents * each / len(s.nodes) {
				if err := call(p, fmt.Sprint("agent-", (i*7+w)%agents)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	same := func() {
		t.Helper()
		eventually(t, func() error {
			first := ""
			for _, p := range s.nodes {
				h, err := p.PolicyHistory(t.Context())
				if err != nil {
					return err
				}
				if len(h.Revisions) != 1 || len(h.Revisions[0].Experiments) != 1 {
					return fmt.Errorf("%s: %+v", p.set.Name, h)
				}
				e := h.Revisions[0].Experiments[0]
				for i, a := range e.Arms {
					if n := scored[i].Load(); a.Calls != n || a.Settled != n || a.Scores != n {
						return fmt.Errorf("%s has %d calls of %s, %d settled, %d scored, want %d", p.set.Name, a.Calls, a.Name, a.Settled, a.Scores, n)
					}
				}
				e.Nodes = 0 // runs; one of a node that was started again has counted nothing yet
				src, _ := json.Marshal(e)
				if first == "" {
					first = string(src)
				}
				if string(src) != first {
					return fmt.Errorf("%s compares %s, another %s", p.set.Name, src, first)
				}
			}
			return nil
		})
	}
	same()
	h, err := s.nodes[2].PolicyHistory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := h.Revisions[0].Experiments[0]
	verdicts := map[string]string{}
	for _, c := range e.Arms[1].Compared {
		verdicts[c.Measure] = c.Verdict
		if c.Low == nil || *c.Low > c.Difference || *c.High < c.Difference {
			t.Errorf("%+v", c)
		}
	}
	if verdicts["score"] != "better" || verdicts["cost"] != "better" || verdicts["refused"] != "no difference seen yet" || e.Nodes != 3 || e.Confidence != 0.95 {
		t.Errorf("%v: %+v", verdicts, e)
	}
	if d := e.Arms[1].Compared[0].Difference; d < 0.399 || d > 0.401 {
		t.Errorf("scores differ by %v", d)
	}
	// What was counted outlives the process that counted it.
	s.nodes[1].terminate()
	s.nodes[1].restart()
	same()
	// explain tells of a call, and the audit log of it when the node has forgotten it.
	list, err := s.nodes[1].AuditRecords(t.Context(), api.AuditQuery{Kind: "decision", Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	d, err := s.nodes[1].Decision(t.Context(), list[0].ID)
	if err != nil || d.Advice == nil || d.Advice.Experiment != "small-model" || d.Advice.Arm == "" || len(d.Advice.Flags) != 1 {
		t.Errorf("%+v, %v", d.Advice, err)
	}
}
