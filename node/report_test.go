package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestSpending: the report is what calls were charged, by tenant, agent, model and day; also after a restart.
func TestSpending(t *testing.T) {
	p, err := policy.Parse("test.yaml", []byte(`
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
budgets:
  - {name: pool, token: compute, supply: {grant: 10000}}
  - {name: tenant, token: compute, per: [tenant], supply: {grant: 5000}}
rules: [{draw: [pool, tenant]}]
`))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	start := func() *Node {
		n, err := Open(t.Context(), Options{Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Data: dir, Logger: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := start()
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: p.Source(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for _, c := range []struct {
		tenant, agent, model   string
		tokens, prompt, output int64
	}{
		{"search", "crawler", "large", 300, 100, 50},
		{"search", "crawler", "large", 300, 10, 5},
		{"search", "crawler", "small", 300, 1, 400}, // 101 more than reserved
		{"search", "ranker", "large", 300, 1, 1},
		{"ads", "", "large", 300, 200, 0},
		{"ads", "", "large", 6000, 0, 0}, // more than its budget
	} {
		r := ask(c.tenant, ledger.Tokens(c.tokens))
		r.Agent, r.Model = c.agent, c.model
		a, err := n.Admit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Verdict.Admitted() {
			continue
		}
		used := admit.Settlement{Usage: &admit.Usage{PromptTokens: c.prompt, CompletionTokens: c.output}}
		if _, err := n.Settle(a.ID, used); err != nil {
			t.Fatal(err)
		}
	}
	look := func(q api.ReportQuery) string {
		t.Helper()
		if q.By == nil {
			q.By = []string{"tenant", "agent", "model"}
		}
		r, err := n.Spending(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Nodes) != 1 || r.Nodes[0].Missing != 0 || r.Nodes[0].Decisions != "all" || r.Nodes[0].From.Before(begin.Add(-time.Minute)) {
			t.Errorf("%+v", r.Nodes)
		}
		s := ""
		for _, x := range r.Rows {
			s += fmt.Sprintf("%s/%s/%s: %d calls, %d refused, %d+%d", x.Tenant, x.Agent, x.Model, x.Calls, x.Refused, x.Prompt, x.Output)
			for _, c := range x.Charged {
				s += fmt.Sprintf(", %s %d (%d)", c.Budget, c.Amount, c.Overrun)
			}
			s += "\n"
		}
		return s
	}
	const all = `ads//large: 1 calls, 1 refused, 200+0, pool 200 (0), tenant 200 (0)
search/crawler/large: 2 calls, 0 refused, 110+55, pool 165 (0), tenant 165 (0)
search/crawler/small: 1 calls, 0 refused, 1+400, pool 401 (101), tenant 401 (101)
search/ranker/large: 1 calls, 0 refused, 1+1, pool 2 (0), tenant 2 (0)
`
	for name, c := range map[string]struct {
		q    api.ReportQuery
		want string
	}{
		"all":      {api.ReportQuery{}, all},
		"a tenant": {api.ReportQuery{Tenant: "ads"}, all[:len("ads//large: 1 calls, 1 refused, 200+0, pool 200 (0), tenant 200 (0)\n")]},
		"by agent": {api.ReportQuery{Tenant: "search", By: []string{"agent"}}, "/crawler/: 3 calls, 0 refused, 111+455, pool 566 (101), tenant 566 (101)\n/ranker/: 1 calls, 0 refused, 1+1, pool 2 (0), tenant 2 (0)\n"},
		"later":    {api.ReportQuery{Since: time.Now().Add(time.Hour)}, ""},
		"before":   {api.ReportQuery{Until: begin.Add(-time.Hour)}, ""},
	} {
		if got := look(c.q); got != c.want {
			t.Errorf("%s:\n%swant\n%s", name, got, c.want)
		}
	}
	n.Close()
	n = start()
	defer n.Close()
	if got := look(api.ReportQuery{}); got != all {
		t.Errorf("after a restart:\n%swant\n%s", got, all)
	}
}

// TestReportIsBounded: who names ever new agents makes no larger report, and nothing of what was spent is lost in it.
func TestReportIsBounded(t *testing.T) {
	s := api.NewReportSum(api.ReportFields)
	for i := range api.MaxReportRows + 50 {
		r := s.Row("2026-01-01", "search", fmt.Sprint(i), "m")
		r.Calls++
		r.Charge(api.ReportCharge{Budget: "pool", Token: "compute", Amount: 2})
	}
	twice := api.NewReportSum(api.ReportFields)
	for range 2 {
		var r api.Report
		r.Rows, r.Truncated = s.Rows()
		twice.Add(&r)
	}
	rows, truncated := twice.Rows()
	var calls, tokens int64
	for _, r := range rows {
		calls += r.Calls
		tokens += int64(r.Charged[0].Amount)
	}
	if want := int64(2 * (api.MaxReportRows + 50)); !truncated || calls != want || tokens != 2*want || len(rows) > api.MaxReportRows+1 {
		t.Errorf("%d rows (truncated: %v), %d calls, %d tokens, want %d calls", len(rows), truncated, calls, tokens, want)
	}
}
