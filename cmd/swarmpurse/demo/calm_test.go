package demo

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/child"
	"github.com/swarmpurse/swarmpurse/policy"
)

// own makes what a node says of its own account at an instance of 1,000 tokens.
func own(node, budget string, a api.Account) books {
	return books{{Name: budget, Instances: []api.Instance{{
		Instance: budget, Limit: 1000, Local: a, Swarm: a, Holders: []api.Holder{{Node: node, Gen: "1", Version: 1, Account: a}},
	}}}}
}

func TestBooksThatDoNotCloseAreFound(t *testing.T) {
	pol, err := policy.Parse("x", []byte(`apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
budgets:
  - {name: b, token: compute, supply: {grant: 1000}}
  - {name: r, token: compute, supply: {rate: 10/s, burst: 1000}}
rules:
  - draw: [b, r]
`))
	if err != nil {
		t.Fatal(err)
	}
	const half = ledger.TotalShares / 2
	good := api.Account{Shares: half, Issued: 500, Rights: 200, Reserved: 0, Spent: 250, Lapsed: 50}
	change := func(f func(*api.Account)) api.Account {
		a := good
		f(&a)
		return a
	}
	heard := books{{Name: "b", Instances: []api.Instance{{Instance: "b", Limit: 1000, Holders: []api.Holder{{Node: "n1"}}}}}}
	for _, c := range []struct {
		name   string
		n1, n2 books
		want   string
	}{
		{"closed", own("n1", "b", good), own("n2", "b", good), ""},
		{"the other founder has not used it", own("n1", "b", good), nil, ""},
		{"the other founder has only heard of it", own("n1", "b", good), heard, ""},
		{"shares are lost", own("n1", "b", good), own("n2", "b", change(func(a *api.Account) { a.Shares-- })), "add up to 999999999, not"},
		{"shares are doubled", own("n1", "b", change(func(a *api.Account) { a.Shares++ })), nil, "add up to 1000000001, not"},
		{"tokens are lost", own("n1", "b", good), own("n2", "b", change(func(a *api.Account) { a.Spent-- })), "1000 tokens were issued, but 999"},
		{"too much was issued", own("n1", "b", good), own("n2", "b", change(func(a *api.Account) { a.Issued++; a.Rights++ })), "1001 tokens were issued, the limit is 1000"},
		{"a rate goes on", own("n1", "r", good), own("n2", "r", change(func(a *api.Account) { a.Issued += 9999 })), ""},
		{"a budget from nowhere", own("n1", "x", good), own("n2", "x", good), "the policy has not"},
	} {
		got := unclosed(pol, []string{"n1", "n2"}, []string{"n1", "n2"}, []books{c.n1, c.n2})
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := unclosed(pol, []string{"n1", "n2"}, []string{"n1"}, []books{own("n1", "b", good), nil}); got == "" {
		t.Error("a node that is no founder has no shares in its seat")
	}
}

func TestAgreementIsFound(t *testing.T) {
	s := &swarm{members: []*member{{Child: &child.Child{Name: "n1"}}, {Child: &child.Child{Name: "n2"}}}}
	a := api.Account{Spent: 5, Reserved: 1, Shares: 7, Rights: 3}
	same := []books{own("n1", "b", a), own("n1", "b", api.Account{Spent: 5, Reserved: 1, Shares: 7, Rights: 9})}
	if d := differ(s, same); d != "" {
		t.Errorf("%s, but rights are not totals", d)
	}
	if d := differ(s, []books{same[0], own("n1", "b", api.Account{Spent: 4, Reserved: 1, Shares: 7})}); !strings.Contains(d, "node n2 4, 1, 7") {
		t.Errorf("difference %q", d)
	}
	if d := differ(s, []books{same[0], nil}); d == "" {
		t.Error("a node that knows nothing agrees")
	}
}

func TestNewsIsWaitedFor(t *testing.T) {
	s := &swarm{members: []*member{{Child: &child.Child{Name: "n1"}}, {Child: &child.Child{Name: "n2"}}}}
	row := func(holder string, version uint64) books {
		return books{{Name: "b", Instances: []api.Instance{{Instance: "b", Holders: []api.Holder{{Node: holder, Gen: "1", Version: version}}}}}}
	}
	rows := ownRows(s, []books{row("n1", 4), row("n1", 2)})
	if len(rows) != 1 || rows[holding{"b", "n1", "1"}] != 4 {
		t.Fatalf("own rows %v: n1's word of itself counts only", rows)
	}
	for version, late := range map[uint64]bool{3: true, 4: false, 9: false} {
		if d := behind(s, rows, []books{row("n1", 9), row("n1", version)}); (d != "") != late {
			t.Errorf("version %d: %q", version, d)
		}
	}
	if behind(s, rows, []books{row("n1", 9), nil}) == "" {
		t.Error("a node that has not heard of the account is not behind")
	}
}
