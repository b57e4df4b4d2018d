package admit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// classes and tokens that all documents here share.
const preamble = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  data: {unit: read}
  concurrency: {unit: slot}
classes:
  - {name: critical, weight: 16, latency_budget: 300ms}
  - {name: standard, weight: 4, latency_budget: 2s, default: true}
  - {name: batch, weight: 1, latency_budget: 5m}
`

const oneOfEach = preamble + `
budgets:
  - {name: pot, token: compute, supply: {grant: 1000}}
  - {name: day, token: compute, supply: {window: 24h, amount: 1000}}
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
  - {name: soft, token: compute, supply: {window: 24h, amount: 1000}, ceiling: {soft: 10%}}
  - {name: seen, token: compute, supply: {window: 24h, amount: 1000}, ceiling: observe}
  - {name: calls, token: concurrency, supply: {slots: 3}}
  - {name: tenant-day, token: compute, per: [tenant], supply: {window: 24h, amount: 500}}
rules:
  - {when: 'model == "free"', stop: true}
  - {when: 'model in ["pot", "all"]', draw: [pot]}
  - {when: 'model in ["day", "all"]', draw: [day]}
  - {when: 'model in ["pool", "all"]', draw: [pool]}
  - {when: 'model == "soft"', draw: [soft]}
  - {when: 'model == "seen"', draw: [seen]}
  - {when: 'model in ["calls", "both"]', draw: [calls]}
  - {when: 'model == "both"', draw: [day]}
  - {when: 'model in ["tenant", "all"]', draw: [tenant-day]}
  - {when: 'model == "odd"', draw: [day], cost: {compute: 100 - prompt_tokens}}
