package admit

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const degrading = preamble + `
budgets:
  - {name: pool, token: compute, supply: {window: 24h, amount: 1000}}
  - {name: small, token: compute, supply: {window: 24h, amount: 100}}
rules:
  - name: large
    when: model == "large"
    draw: [pool]
    cost: {compute: 10 * (prompt_tokens + max_output_tokens)}
    degrade: {below: 40%, model: mini, max_output_tokens: 5}
  - {name: mini, when: model == "mini", draw: [small]}
  - {name: huge, when: model == "huge", draw: [pool], cost: {compute: 20 * (prompt_tokens + max_output_tokens)}, degrade: {max_output_tokens: 1}}
`

func model(name string, prompt, output int64) *Request {
	return &Request{Call: policy.Call{Tenant: "t", Model: name, PromptTokens: prompt, MaxOutputTokens: output}}
}

// TestDegradeWhenLow: once little is left of a budget, calls run cheaper: by the rules for what they become, at once, and so
// that callers know.
func TestDegradeWhenLow(t *testing.T) {
	n := one(t, degrading)
	id := n.must(model("large", 10, 20), Admit, CodeOK) // 300 of 1,000
	if a := n.answer(id); a.Advice != nil {
		t.Errorf("%+v", a)
	}
	n.w.pass(time.Second)
	n.must(model("large", 10, 30), Admit, CodeOK) // 700: less than 40 % is left
	n.w.pass(1100 * time.Millisecond)
	for range 2 { // decided by the owner, then at once
		id = n.must(model("large", 10, 20), Degrade, CodeOK)
		d, err := n.e.Lookup(id)
		if err != nil || len(d.Reserved) != 1 || d.Reserved[0].Budget != "small" || d.Reserved[0].Amount != 15 {
			t.Fatalf("%+v, %v", d, err)
		}
		if d.Advice == nil || *d.Advice != (Advice{Model: "mini", MaxOutputTokens: 5}) || d.Model != "large" || !strings.Contains(d.Reason, `model "mini" and at most 5 tokens`) {
			t.Errorf("%+v", d)
		}
		if rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 10, CompletionTokens: 2}}); rc.Charged[0].Amount != 12 {
			t.Errorf("%+v", rc)
		}
	}
	if _, ok := n.e.Try(n.w.now, model("large", 10, 20)); !ok {
		t.Error("the cheaper form is not decided at once")
	}
	as := model("large", 1, 1)
	as.AsIs = true
	if a := n.answer(n.must(as, Admit, CodeOK)); a.Reserved[0].Budget != "pool" {
		t.Errorf("%+v", a)
	}
	stated := model("large", 0, 0)
	stated.Tokens = []policy.Amount{{Token: "compute", Amount: 7}}
	if a := n.answer(n.must(stated, Admit, CodeOK)); a.Reserved[0].Budget != "pool" {
		t.Errorf("%+v", a)
	}
	if counts, _ := n.e.Counts(); counts[Degrade] != 3 || counts[Admit] != 4 {
		t.Errorf("%v", counts)
	}
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}

// TestDegradeInsteadOfRefusal: a call that would be refused runs cheaper if that can be had at once; until then it waits for
// what it is. What cannot be made cheap enough is refused as it was.
func TestDegradeInsteadOfRefusal(t *testing.T) {
	n := one(t, degrading)
	n.must(model("large", 50, 0), Admit, CodeOK) // 500
	id := n.must(model("huge", 10, 90), Degrade, CodeOK)
	if a := n.answer(id); a.Reserved[0].Amount != 220 || *a.Advice != (Advice{MaxOutputTokens: 1}) {
		t.Errorf("%+v", a)
	}
	n.must(model("huge", 15, 90), Defer, CodeExhausted) // 320 is too much as well
	as := model("huge", 10, 90)
	as.AsIs = true
	n.must(as, Deny, CodeTooLarge)
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}

// TestDegradeRespectsOthers: who would be refused does not go ahead of those that wait by running cheaper.
func TestDegradeRespectsOthers(t *testing.T) {
	n := one(t, preamble+`
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
rules:
  - {name: large, when: model == "large", draw: [pool], cost: {compute: 10 * (prompt_tokens + max_output_tokens)}, degrade: {max_output_tokens: 1}}
  - {name: others, when: model != "large", draw: [pool]}
`)
	n.must(model("other", 1000, 0), Admit, CodeOK)
	first := model("other", 180, 0)
	first.Wait = 2 * time.Second
	w := n.waits(first)
	n.w.pass(time.Second)
	late := model("large", 1, 90) // 910, or 20 cheaper: 100 are there
	late.Wait = 0
	n.must(late, Defer, CodeExhausted)
	n.w.pass(time.Second)
	if d := n.decided(); len(d) != 1 || d[0] != w || n.answer(w.ID).Verdict != Admit {
		t.Fatalf("%v", d)
	}
	if id := n.must(late, Defer, CodeExhausted); n.answer(id).Advice != nil {
		t.Error("a refusal gives advice")
	}
	n.w.pass(time.Second)
	n.must(late, Degrade, CodeOK)
	if got := n.account("pool").Rights(n.w.now); got < ledger.Tokens(90) {
		t.Errorf("%d left", got)
	}
}

func TestDegradeAllocatesNothing(t *testing.T) {
	n := one(t, degrading)
	n.must(model("large", 10, 60), Admit, CodeOK)
	n.w.pass(1100 * time.Millisecond)
	r := model("large", 0, 0)
	r.PromptTokens, r.MaxOutputTokens = 0, 1
	n.must(r, Degrade, CodeOK)
	n.w.pass(1100 * time.Millisecond)
	if _, ok := n.e.Try(n.w.now, r); !ok {
		t.Fatal("not decided at once")
	}
	if allocs := testing.AllocsPerRun(10, func() { n.e.Try(n.w.now, r) }); allocs >= 1 {
		t.Errorf("%v allocations", allocs)
	}
}
