package admit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// example reads a policy that ships.
func example(t *testing.T, name string) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("../../policy/examples", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// binding is calls of one shape that end at one budget of an example.
type binding struct {
	example, budget string
	call            policy.Call
	usage           Usage // what each call really uses
	open            bool  // none of them ends
	runs            int   // so many are admitted at once
}

func bindings() []binding {
	project := map[string]string{"project": "atlas"}
	return []binding{
		// 200,000 tokens in calls of 20,000 of a tenant without the flag, and of 50,000 of one with it.
		{"flags", "pool", policy.Call{Tenant: "mail", PromptTokens: 10_000, MaxOutputTokens: 10_000}, Usage{PromptTokens: 10_000, CompletionTokens: 10_000}, false, 10},
		{"flags", "pool", policy.Call{Tenant: "search", PromptTokens: 20_000, MaxOutputTokens: 10_000}, Usage{PromptTokens: 20_000, CompletionTokens: 10_000}, false, 4},
		{"shadow", "pool", policy.Call{PromptTokens: 50_000}, Usage{PromptTokens: 50_000}, false, 4},
		{"shadow", "tenant-day", policy.Call{Tenant: "b", PromptTokens: 10_000, MaxOutputTokens: 5_000}, Usage{PromptTokens: 10_000, CompletionTokens: 5_000}, false, 4},
		// 500 dollars in calls of 100; those of the other arm take 6.
		{"ab", "company-day", policy.Call{Agent: "agent-8", Model: "gpt-4o", PromptTokens: 40_000_000}, Usage{PromptTokens: 40_000_000}, false, 5},
		{"ab", "company-day", policy.Call{Agent: "agent-1", Model: "gpt-4o", PromptTokens: 40_000_000}, Usage{PromptTokens: 40_000_000}, false, 83},
		// 100 requests, whatever their size.
		{"provider-limits", "requests-minute", policy.Call{PromptTokens: 10, MaxOutputTokens: 10}, Usage{PromptTokens: 10, CompletionTokens: 10}, false, 100},
		// 40,000 tokens of input in calls of 4,000.
		{"provider-limits", "input-minute", policy.Call{PromptTokens: 4000, MaxOutputTokens: 10}, Usage{PromptTokens: 4000, CompletionTokens: 10}, false, 10},
		// Three quarters of it were cached, so four times as many run: each must find room for all 4,000, and takes 1,000.
		{"provider-limits", "input-minute", policy.Call{PromptTokens: 4000, MaxOutputTokens: 10}, Usage{PromptTokens: 4000, CompletionTokens: 10, CachedTokens: 3000}, false, 37},
		{"provider-limits", "output-minute", policy.Call{PromptTokens: 10, MaxOutputTokens: 1600}, Usage{PromptTokens: 10, CompletionTokens: 1600}, false, 10},
		{"provider-limits", "calls-at-once", policy.Call{PromptTokens: 10, MaxOutputTokens: 10}, Usage{}, true, 20},

		// Half a million tokens of output are 5 dollars; two calls are a day's 10, and 5 % of overdraft are not enough for a third.
		{"money", "tenant-day", policy.Call{Tenant: "search", Model: "gpt-4o", MaxOutputTokens: 500_000}, Usage{CompletionTokens: 500_000}, false, 2},
		// A million of input: 2.50 dollars, 1.25 if it was cached. Room for the full price must be there.
		{"money", "tenant-day", policy.Call{Tenant: "search", Model: "gpt-4o", PromptTokens: 1_000_000}, Usage{PromptTokens: 1_000_000, CachedTokens: 1_000_000}, false, 7},
		// 500 dollars of 50 tenants are the company's month.
		{"money", "company-month", policy.Call{Tenant: "*", Model: "gpt-4o-mini", MaxOutputTokens: 10_000_000}, Usage{CompletionTokens: 10_000_000}, false, 83},

		// 200,000 tokens: 10,000 read, 5,000 written at 4 (20,000), and up to all of it thought at 2 (10,000): 40,000 are reserved.
		{"compute", "gpu-pool", policy.Call{Model: "large", PromptTokens: 10_000, MaxOutputTokens: 5000}, Usage{PromptTokens: 10_000, CompletionTokens: 5000, ReasoningTokens: 5000}, false, 5},
		// Nothing thought: 30,000 each, but the last one must find room for 40,000.
		{"compute", "gpu-pool", policy.Call{Model: "large", PromptTokens: 10_000, MaxOutputTokens: 5000}, Usage{PromptTokens: 10_000, CompletionTokens: 5000}, false, 6},
		// The small model is a tenth: 3,000 each.
		{"compute", "gpu-pool", policy.Call{Model: "small", PromptTokens: 10_000, MaxOutputTokens: 5000}, Usage{PromptTokens: 10_000, CompletionTokens: 5000}, false, 66},
		{"compute", "project", policy.Call{Model: "other", PromptTokens: 1_000_000, Attributes: project}, Usage{PromptTokens: 1_000_000}, false, 5},

		{"data", "agent-reads", policy.Call{Agent: "crawler", Data: []string{"us/wiki", "us/mail"}}, Usage{}, false, 100},
		{"data", "eu-docs", policy.Call{Data: []string{"eu/docs"}}, Usage{}, false, 5000},

		{"locality", "pool", policy.Call{Class: "batch", Model: "gpt-4o-mini", PromptTokens: 20_000}, Usage{PromptTokens: 20_000}, false, 10},
		// What must stay in Europe runs at the model there only, which takes 100,000 tokens.
		{"locality", "gpu", policy.Call{Class: "batch", Model: "llama", Data: []string{"eu/docs"}, PromptTokens: 20_000}, Usage{PromptTokens: 20_000}, false, 5},
		{"locality", "eu-reads", policy.Call{Class: "batch", Data: []string{"eu/docs", "eu/mail"}}, Usage{}, false, 250},

		// 200,000 tokens an hour, and 400,000 a day of which an agent may use half in its hour: another one takes the rest.
		{"agents", "agent-hour", policy.Call{Tenant: "search", Agent: "crawler", PromptTokens: 20_000}, Usage{PromptTokens: 20_000}, false, 10},
		{"agents", "run-day", policy.Call{Run: "r1", PromptTokens: 20_000}, Usage{PromptTokens: 20_000}, false, 20},
		{"agents", "pool", policy.Call{Tenant: "search", PromptTokens: 20_000}, Usage{PromptTokens: 20_000}, false, 25},

		{"envoy", "gpu-pool", policy.Call{Tenant: "*", Model: "m", PromptTokens: 200_000}, Usage{PromptTokens: 200_000}, false, 25},
		{"envoy", "tenant-day", policy.Call{Tenant: "search", Model: "m", PromptTokens: 200_000}, Usage{PromptTokens: 200_000}, false, 10},
		{"envoy", "tenant-requests", policy.Call{Tenant: "search"}, Usage{}, false, 500},

		{"bandwidth", "pool", policy.Call{Tenant: "search", PromptTokens: 10_000}, Usage{PromptTokens: 10_000}, false, 20},
		{"priority", "pool", policy.Call{Tenant: "search", PromptTokens: 10_000}, Usage{PromptTokens: 10_000}, false, 5},
	}
}

// TestExamplesBind: every budget of every policy that ships ends real calls when it says, and no other does.
func TestExamplesBind(t *testing.T) {
	bound := map[string]bool{}
	for _, c := range bindings() {
		bound[c.example+" "+c.budget] = true
		t.Run(c.example+" "+c.budget, func(t *testing.T) {
			n := in(t, "eu-west", example(t, c.example))
			call, ran := c.call, 0
			for {
				if c.call.Tenant == "*" { // another tenant each time
					call.Tenant = string(rune('a'+ran%26)) + string(rune('a'+ran/26))
				}
				id, w := n.admit(&Request{Call: call})
				if w != nil {
					t.Fatalf("the %d. call waits", ran+1)
				}
				a := n.answer(id)
				if !a.Verdict.Admitted() {
					if a.Short == nil || !strings.HasPrefix(a.Short.Instance.Name()+"/", c.budget+"/") || a.Code != CodeExhausted {
						t.Errorf("it ends by %s: %s", a.Code, a.Reason)
					}
					break
				}
				if ran++; ran > 2*c.runs {
					t.Fatal("nothing ends it")
				}
				if !c.open {
					u := c.usage
					n.settle(id, Settlement{Usage: &u})
				}
			}
			if ran != c.runs {
				t.Errorf("%d calls ran, want %d", ran, c.runs)
			}
		})
	}
	files, err := filepath.Glob("../../policy/examples/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, ".test.yaml") {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if strings.HasSuffix(name, ".test") {
			continue
		}
		p := parse(t, example(t, name))
		for _, w := range policy.Check(p) {
			t.Errorf("%s: %v", name, w)
		}
		for _, b := range p.Budgets() {
			if key := name + " " + b.Name; !bound[key] && b.Token != policy.PriorityToken && b.Unit != policy.ByteUnit { // see TestExamplePriority and TestPaceBinds
				t.Errorf("no call shows that %s binds", key)
			}
		}
	}
}