default: deny
`

func on(model string, tokens int64) *Request {
	r := call("search", tokens)
	r.Model = model
	return r
}

func one(t *testing.T, doc string) *node {
	t.Helper()
	return newSwarm(t, 1, doc, Config{}).nodes[0]
}

func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		name    string
		r       *Request
		verdict Verdict
		code    string
		reason  string
		retry   time.Duration // at least; 0 for none
	}{
		{"rights at hand", on("day", 600), Admit, CodeOK, "rights", 0},
		{"several budgets", on("all", 400), Admit, CodeOK, "rights", 0},
		{"nothing drawn", on("free", 1e9), Admit, CodeOK, "not counted", 0},
		{"no rule", on("unknown", 1), Deny, CodeNoRule, "no rule", 0},
		{"zero tokens", on("day", 0), Admit, CodeOK, "rights", 0},
		{"all of it", on("day", 1000), Admit, CodeOK, "rights", 0},
		{"never", on("day", 1001), Deny, CodeTooLarge, `budget "day": asked for 1001 compute tokens, it never holds more than 1000`, 0},
		{"never on a rate", on("pool", 1001), Deny, CodeTooLarge, "never holds more than 1000", 0},
		{"never in one of several", on("all", 501), Deny, CodeTooLarge, `budget "tenant-day/search": asked for 501`, 0},
		{"into the overdraft", on("soft", 1100), Admit, CodeOK, "", 0},
		{"beyond the overdraft", on("soft", 1101), Deny, CodeTooLarge, "", 0},
		{"observed only", on("seen", 1e6), Admit, CodeOK, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := one(t, oneOfEach)
			id := n.must(c.r.wait(0), c.verdict, c.code)
			a := n.answer(id)
			if !strings.Contains(a.Reason, c.reason) || a.RetryAfter < c.retry || (a.RetryAfter > 0) != (a.Verdict == Defer) {
				t.Errorf("%+v", a)
			}
			if a.Node != "n1" || a.Revision != 1 || a.Class != "standard" {
				t.Errorf("%+v", a)
			}
			// The second time the plan is known.
			n2 := one(t, oneOfEach)
			n2.admit(on(c.r.Model, 0).wait(0))
			n2.must(c.r, c.verdict, c.code)
		})
	}
}

func TestExhausted(t *testing.T) {
	for _, c := range []struct {
		model    string
		verdict  Verdict
		code     string
		min, max time.Duration
		reason   string
	}{
		{"pot", Deny, CodeExhausted, 0, 0, `budget "pot": asked for 300 compute tokens, 200 left`},
		{"day", Defer, CodeExhausted, time.Hour + 46*time.Minute, time.Hour + 47*time.Minute, "200 left until the window ends"},
		{"pool", Defer, CodeExhausted, time.Second, 1250 * time.Millisecond, "200 left"},
	} {
		t.Run(c.model, func(t *testing.T) {
			n := one(t, oneOfEach)
			id := n.must(on(c.model, 800), Admit, CodeOK)
			if c.model != "pool" { // a rate has nothing that could come back
				a := n.answer(n.must(on(c.model, 300).wait(0), Defer, CodeExhausted))
				if !strings.Contains(a.Reason, "200 left and 800 reserved by calls that run now") || a.RetryAfter < 2*time.Second || a.RetryAfter > 2500*time.Millisecond {
					t.Errorf("while the first runs: %+v", a)
				}
			}
			if _, err := n.e.Settle(n.w.now, id, Settlement{}); err != nil {
				t.Fatal(err)
			}
			a := n.answer(n.must(on(c.model, 300).wait(0), c.verdict, c.code))
			if !strings.Contains(a.Reason, c.reason) || a.RetryAfter < c.min || a.RetryAfter > c.max {
				t.Errorf("%+v", a)
			}
			// Honest: after the wait there is room.
			if c.verdict == Defer {
				n.w.now += ledger.Instant(a.RetryAfter.Milliseconds())
				n.w.tick()
				n.must(on(c.model, 300).wait(0), Admit, CodeOK)
			}
		})
	}
}

func TestHopelessIsRefusedAtOnce(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("pool", 1000), Admit, CodeOK)
	// 100 tokens a second: 300 take 3 s, and the class waits for 2 s at most.
	n.must(on("pool", 300).wait(UseClassDefault), Defer, CodeExhausted)
	n.must(on("pool", 300).wait(time.Hour), Defer, CodeExhausted)
	w := n.waits(on("pool", 150).wait(UseClassDefault))
	// 150 for those ahead and 60 more would be there after 2.1 s.
	a := n.answer(n.must(on("pool", 60).wait(UseClassDefault), Defer, CodeExhausted))
	if a.RetryAfter < 2100*time.Millisecond || !strings.Contains(a.Reason, "150 wanted by calls that wait already") && !strings.Contains(a.Reason, "0 left") {
		t.Errorf("%+v", a)
	}
	w2 := n.waits(on("pool", 40).wait(UseClassDefault))
	n.w.pass(1550 * time.Millisecond) // accrual is rounded down: 1.5 s is a moment too early
	if d := n.decided(); len(d) != 1 || d[0] != w {
		t.Fatalf("%v", d)
	}
	if a := n.answer(w.ID); a.Waited != 1550*time.Millisecond || a.Reason != "rights came after 1.55s" {
		t.Errorf("%+v", a)
	}
	n.w.pass(400 * time.Millisecond)
	if d := n.decided(); len(d) != 1 || d[0] != w2 {
		t.Fatalf("%v", d)
	}
}

// What is left is spoken for when calls wait ahead.
func TestHopelessBehindOthers(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("pool", 950), Admit, CodeOK)
	n.waits(on("pool", 150).wait(UseClassDefault))
	// 50 are left, 140 more take 1.4 s.
	a := n.answer(n.must(on("pool", 40).wait(1200*time.Millisecond), Defer, CodeExhausted))
	if !strings.Contains(a.Reason, "50 left and 150 wanted by calls that wait already") || a.RetryAfter < 1400*time.Millisecond || a.RetryAfter > 1800*time.Millisecond {
		t.Errorf("%+v", a)
	}
	n.waits(on("pool", 40).wait(1500 * time.Millisecond))
}

func TestWait(t *testing.T) {
	for _, c := range []struct {
		wait, until time.Duration
		class       string
	}{
		{0, 0, "standard"},
		{500 * time.Millisecond, 500 * time.Millisecond, "standard"},
		{UseClassDefault, 2 * time.Second, "standard"},
		{time.Hour, 2 * time.Second, ""},
		{UseClassDefault, 300 * time.Millisecond, "critical"},
	} {
		t.Run(fmt.Sprint(c.wait, c.class), func(t *testing.T) {
			n := one(t, oneOfEach)
			n.must(on("calls", 1), Admit, CodeOK)
			n.must(on("calls", 1), Admit, CodeOK)
			n.must(on("calls", 1), Admit, CodeOK)
			r := on("calls", 1).of(c.class).wait(c.wait)
			if c.until == 0 {
				n.must(r, Defer, CodeExhausted)
				return
			}
			w := n.waits(r)
			n.w.pass(c.until - 50*time.Millisecond)
			if d := n.decided(); len(d) > 0 {
				t.Fatal("decided too early")
			}
			n.w.pass(50 * time.Millisecond)
			if d := n.decided(); len(d) != 1 || d[0] != w {
				t.Fatal("not decided at its deadline")
			}
			if a := n.answer(w.ID); a.Verdict != Defer || a.Code != CodeExhausted || a.Waited != c.until || !strings.Contains(a.Reason, "0 left of 3") {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestRefundsAdmitWaitingCalls(t *testing.T) {
	n := one(t, oneOfEach)
	id := n.must(on("day", 900), Admit, CodeOK)
	w := n.waits(on("day", 200).wait(UseClassDefault))
	if _, err := n.e.Settle(n.w.now, id, forTokens(750)); err != nil {
		t.Fatal(err)
	}
	n.w.sync()
	if w.ID == 0 || n.answer(w.ID).Verdict != Admit {
		t.Fatal("the refund admits nobody")
	}
}

// A refusal by one budget costs nothing at the others.
func TestAllOrNothing(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("all", 500), Admit, CodeOK)
	before := n.account("pot").Rights(n.w.now)
	n.must(on("all", 1).wait(0), Defer, CodeExhausted)
	if got := n.account("pot").Rights(n.w.now); got != before || got != 500 {
		t.Errorf("pot has %d, had %d", got, before)
	}
}

func TestRefusedRequests(t *testing.T) {
	n := one(t, oneOfEach)
	bad := func(f func(*Request)) *Request { r := on("day", 1); f(r); return r }
	for _, c := range []struct {
		name string
		r    *Request
		want string
	}{
		{"negative ttl", bad(func(r *Request) { r.TTL = -1 }), "ttl"},
		{"ttl too long", bad(func(r *Request) { r.TTL = MaxTTL + 1 }), "ttl"},
		{"key too long", bad(func(r *Request) { r.IdempotencyKey = strings.Repeat("k", MaxKeyLen+1) }), "idempotency_key"},
		{"negative tokens", bad(func(r *Request) { r.PromptTokens = -1 }), "prompt_tokens"},
		{"overflow", bad(func(r *Request) { r.MaxOutputTokens = 1 << 60 }), "max_output_tokens"},
		{"unknown class", bad(func(r *Request) { r.Class = "bulk" }), "bulk"},
		{"unknown token type", bad(func(r *Request) { r.Tokens = []policy.Amount{{Token: "comput", Amount: 1}} }), "comput"},
		{"negative amount", bad(func(r *Request) { r.Tokens = []policy.Amount{{Token: "compute", Amount: -5}} }), "compute"},
		{"no tenant for a budget per tenant", bad(func(r *Request) { r.Model, r.Tenant = "tenant", "" }), "tenant"},
		{"negative cost", on("odd", 101), "negative"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // the second time plans are known
				if id, ok := n.e.Try(n.w.now, c.r); ok {
					t.Fatalf("Try admits: %+v", n.answer(id))
				}
				if _, _, err := n.offer(c.r); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want something about %q", err, c.want)
				}
				n.w.sync()
				n.admit(on(c.r.Model, 1))
			}
		})
	}
	if c, active := n.e.Counts(); c[Deny]+c[Defer] != 0 {
		t.Errorf("an error was counted as a decision: %v, %d", c, active)
	}
}

// A call that no rule matches is refused, also once its plan is known.
func TestTryKeepsToTheDefault(t *testing.T) {
	n := one(t, oneOfEach)
	for range 3 {
		if _, ok := n.e.Try(n.w.now, on("unknown", 1)); ok {
			t.Fatal("admitted")
		}
		n.must(on("unknown", 1), Deny, CodeNoRule)
	}
}

func TestTryNeedsNoOwner(t *testing.T) {
	n := one(t, oneOfEach)
	r := on("all", 10)
	if _, ok := n.e.Try(n.w.now, r); ok {
		t.Fatal("Try knows a plan that nobody made")
	}
	n.admit(r)
	n.w.pass(time.Second)
	if _, ok := n.e.Try(n.w.now, r); !ok {
		t.Fatal("Try does not admit though all is at hand")
	}
	// Calls with other amounts share the plan.
	if _, ok := n.e.Try(n.w.now, on("all", 3)); !ok {
		t.Fatal("a plan is made for one amount only")
	}
}

func TestNotReady(t *testing.T) {
	w := newSwarm(t, 1, oneOfEach, Config{})
	n := w.nodes[0]
	n.r = ledger.NewReplica(ledger.Config{
		Self: n.self, Strategy: nopStrategy{}, Rand: n.e.cfg.Rand,
		Resolve: func(ledger.InstanceID) (ledger.Spec, bool) { return ledger.Spec{}, false },
	})
	if _, _, err := n.offer(on("day", 1)); !errors.Is(err, ErrNotReady) || !errors.Is(err, ledger.ErrNoCharter) {
		t.Errorf("got %v", err)
	}
}

func TestDrain(t *testing.T) {
	n := one(t, oneOfEach)
	for range 3 {
		n.must(on("calls", 1), Admit, CodeOK)
	}
	w := n.waits(on("calls", 1).wait(UseClassDefault))
	n.e.Drain()
	a := n.answer(n.must(on("day", 1), Defer, CodeDraining))
	if a.RetryAfter < time.Second {
		t.Errorf("%+v", a)
	}
	n.w.pass(2 * time.Second)
	if w.ID == 0 {
		t.Error("a call that waited is forgotten")
	}
}

func TestPolicyChange(t *testing.T) {
	n := one(t, oneOfEach)
	id := n.must(on("day", 900), Admit, CodeOK)
	w := n.waits(on("day", 200).wait(UseClassDefault))
	n.w.policy = parse(t, strings.NewReplacer("revision: 1", "revision: 2", `"all"]', draw: [day]}`,
		`"all"]', draw: [day], cost: {compute: 2 * prompt_tokens}}`).Replace(oneOfEach))
	n.r.Respec(n.w.now)
	n.e.SetPolicy(n.w.policy)
	// The reservation is settled by the plan that made it.
	rc, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 700}})
	if err != nil || rc.Charged[0].Amount != 700 {
		t.Fatalf("%+v, %v", rc, err)
	}
	n.w.sync()
	// The waiting call keeps its plan.
	if a := n.answer(w.ID); a.Verdict != Admit || a.Revision != 1 || a.Reserved[0].Amount != 200 {
		t.Errorf("%+v", a)
	}
	// The next pays by the new one, from the same account.
	if a := n.answer(n.must(on("day", 10), Admit, CodeOK)); a.Revision != 2 || a.Reserved[0].Amount != 20 {
		t.Errorf("%+v", a)
	}
	if got := n.account("day").Rights(n.w.now); got != 1000-700-200-20 {
		t.Errorf("%d left", got)
	}
}

