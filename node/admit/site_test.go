package admit

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const pooled = preamble + `
upstreams:
  - {name: gpu, models: [big, small], draw: [gpu-pool, slots]}
  - {name: cloud, models: [big], draw: [cloud-pool], cost: {compute: 2 * (prompt_tokens + max_output_tokens)}}
  - {name: open, models: [small]}
  - {name: away, models: [big], zones: [us], draw: [us-pool]}
  - {name: mine, models: [mine], draw: [per-tenant]}
budgets:
  - {name: all, token: compute, supply: {grant: 100000}}
  - {name: gpu-pool, token: compute, supply: {grant: 1000}}
  - {name: cloud-pool, token: compute, supply: {grant: 2000}}
  - {name: us-pool, token: compute, supply: {grant: 1000}, locality: {zones: [us]}}
  - {name: slots, token: concurrency, supply: {slots: 3}}
  - {name: per-tenant, token: compute, per: [tenant], supply: {grant: 500}}
rules:
  - {when: agent == "cheaper", draw: [all], degrade: {below: 100%, model: small}, retry: {attempts: 5, failover: ["*"]}, stop: true}
  - {draw: [all], retry: {attempts: 5, backoff: 10ms, failover: ["*"]}}
`

func big(tokens int64) *Request {
	return &Request{Call: policy.Call{Tenant: "t", Model: "big", PromptTokens: tokens}, Forward: true}
}

func poolsOf(t fataler) *node {
	n := in(t, "eu", pooled)
	n.e.SetReach([]string{"gpu", "cloud", "open", "away", "mine"})
	return n
}

// where is what a call went to, and what it holds.
func (n *node) where(id ID) string {
	d, err := n.e.Lookup(id)
	if err != nil {
		n.w.t.Fatalf("%v", err)
	}
	s := d.Verdict.String()
	if d.Answer.Upstream != nil {
		s = d.Answer.Upstream.Name
	}
	for _, c := range d.Reserved {
		s += fmt.Sprintf(" %s=%d", c.Budget, c.Amount)
	}
	return s
}

// TestPoolsOfUpstreams: a call draws on the budgets of the upstream that it goes to, and goes on to the next where those have no room.
func TestPoolsOfUpstreams(t *testing.T) {
	n := poolsOf(t)
	for i, tt := range []struct {
		r    *Request
		want string
	}{
		{big(600), "gpu all=600 gpu-pool=600 slots=1"},
		{big(600), "cloud all=600 cloud-pool=1200"},
		{big(300), "gpu all=300 gpu-pool=300 slots=1"},
		{big(400), "cloud all=400 cloud-pool=800"},
		{big(50), "gpu all=50 gpu-pool=50 slots=1"},
		{&Request{Call: policy.Call{Model: "small", PromptTokens: 50}, Forward: true}, "open all=50"},
		{&Request{Call: policy.Call{Model: "mine", Tenant: "t", PromptTokens: 50}, Forward: true}, "mine all=50 per-tenant=50"},
		{&Request{Call: policy.Call{Agent: "cheaper", Model: "big", PromptTokens: 50}, Forward: true}, "open all=50"},
	} {
		id, w := n.admit(tt.r)
		if w != nil {
			n.w.pass(3 * time.Second)
			id = w.ID
		}
		if got := n.where(id); got != tt.want {
			t.Errorf("call %d: %s, want %s: %s", i, got, tt.want, n.answer(id).Reason)
		}
	}
}

// TestPoolsAreMovedAlong: what a call holds follows it from upstream to upstream, and it is settled once, where it ran.
func TestPoolsAreMovedAlong(t *testing.T) {
	n := poolsOf(t)
	spent := func(budget string) (s [2]ledger.Tokens) {
		st := n.account(budget).State(n.w.now)
		return [2]ledger.Tokens{st.Reserved, st.Spent}
	}
	id := n.must(big(300), Admit, CodeOK)
	f := Failed{Why: "unreachable", Prompt: 300}
	retry := func(id ID, f Failed) (next Next, ok bool, err error) {
		for range 10 {
			if next, ok, err = n.e.Retry(n.w.now, id, f); err != ErrLater {
				break
			}
			n.w.pass(20 * time.Millisecond) // the disk
		}
		return next, ok, err
	}
	for i, want := range []string{"cloud all=300 cloud-pool=600", "gpu all=300 gpu-pool=300 slots=1", "cloud all=300 cloud-pool=600"} {
		if next, ok, err := retry(id, f); !ok || err != nil || !next.Failover {
			t.Fatalf("try %d: %+v %v %v", i, next, ok, err)
		}
		if got := n.where(id); got != want {
			t.Errorf("try %d: %s, want %s", i, got, want)
		}
		n.w.pass(50 * time.Millisecond)
	}
	if g, c, s := spent("gpu-pool"), spent("cloud-pool"), spent("slots"); g != [2]ledger.Tokens{} || c[0] != 600 || s[0] != 0 {
		t.Errorf("held %v at gpu, %v at cloud, %v slots", g, c, s)
	}
	if _, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 200, CompletionTokens: 10}, Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	if g, c, a := spent("gpu-pool"), spent("cloud-pool"), spent("all"); g != [2]ledger.Tokens{} || c != [2]ledger.Tokens{0, 420} || a != [2]ledger.Tokens{0, 210} {
		t.Errorf("charged %v at gpu, %v at cloud, %v in all", g, c, a)
	}

	// Where the other upstream has no room, the call is not sent there.
	full := n.must(big(700), Admit, CodeOK)
	f.Prompt = 800
	if next, ok, err := retry(full, f); err != nil || ok && next.Failover {
		t.Errorf("without room: %+v %v %v", next, ok, err)
	}
	if got := n.where(full); got != "gpu all=700 gpu-pool=700 slots=1" {
		t.Errorf("without room it holds %s", got)
	}
}

