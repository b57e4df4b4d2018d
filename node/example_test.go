package node_test

import (
	"context"
	"fmt"
	"log"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// A program has a node of its own, without any door: it decides where its calls are made.
func Example() {
	n, err := node.New(node.Options{
		Name:   "worker-1",
		Gossip: "127.0.0.1:0", // with Join, the budgets are those of a swarm
		HTTP:   "off",
		Policy: `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 10s}]
budgets:
  - {name: tenant-day, token: compute, per: [tenant], supply: {window: 24h, amount: 10M}}
rules:
  - draw: [tenant-day]
`,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()

	// Before a call: may it run?
	a, err := n.Admit(ctx, &admit.Request{
		Call: policy.Call{Tenant: "search", Agent: "crawler", Model: "gpt-4o", PromptTokens: 1200, MaxOutputTokens: 600},
		Wait: admit.UseClassDefault,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Verdict, a.Reserved[0].Budget, a.Reserved[0].Amount)

	// After it: what did it use?
	r, err := n.Settle(a.ID, admit.Settlement{Usage: &admit.Usage{PromptTokens: 1200, CompletionTokens: 232}, Outcome: "ok"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("charged", r.Charged[0].Amount)

	// The end: rights go to a peer, and what was spent is written down.
	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// admit tenant-day 1800
	// charged 1432
}
