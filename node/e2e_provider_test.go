//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// providerPolicy has a rate that is far above what the provider will give.
const providerPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, latency_budget: 200ms}
budgets:
  - name: pool
    token: compute
    supply: {rate: 40k/s, burst: 20k}
    feedback: {least: 10%, recover: 20s, retry_after: 2s}
rules:
  - draw: [pool]
`

// TestProviderLowersTheRate: real processes, the official client, and a provider whose limit falls to a fifth of the policy's
// rate. Calls at the provider fall at all nodes, most of those that reach it are served, and once the limit is gone the rate
// comes back.
func TestProviderLowersTheRate(t *testing.T) {
	t.Parallel()
	model, err := standin.New(standin.Options{FirstToken: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(model)
	defer up.Close()
	s := newSwarm(t, 3, providerPolicy, func(set *settings) { set.Upstreams = []string{"openai=" + up.URL + "/v1"} })

	var calls sync.WaitGroup
	var served, refusedHere, refusedThere, told atomic.Int64
	stop := make(chan struct{})
	defer calls.Wait()
	defer close(stop)
	for i, p := range s.nodes {
		client := openai.NewClient(option.WithBaseURL("http://"+p.set.HTTP+"/openai/v1/"), option.WithAPIKey("dummy"), option.WithMaxRetries(0),
			option.WithHeader(standin.HeaderTenant, p.set.Name), option.WithHeader(standin.HeaderOutput, "480"))
		for range 6 {
			calls.Add(1)
			go func() {
				defer calls.Done()
				for {
					select {
					case <-stop:
						return
					default:
					}
					_, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
						Model: "standin-1", MaxCompletionTokens: openai.Int(480), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Go on.")},
					})
					var e *openai.Error
					switch {
					case err == nil:
						served.Add(1)
						continue
					case !errors.As(err, &e):
						t.Errorf("n%d: %v", i+1, err)
						return
					case e.StatusCode != http.StatusTooManyRequests || e.Code != "rate_limit_exceeded" || e.Response.Header.Get("Retry-After-Ms") == "" || e.Response.Header.Get("Retry-After") == "":
						t.Errorf("n%d: the client got %d %s %q with %v", i+1, e.StatusCode, e.Code, e.Message, e.Response.Header)
						return
					case strings.HasPrefix(e.Message, "Rate limit reached"):
						refusedThere.Add(1)
					default:
						refusedHere.Add(1)
						if strings.Contains(e.Message, "the provider refuses calls, so the rate is at") {
							told.Add(1)
						}
					}
					time.Sleep(50 * time.Millisecond) // an impatient caller
				}
			}()
		}
	}
	// look counts calls per second at the provider, by node, and what became of them.
	type seen struct {
		byNode          [3]float64
		served, refused float64
		admitted        float64
	}
	look := func(over time.Duration) (x seen) {
		before, served0, refused0 := model.Stats(), served.Load(), refusedThere.Load()
		time.Sleep(over) // it is the rate that is looked at
		after := model.Stats()
		for i, p := range s.nodes {
			a, b := after.ByTenant[p.set.Name], before.ByTenant[p.set.Name]
			x.byNode[i] = float64(a.Calls-b.Calls) / over.Seconds()
			x.admitted += x.byNode[i]
		}
		x.served, x.refused = float64(served.Load()-served0)/over.Seconds(), float64(refusedThere.Load()-refused0)/over.Seconds()
		return x
	}
	parts := func(check func(part float64) bool) error {
		for _, p := range s.nodes {
			in, err := p.instanceOf("pool", "pool")
			if err != nil {
				return err
			}
			if in.Feedback == nil || !check(in.Feedback.Part) || (in.Feedback.Part < 1) != (in.Feedback.WholeAt != nil) {
				return fmt.Errorf("%s: %+v", p.set.Name, in.Feedback)
			}
		}
		return nil
	}
	eventually(t, func() error {
		if served.Load() < 100 {
			return fmt.Errorf("%d calls were served", served.Load())
		}
		return parts(func(part float64) bool { return part == 1 })
	})
	whole := look(3 * time.Second)
	model.SetLimit(8000, 8000) // 16 calls a second
	eventually(t, func() error { return parts(func(part float64) bool { return part < 0.5 }) })
	time.Sleep(2 * time.Second) // until calls under way have ended
	low := look(8 * time.Second)
	t.Logf("calls a second at the provider: %.0f with the whole rate, %.0f with a limit of 16 (%.1f served, %.1f refused)", whole.admitted, low.admitted, low.served, low.refused)
	for i := range low.byNode {
		if low.byNode[i] > whole.byNode[i]/2 {
			t.Errorf("n%d sent %.1f calls a second, %.1f before", i+1, low.byNode[i], whole.byNode[i])
		}
	}
	if low.served < 16*0.6 || low.served > 16*1.2 {
		t.Errorf("%.1f calls a second were served of 16 that the provider gives", low.served)
	}
	if low.refused > low.served/2 {
		t.Errorf("the provider refused %.1f calls a second and served %.1f", low.refused, low.served)
	}
	if told.Load() == 0 {
		t.Error("no caller was told why the rate is low")
	}
	fell, heard := 0.0, 0.0
	for _, p := range s.nodes {
		fell += p.metric(`swarmpurse_budget_lowered_total{budget="pool",by="here"}`)
		heard += p.metric(`swarmpurse_budget_lowered_total{budget="pool",by="peer"}`)
		if r := p.metric(`swarmpurse_budget_rate_ratio{budget="pool",token="compute"}`); r <= 0 || r >= 0.9 {
			t.Errorf("%s: the metric says that %v of the rate is in force", p.set.Name, r)
		}
		if text := p.log.String(); !strings.Contains(text, "the provider refuses calls: the rate is lowered in the whole swarm") {
			t.Errorf("%s does not say in its log that the rate was lowered", p.set.Name)
		}
	}
	if fell == 0 || heard == 0 {
		t.Errorf("the rate fell %v times where a refusal was seen, %v times where it was heard of", fell, heard)
	}
	model.SetLimit(0, 0)
	took := eventually(t, func() error { return parts(func(part float64) bool { return part == 1 }) })
	again := look(3 * time.Second)
	t.Logf("all of the rate is in force %v after the limit has gone: %.0f calls a second", took.Round(100*time.Millisecond), again.admitted)
	if again.admitted < whole.admitted*0.7 {
		t.Errorf("%.0f calls a second came back, %.0f were there before", again.admitted, whole.admitted)
	}
	for _, p := range s.nodes {
		if p.metric(`swarmpurse_conservation_error_tokens{budget="pool",token="compute"}`) != 0 {
			t.Errorf("%s: the books do not close", p.set.Name)
		}
	}
}
