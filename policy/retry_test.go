package policy

import (
	"fmt"
	"strings"
	"testing"
)

const retried = head + `tokens: {c: {unit: request}}
upstreams: [{name: one}, {name: spare-1}, {name: spare-2, zones: [us]}]
budgets: [{name: pool, token: c, supply: {grant: 10}}]
rules:
  - {when: agent == "none", draw: [pool], stop: true}
  - {when: agent == "again", retry: {}}
  - {when: agent == "spare", retry: {attempts: 4, backoff: 20ms, failover: ["spare-*"]}}
  - {draw: [pool], retry: {attempts: 3, failover: ["*"]}}
`

// TestRetry: the first rule that says so counts, and what it leaves out has its defaults.
func TestRetry(t *testing.T) {
	p, err := Parse("p.yaml", []byte(retried))
	if err != nil {
		t.Fatal(err)
	}
	for agent, want := range map[string]string{
		"none": "", "again": "2 250ms []", "spare": "4 20ms [spare-1 spare-2]", "other": "3 250ms [one spare-1 spare-2]",
	} {
		plan, err := p.Match(&Call{Agent: agent})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r := plan.Retry; r != nil {
			names := []string{}
			for _, u := range p.Upstreams() {
				if r.FailsOver(u) {
					names = append(names, u.Name)
				}
			}
			got = fmt.Sprintf("%d %v %v", r.Attempts, r.Backoff, names)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", agent, got, want)
		}
	}
}

func TestFailoverWithoutUpstreams(t *testing.T) {
	_, err := Parse("p.yaml", []byte(head+"rules: [{retry: {failover: [\"*\"]}}]\n"))
	if err == nil || !strings.Contains(err.Error(), "rule 1 fails over, but there are no upstreams; declare them") {
		t.Error(err)
	}
}

// TestRetryWarnings: retries that never happen.
func TestRetryWarnings(t *testing.T) {
	for _, c := range []struct{ upstreams, classes, retry, want string }{
		{"[{name: one}, {name: two}]", "{name: a}", `{failover: ["*"]}`, ""},
		{"[{name: one}, {name: two}]", "{name: a}", `{}`, ""},
		{"[{name: one}]", "{name: a}", `{failover: [one]}`, `"one" is the only upstream`},
		{"[{name: one}]", "{name: a, latency_budget: 1s}", `{backoff: 1s}`, "no class lets its calls wait that long"},
		{"[{name: one}, {name: two}]", "{name: a, latency_budget: 0s}", `{failover: [two]}`, ""},
		{"[{name: one, zones: [eu]}, {name: two, zones: [us]}]", "{name: a}", `{failover: [two]}`, `names "two" for failover, but draws on "pool", which is bound to zone eu`},
		{"[{name: one, zones: [eu]}, {name: two, zones: [us]}]", "{name: a}", `{failover: ["*"]}`, ""},
	} {
		locality := ""
		if strings.Contains(c.upstreams, "eu") {
			locality = ", locality: {zones: [eu]}"
		}
		p, err := Parse("p.yaml", []byte(head+"tokens: {c: {unit: request}}\nclasses: ["+c.classes+"]\nupstreams: "+c.upstreams+
			"\nbudgets: [{name: pool, token: c, supply: {grant: 10}"+locality+"}]\nrules: [{draw: [pool], retry: "+c.retry+"}]\n"))
		if err != nil {
			t.Errorf("%s: %v", c.retry, err)
			continue
		}
		got := fmt.Sprint(Check(p))
		if c.want == "" && strings.Contains(got, "rule 1") || !strings.Contains(got, c.want) {
			t.Errorf("%s with %s: %s, want %q", c.retry, c.upstreams, got, c.want)
		}
	}
}