// TestExamplePriority: 50 points are ten calls from standard to urgent; the eleventh runs as it is.
func TestExamplePriority(t *testing.T) {
	n := one(t, example(t, "priority"))
	for i := range 12 {
		want := "urgent"
		if i >= 10 {
			want = "standard"
		}
		r := &Request{Call: policy.Call{Tenant: "search", Priority: true, PromptTokens: 1000}}
		if a := n.answer(n.must(r, Admit, CodeOK)); a.Class != want {
			t.Errorf("call %d runs as %s, want %s", i+1, a.Class, want)
		}
	}
	r := &Request{Call: policy.Call{Tenant: "mail", Class: "batch", Priority: true, PromptTokens: 1000}}
	if a := n.answer(n.must(r, Admit, CodeOK)); a.Class != "standard" {
		t.Errorf("from batch: %+v", a)
	}
}

// TestExampleAgents: who invents agents is stopped, and nobody else; what they had is forgotten after their lives.
func TestExampleAgents(t *testing.T) {
	n := one(t, example(t, "agents"))
	call := func(agent string) *Request {
		return &Request{Call: policy.Call{Tenant: "search", Agent: agent, PromptTokens: 1}}
	}
	for i := range 2000 {
		n.must(call(fmt.Sprint("a", i)), Admit, CodeOK)
	}
	n.must(call("one-more"), Deny, CodeInstances)
	n.must(call("a0"), Admit, CodeOK)
	n.must(&Request{Call: policy.Call{Tenant: "search", PromptTokens: 1}}, Admit, CodeOK)
	for range 14 { // two lives
		n.w.pass(10 * time.Second)
		n.w.now += ledger.Instant(time.Hour / time.Millisecond)
	}
	n.w.pass(2 * time.Minute)
	n.must(call("one-more"), Admit, CodeOK)
}