type nopStrategy struct{}

func (nopStrategy) Donors(*ledger.View, ledger.Tokens, int) ([]int, ledger.Tokens) { return nil, 0 }
func (nopStrategy) Give(*ledger.View, *ledger.Ask) ledger.Tokens                   { return 0 }
func (nopStrategy) Hold(*ledger.View, *ledger.Ask) bool                            { return false }
func (nopStrategy) Return(*ledger.View) (int, ledger.Tokens)                       { return -1, 0 }
func (nopStrategy) Along(*ledger.View, int, *ledger.Ask) ledger.Shares             { return 0 }
func (nopStrategy) Ahead(*ledger.View) ledger.Tokens                               { return 0 }
func (nopStrategy) Accept(*ledger.View, ledger.Tokens) bool                        { return false }
func (nopStrategy) Surplus(*ledger.View) ledger.Tokens                             { return 0 }
func (nopStrategy) Drifts(*ledger.View, ledger.Others) bool                        { return false }
func (nopStrategy) Drift(*ledger.View) (int, ledger.Shares)                        { return -1, 0 }
func (nopStrategy) Gather(*ledger.View) (int, ledger.Shares)                       { return -1, 0 }
func (nopStrategy) Weight(*ledger.View, *ledger.Row, *ledger.Row, ledger.Millis) float64 {
	return 0
}
