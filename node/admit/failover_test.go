package admit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/node/freeze"
)

const retriedPolicy = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 2s}]
data:
  "eu/*": {zones: [eu]}
upstreams:
  - {name: gpu, zones: [eu], price: {input: 3, output: 3}}
  - {name: spare, zones: [eu], price: {input: 5, output: 5}}
  - {name: cloud, zones: [us], price: {input: 1, output: 1}}
budgets:
  - {name: pool, token: compute, supply: {grant: 10M}}
rules:
  - {when: agent == "once", draw: [pool], route: price, stop: true}
  - {when: agent == "same", draw: [pool], route: price, retry: {attempts: 4, backoff: 200ms}, stop: true}
  - {when: agent == "gpu", draw: [pool], route: price, retry: {attempts: 5, backoff: 100ms, failover: [gpu]}, stop: true}
  - {draw: [pool], route: price, retry: {attempts: 4, backoff: 100ms, failover: ["*"]}}
`

// TestRetryPaths: where calls go whose upstream did not run them, one failure after the other.
func TestRetryPaths(t *testing.T) {
	all := []string{"gpu", "spare", "cloud"}
	no := Failed{Why: "unreachable"}
	later := func(d time.Duration) Failed { return Failed{Why: "429", RetryAfter: d} }
	for _, x := range []struct {
		name  string
		r     *Request
		reach []string
		fails []Failed
		want  string // where it goes, and for how long it waits before, but for the part that chance adds
	}{
		{"no retry", reads("once"), all, []Failed{no}, "cloud end"},
		{"the same, each time after twice as long", reads("same"), all, []Failed{no, no, no}, "cloud 200ms cloud 400ms cloud 800ms cloud"},
		{"all attempts", reads("same"), all, []Failed{no, no, no, no}, "cloud 200ms cloud 400ms cloud 800ms cloud end"},
		{"as long as the provider says", reads("same"), all, []Failed{later(time.Second)}, "cloud 1s cloud"},
		{"longer than the class waits", reads("same"), all, []Failed{later(3 * time.Second)}, "cloud end"},
		{"in vain", reads("same"), all, []Failed{{Why: "429", Final: true}}, "cloud end"},
		{"the next by price, then the first again", reads(""), all, []Failed{no, no, no}, "cloud gpu spare 100ms cloud"},
		{"that which may be tried first", reads(""), all, []Failed{later(time.Second), later(time.Hour), no}, "cloud gpu spare 100ms spare"},
		{"not to where money has run out", reads(""), all, []Failed{{Why: "429", Final: true}, no, no}, "cloud gpu spare 100ms gpu"},
		{"only where failover says", reads("gpu"), all, []Failed{no, no}, "cloud gpu 100ms cloud"},
		{"only what the node reaches", reads(""), []string{"cloud", "spare"}, []Failed{no, no}, "cloud spare 100ms cloud"},
		{"never out of its zone", reads("", "eu/docs"), all, []Failed{no, no, no}, "gpu spare 100ms gpu spare"},
		{"what only one upstream knows", reads(""), all, []Failed{{Why: "unreachable", Stay: true}, {Why: "429", Stay: true}}, "cloud 100ms cloud 200ms cloud"},
	} {
		t.Run(x.name, func(t *testing.T) {
			n := in(t, "eu", retriedPolicy)
			n.e.SetReach(x.reach)
			id := n.must(x.r.forward(), Admit, CodeOK)
			at := n.answer(id).Upstream.Name
			got := []string{at}
			for i, f := range x.fails {
				next, ok, err := n.e.Retry(n.w.now, id, f)
				if err != nil {
					t.Fatal(err)
				}
				d, _ := n.e.Lookup(id)
				if len(d.Tried) != i+1 || d.Tried[i].String() != at+" "+f.Why {
					t.Errorf("tried %v, want %s as the last", d.Tried, at)
				}
				if !ok {
					got = append(got, "end")
					break
				}
				if next.Failover != (next.Upstream.Name != at) || next.Upstream != d.Upstream {
					t.Errorf("%+v after %s, the decision says %v", next, at, d.Upstream)
				}
				if next.Wait > 0 {
					// What it waits is what is wanted and at most a quarter more; after two that failed at one time, all at once.
					for _, w := range []time.Duration{100, 200, 400, 800, 1000} {
						if w *= time.Millisecond; next.Wait >= w && next.Wait <= w+w/retryJitter {
							got = append(got, w.String())
						}
					}
				}
				at = next.Upstream.Name
				got = append(got, at)
				n.w.pass(next.Wait)
			}
			if path := strings.Join(got, " "); path != x.want {
				t.Errorf("went %s, want %s", path, x.want)
			}
			rc, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 7}})
			if err != nil || rc.Repeated || rc.Charged[0].Amount != 7 {
				t.Errorf("%+v, %v", rc, err)
			}
			if _, _, err := n.e.Retry(n.w.now, id, no); !errors.Is(err, ErrUnknownID) {
				t.Errorf("a call that has ended: %v", err)
			}
		})
	}
}

// TestRetryAfterARefusal: what the provider refused on the way is not how the call ended, and it is its last upstream that it cost.
func TestRetryAfterARefusal(t *testing.T) {
	n := in(t, "eu", retriedPolicy)
	n.e.SetReach([]string{"gpu", "cloud"})
	r := reads("", "x").forward()
	id := n.must(r, Admit, CodeOK)
	if _, err := n.e.Feedback(n.w.now, id, Upstream{Refused: true}); err != nil {
		t.Fatal(err)
	}
	if next, ok, err := n.e.Retry(n.w.now, id, Failed{Why: "429"}); err != nil || !ok || next.Upstream.Name != "gpu" || next.Wait != 0 {
		t.Fatalf("%+v %v %v", next, ok, err)
	}
	if _, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 1_000_000}, Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	d, err := n.e.Lookup(id)
	if err != nil || d.Outcome != "ok" || d.Upstream.Name != "gpu" || fmt.Sprint(d.Tried) != "[cloud 429]" {
		t.Errorf("%+v, %v", d, err)
	}
	if u := n.e.Upstreams(n.w.now); u[0].Cost != 3_000_000 || u[2].Cost != 0 || u[0].Chosen != 1 || u[2].Chosen != 1 {
		t.Errorf("%+v", u)
	}
	list, _, _ := n.e.Touched("x", 10, nil)
	if len(list) != 2 || list[0].Upstream != "gpu" || list[1].Upstream != "cloud" || list[0].ID != id || len(list[0].Data) != 1 {
		t.Errorf("the lineage has %+v", list)
	}
	// A call that ends with the refusal says so.
	id = n.must(r, Admit, CodeOK)
	for range 2 {
		if _, err := n.e.Feedback(n.w.now, id, Upstream{Refused: true}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.e.Retry(n.w.now, id, Failed{Why: "429", Final: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.e.Release(n.w.now, id); err != nil {
		t.Fatal(err)
	}
	if d, _ := n.e.Lookup(id); d.Outcome != OutcomeRefused || len(d.Tried) != 2 {
		t.Errorf("%+v", d)
	}
}

// TestRetryOfCallsThatAreNotRouted: there is one upstream, which the node names. What was frozen meanwhile is not sent again, nor does a node that shuts down.
func TestRetryOfCallsThatAreNotRouted(t *testing.T) {
	n := in(t, "", preamble+`