// TestExampleDataDecays: reads that nobody makes are gone, and the ledger says where.
func TestExampleDataDecays(t *testing.T) {
	n := one(t, example(t, "data"))
	n.must(&Request{Call: policy.Call{Data: []string{"eu/docs"}}}, Admit, CodeOK)
	n.w.pass(time.Hour)
	s := n.account("eu-docs").State(n.w.now)
	if l := s.Lapses(); l.Decayed < 2480 || l.Decayed > 2510 || l.Expired != 0 || l.Burned != 0 || l.Decayed != s.Lapsed {
		t.Errorf("%+v of 5000 reads after an hour", l)
	}
}

// TestProviderQuotaHolds: the recipe for a provider's quota: callers who want ten times as much never pass it in any 60 seconds.
func TestProviderQuotaHolds(t *testing.T) {
	const step = 500 * time.Millisecond
	w := newSwarm(t, 3, example(t, "provider-limits"), Config{})
	type used struct{ requests, input, output int64 }
	quota := used{500, 200_000, 80_000}
	var by []used // each step
	n := 0
	for w.now < begin+ledger.Instant(3*time.Minute/time.Millisecond) {
		var u used
		for i := range 30 {
			prompt, output := int64(200+i*40), int64(100+i*20)
			if n++; n%3 == 0 {
				prompt, output = 20, 10 // requests bind, too
			}
			node := w.nodes[n%len(w.nodes)]
			id, ok := node.e.Try(w.now, &Request{Call: policy.Call{PromptTokens: prompt, MaxOutputTokens: output}})
			if !ok {
				var wait *Waiter
				if id, wait = node.admit(&Request{Call: policy.Call{PromptTokens: prompt, MaxOutputTokens: output}}); wait != nil {
					continue // for its disk; it will be refused
				}
			}
			if node.answer(id).Verdict != Admit {
				continue
			}
			u.requests++
			u.input += prompt
			u.output += output / 2
			node.settle(id, Settlement{Usage: &Usage{PromptTokens: prompt, CompletionTokens: output / 2}})
		}
		by = append(by, u)
		w.pass(step)
	}
	var most used
	for from := range by {
		var sum used
		for _, u := range by[from:min(len(by), from+int(time.Minute/step))] {
			sum.requests += u.requests
			sum.input += u.input
			sum.output += u.output
		}
		most = used{max(most.requests, sum.requests), max(most.input, sum.input), max(most.output, sum.output)}
	}
	t.Logf("at most in 60 s: %+v of %+v", most, quota)
	if most.requests > quota.requests || most.input > quota.input || most.output > quota.output {
		t.Errorf("in some 60 s callers had %+v, the quota is %+v", most, quota)
	}
	if most.requests < quota.requests*8/10 && most.input < quota.input*8/10 && most.output < quota.output*8/10 {
		t.Errorf("callers who want ten times as much had at most %+v of %+v", most, quota)
	}
}