// TestNotedWhereItWasAdmitted: a call that goes on to other upstreams before its decision's note was taken is noted as it was admitted, and its end where it ran.
func TestNotedWhereItWasAdmitted(t *testing.T) {
	for say, early := range map[string]bool{"taken before": true, "taken after": false} {
		t.Run(say, func(t *testing.T) {
			n := poolsOf(t)
			warm := n.must(big(300), Admit, CodeOK) // afterwards what cloud draws on has its first tokens on the disk
			for range 10 {
				if _, _, err := n.e.Retry(n.w.now, warm, Failed{Why: "unreachable", Prompt: 300}); err != ErrLater {
					break
				}
				n.w.pass(20 * time.Millisecond)
			}
			if _, err := n.e.Release(n.w.now, warm); err != nil {
				t.Fatal(err)
			}
			n.e.SetAuditing(Auditing{1_000_000, 1_000_000})
			id := n.must(big(300), Admit, CodeOK)
			var list []Noted
			take := func() {
				more, lost := taken(n.e)
				if list = append(list, more...); lost != 0 {
					t.Errorf("%d are lost", lost)
				}
			}
			if early {
				take()
			}
			for range 2 {
				if next, ok, err := n.e.Retry(n.w.now, id, Failed{Why: "unreachable", Prompt: 300, Now: true}); !ok || err != nil || !next.Failover {
					t.Fatalf("%+v %v %v", next, ok, err)
				}
				n.w.pass(50 * time.Millisecond)
			}
			if next, ok, err := n.e.Retry(n.w.now, id, Failed{Why: "429", Prompt: 300, Now: true}); !ok || err != nil || next.Upstream.Name != "cloud" {
				t.Fatalf("%+v %v %v", next, ok, err)
			}
			if _, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 200, CompletionTokens: 10}, Outcome: "ok"}); err != nil {
				t.Fatal(err)
			}
			take()
			if len(list) != 2 || list[0].End || !list[1].End {
				t.Fatalf("%+v", list)
			}
			for i, want := range []string{"gpu all=300 left 99700, gpu-pool=300 left 700, slots=1 left 2, tried []", "cloud all=210 left -1, cloud-pool=420 left -1, tried [gpu unreachable cloud unreachable gpu 429]"} {
				got := list[i].Upstream
				for _, d := range list[i].Draws {
					got += fmt.Sprintf(" %s=%d left %d,", d.Instance.Name(), d.Amount, d.Left)
				}
				if got += fmt.Sprintf(" tried %v", list[i].Tried); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
}

// TestPoolLaws: whatever happens to calls, pools hold what open calls hold there, and are charged once for those that ended, where they ran.
func TestPoolLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := poolsOf(t)
		type call struct {
			id     ID
			prompt int64
		}
		var open []call
		budgets := []string{"all", "gpu-pool", "cloud-pool", "slots"}
		spent := map[string]ledger.Tokens{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 4).Draw(t, "what"); {
			case k <= 1 || len(open) == 0:
				prompt := rapid.Int64Range(1, 400).Draw(t, "prompt")
				r := big(prompt)
				r.Wait = 0
				id, w := n.admit(r)
				if w != nil {
					n.w.pass(time.Second)
					id = w.ID
				}
				if a := n.answer(id); a.Verdict.Admitted() {
					open = append(open, call{id, prompt})
				}
			case k == 2:
				c := open[rapid.IntRange(0, len(open)-1).Draw(t, "call")]
				if _, _, err := n.e.Retry(n.w.now, c.id, Failed{Why: "429", Prompt: c.prompt, Final: rapid.Bool().Draw(t, "final")}); err != nil && err != ErrLater {
					t.Fatal(err)
				}
			default:
				i := rapid.IntRange(0, len(open)-1).Draw(t, "call")
				c := open[i]
				open = append(open[:i], open[i+1:]...)
				var rc Receipt
				var err error
				if k == 3 {
					rc, err = n.e.Release(n.w.now, c.id)
				} else {
					rc, err = n.e.Settle(n.w.now, c.id, Settlement{Usage: &Usage{PromptTokens: rapid.Int64Range(0, c.prompt).Draw(t, "used")}})
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range rc.Charged {
					if x.Budget != "slots" { // they return
						spent[x.Budget] += x.Amount
					}
				}
			}
			held := map[string]ledger.Tokens{}
			for _, c := range open {
				d, err := n.e.Lookup(c.id)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range d.Reserved {
					held[x.Budget] += x.Amount
				}
				if len(d.Reserved) > 3 || d.Reserved == nil {
					t.Fatalf("holds %v", d.Reserved)
				}
			}
			got, charged := map[string]ledger.Tokens{}, map[string]ledger.Tokens{}
			for _, b := range budgets {
				a := (*ledger.Account)(nil)
				if bb, ok := n.w.policy.Budget(b); ok {
					id, _ := bb.Instance(n.r.Charter().ID, nil)
					a = n.r.Account(id)
				}
				if a == nil {
					continue
				}
				s := a.State(n.w.now)
				if s.Reserved != 0 {
					got[b] = s.Reserved
				}
				if s.Spent != 0 {
					charged[b] = s.Spent
				}
			}
			maps.DeleteFunc(held, func(_ string, v ledger.Tokens) bool { return v == 0 })
			maps.DeleteFunc(spent, func(_ string, v ledger.Tokens) bool { return v == 0 })
			if !maps.Equal(held, got) || !maps.Equal(spent, charged) {
				t.Fatalf("calls hold %v, budgets %v; charged %v, budgets %v", held, got, spent, charged)
			}
		}
	})
}