budgets: [{name: pool, token: compute, supply: {grant: 100k}}]
rules: [{draw: [pool], retry: {attempts: 3}}]
`)
	fail := func(id ID) (Next, bool) {
		t.Helper()
		next, ok, err := n.e.Retry(n.w.now, id, Failed{Upstream: "openai", Why: "unreachable"})
		if err != nil {
			t.Fatal(err)
		}
		return next, ok
	}
	r := reads("a").forward()
	r.Class = "batch"
	id := n.must(r, Admit, CodeOK)
	for i := range 3 {
		next, ok := fail(id)
		if ok != (i < 2) || next.Upstream != nil || ok && (next.Wait < 250<<i*time.Millisecond || next.Failover) {
			t.Errorf("%d: %+v %v", i, next, ok)
		}
		n.w.pass(next.Wait)
	}
	id = n.must(r, Admit, CodeOK)
	n.freeze(freeze.Key{Agent: "a"})
	if _, ok := fail(id); ok {
		t.Error("a call of a frozen agent is sent again")
	}
	n.e.SetFrozen(nil)
	id = n.must(r, Admit, CodeOK)
	n.e.Drain()
	if _, ok := fail(id); ok {
		t.Error("a node that shuts down sends a call again")
	}
}

// TestLawsOfRetries: whatever fails, a call is tried no more often and waits no longer than its policy says, goes to no upstream that would not have been allowed at once, and ends once.
func TestLawsOfRetries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := in(t, "eu", retriedPolicy)
		n.e.SetReach(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"gpu", "spare", "cloud"}), 1, 3, rapid.ID[string]).Draw(t, "reach"))
		bound := rapid.Bool().Draw(t, "bound")
		agent := rapid.SampledFrom([]string{"", "once", "same", "gpu"}).Draw(t, "agent")
		r := reads(agent)
		if bound {
			r.Data = []string{"eu/docs"}
		}
		id, _ := n.admit(r.forward())
		if !n.answer(id).Verdict.Admitted() {
			return
		}
		began := n.w.now
		first := n.answer(id).Upstream.Name
		most := map[string]int{"": 4, "once": 1, "same": 4, "gpu": 5}[agent]
		for i := 1; ; i++ {
			f := Failed{Why: "x", RetryAfter: time.Duration(rapid.IntRange(0, 900).Draw(t, "retry after")) * time.Millisecond,
				Final: rapid.IntRange(0, 3).Draw(t, "final") == 0, Stay: rapid.IntRange(0, 3).Draw(t, "stay") == 0}
			was := n.answer(id).Upstream.Name
			next, ok, err := n.e.Retry(n.w.now, id, f)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			to := next.Upstream.Name
			if i >= most || bound && to == "cloud" || f.Stay && to != was || f.Final && to == was || next.Failover != (to != was) ||
				agent == "same" && to != first || agent == "gpu" && to != first && to != "gpu" {
				t.Fatalf("try %d goes from %s to %+v after %+v", i+1, was, next, f)
			}
			n.w.pass(next.Wait)
		}
		if n.w.now-began > 2000 {
			t.Fatalf("the call waited %d ms", n.w.now-began)
		}
		if _, err := n.e.Release(n.w.now, id); err != nil {
			t.Fatal(err)
		}
		if _, active := n.e.Counts(); active != 0 {
			t.Fatal("a reservation is left")
		}
	})
}
