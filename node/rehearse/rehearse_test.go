package rehearse

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy"
)

const tested = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes:
  - {name: standard, latency_budget: 2s}
  - {name: batch, headroom: 30%}
upstreams:
  - {name: near, zones: [eu], models: [small]}
  - {name: far}
data:
  eu/*: {zones: [eu]}
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 10000}}
rules:
  - {name: all, when: tenant != "", draw: [pool, day], cost: {compute: prompt_tokens + max_output_tokens}, degrade: {below: 20%, model: small}}
`

func TestRun(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(tested))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("p.test.yaml", []byte(`
zone: eu
tests:
  - name: a call is admitted
    call: {tenant: search, model: large, prompt_tokens: 100, max_output_tokens: 50}
    expect: {decision: admit, code: ok, class: standard, rules: [all], upstream: far, reserved: {pool: 150, day/search: 150}}
  - name: nobody's calls are not
    call: {model: large}
    expect: {decision: deny, code: no_rule, reserved: {}}
  - name: data of the EU stays there
    call: {tenant: search, model: small, prompt_tokens: 1, data: [eu/docs]}
    expect: {decision: admit, upstream: near}
  - name: and where nothing there has the model, nothing runs
    call: {tenant: search, model: large, prompt_tokens: 1, data: [eu/docs]}
    expect: {decision: deny, code: no_upstream}
  - name: a rate comes back, so the call waits
    used: {pool: 1000}
    call: {tenant: search, model: small, prompt_tokens: 200}
    expect: {decision: admit, reason: rights came after}
  - name: or does not
    used: {pool: 100%}
    call: {tenant: search, model: small, prompt_tokens: 900, wait: 0s}
    expect: {decision: defer, code: budget_exhausted}
  - name: a day that is used up is one tenant's
    used: {day/search: 100%}
    call: {tenant: search, model: small, prompt_tokens: 100}
    expect: {code: budget_exhausted, reason: day/search}
  - name: others go on
    used: {day/search: 100%}
    call: {tenant: ads, model: small, prompt_tokens: 100}
    expect: {decision: admit}
  - name: calls run cheaper when little is left
    used: {day/search: 90%}
    call: {tenant: search, model: large, prompt_tokens: 100}
    expect: {decision: degrade, model: small}
  - name: a mistake of the caller
    call: {tenant: search, class: none}
    expect: {decision: error, reason: unknown class}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range f.Run(p) {
		if len(o.Wrong) > 0 {
			t.Errorf("%v %s: %s (%s)", o.Pos, o.Name, strings.Join(o.Wrong, "; "), o.Reason)
		}
	}
	// What is expected wrongly is said.
	bad, err := Parse("p.test.yaml", []byte(`
tests:
  - {name: x, call: {tenant: a, model: large, prompt_tokens: 5}, expect: {decision: deny, code: z, class: batch, rules: [other], upstream: near, model: m, max_output_tokens: 3, reason: nope, reserved: {pool: 1}}}
  - {name: y, used: {none: 1}, call: {}, expect: {decision: deny}}
  - {name: z, used: {pool: 2000}, call: {}, expect: {decision: deny}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"decision is admit, expected deny; code is ok, expected z; class is standard, expected batch; upstream is far, expected near; model is nothing, expected m; " +
			"max_output_tokens is 0, expected 3; the reason does not say \"nope\"; rules are all, expected other; reserved is day/a 5, pool 5, expected pool 1",
		`used: the policy has no budget "none"`,
		`used: instance "pool" has 1000 tokens, of which 2000 cannot be used`,
	} {
		if got := strings.Join(bad.Run(p)[i].Wrong, "; "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestExamplesThatShip: what stands beside the policies that ship holds.
func TestExamplesThatShip(t *testing.T) {
	files, err := filepath.Glob("../../policy/examples/*.test.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		doc := strings.TrimSuffix(file, ".test.yaml") + ".yaml"
		src, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		p, err := policy.Parse(doc, src)
		if err != nil {
			t.Fatal(err)
		}
		if src, err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
		f, err := Parse(file, src)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range f.Run(p) {
			if len(o.Wrong) > 0 {
				t.Errorf("%s: %v %s: %s (%s)", file, o.Pos, o.Name, strings.Join(o.Wrong, "; "), o.Reason)
			}
		}
	}
}

func TestCompare(t *testing.T) {
	parse := func(old, now string) *policy.Policy {
		p, err := policy.Parse("p.yaml", []byte(strings.Replace(tested, old, now, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	var calls []Call
	for i := range 40 { // 500 tokens every 10 s, of two tenants
		calls = append(calls, Call{At: time.Duration(i) * 10 * time.Second, Tenant: []string{"ads", "search"}[i%2], Model: "large", Prompt: 400, Output: 100})
	}
	before := parse("", "")
	same := Compare(before, before, Begin, calls)
	if len(same.Moves) != 0 || same.Old["admit"] != 34 || same.Old["degrade"] != 6 || len(same.Budgets) != 2 || same.Budgets[0] != (BudgetUse{"day", 20_000, 20_000}) {
		t.Errorf("%+v", same)
	}
	c := Compare(before, parse("amount: 10000", "amount: 5000"), Begin, calls)
	if c.Calls != 40 || len(c.Moves) == 0 || len(c.Tenants) != 2 || c.Tenants[0].Calls != 20 {
		t.Errorf("%+v", c)
	}
	if c.New["admit"]+c.New["degrade"] != 20 || c.New["defer"] != 20 || c.Budgets[0] != (BudgetUse{"day", 20_000, 10_000}) {
		t.Errorf("%+v", c)
	}
	c = Compare(before, parse("tenant != \"\"", "tenant != \"ads\""), Begin, calls)
	if len(c.Moves) != 2 || c.New["deny"] != 20 || !strings.HasPrefix(c.Moves[0].New, "deny no_rule") || len(c.Tenants) != 1 || c.Tenants[0] != (Tenant{"ads", 20, 20}) {
		t.Errorf("%+v", c)
	}
}

func TestParse(t *testing.T) {
	const call = "tests:\n  - name: x\n    call: {tenant: a}\n    expect: {decision: admit}\n"
	for _, test := range []struct{ doc, want string }{
		{"", "t.yaml:1:1: the document is empty; start with tests: and a list of them"},
		{"tests: []\n", "t.yaml:1:8: tests is empty; write a list of tests"},
		{strings.Replace(call, "tenant", "tennant", 1), `t.yaml:3:12: unknown field "tennant" in a call; did you mean "tenant"?`},
		{strings.Replace(call, "admit", "maybe", 1), `t.yaml:4:24: decision cannot be "maybe"; write one of admit, degrade, defer, deny, error`},
		{strings.Replace(call, "{decision: admit}", "{}", 1), `t.yaml:4:13: nothing is expected, so nothing can fail; write decision: admit`},
		{strings.Replace(call, "    call: {tenant: a}\n", "", 1), `t.yaml:2:5: a test lacks the field "call"`},
		{strings.Replace(call, "tenant: a", "prompt_tokens: -1", 1), `t.yaml:3:27: prompt_tokens: `},
	} {
		_, err := Parse("t.yaml", []byte(test.doc))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q\n got %v\nwant %s", test.doc, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("tests:\n  - name: x\n    used: {a/b: 5%}\n    call: {tenant: a, wait: 0s, data: [x], tokens: {c: 5}, attributes: {a: b}}\n    expect: {decision: admit, reserved: {}}\n"))
	p, err := policy.Parse("p.yaml", []byte(tested))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse("t.yaml", b)
		if err != nil {
			return
		}
		if len(file.Tests) > 3 {
			file.Tests = file.Tests[:3]
		}
		for i := range file.Tests { // a test may wait as long as it says
			file.Tests[i].Call.Wait = 0
		}
		if got := file.Run(p); len(got) != len(file.Tests) {
			t.Errorf("%d outcomes of %d tests", len(got), len(file.Tests))
		}
	})
}

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"cmp": nil, "errors": nil, "fmt": nil, "maps": nil, "math/rand/v2": {"New", "NewPCG"}, "net/url": {"PathUnescape"}, "slices": nil, "strings": nil,
		"time": {"Duration", "Millisecond"}, "go.yaml.in/yaml/v4": nil,
		"github.com/swarmpurse/swarmpurse/ledger": nil, "github.com/swarmpurse/swarmpurse/ledger/placement": nil,
		"github.com/swarmpurse/swarmpurse/node/admit": nil, "github.com/swarmpurse/swarmpurse/node/core": nil,
		"github.com/swarmpurse/swarmpurse/policy": nil, "github.com/swarmpurse/swarmpurse/policy/document": nil,
	})
}

// TestBudgetsOfUpstreams: what upstreams' own budgets do to a call can be expected as all else: that it goes to the next, with what it draws there, and that
// nothing is left at any.
func TestBudgetsOfUpstreams(t *testing.T) {
	p, err := policy.Parse("p.yaml", []byte(`apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 1s}]
upstreams:
  - {name: gpu, draw: [gpu-pool]}
  - {name: cloud, draw: [cloud-pool], cost: {compute: 2 * prompt_tokens}}
budgets:
  - {name: all, token: compute, supply: {grant: 10000}}
  - {name: gpu-pool, token: compute, supply: {grant: 1000}}
  - {name: cloud-pool, token: compute, supply: {grant: 1000}}
rules:
  - {name: everybody, draw: [all], cost: {compute: prompt_tokens}}
`))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Parse("p.test.yaml", []byte(`
tests:
  - name: the first has room
    call: {prompt_tokens: 100}
    expect: {decision: admit, upstream: gpu, reserved: {all: 100, gpu-pool: 100}}
  - name: it has not, so the next is drawn on, which nobody has before
    used: {gpu-pool: 95%}
    call: {prompt_tokens: 100}
    expect: {decision: admit, upstream: cloud, reserved: {all: 100, cloud-pool: 200}}
  - name: the same for one that does not wait
    used: {gpu-pool: 95%}
    call: {prompt_tokens: 100, wait: 0s}
    expect: {decision: admit, upstream: cloud, reserved: {all: 100, cloud-pool: 200}}
  - name: neither has
    used: {gpu-pool: 95%, cloud-pool: 85%}
    call: {prompt_tokens: 100}
    expect: {decision: deny, code: budget_exhausted, reserved: {}, reason: gpu-pool}
  - name: more than the one ever has
    call: {prompt_tokens: 1001}
    expect: {decision: deny, code: exceeds_limit, reason: gpu-pool}
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range f.Run(p) {
		if len(o.Wrong) > 0 {
			t.Errorf("%s: %s (%s)", o.Name, strings.Join(o.Wrong, "; "), o.Reason)
		}
	}
}
