package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/client"
)

// startNode stands for: swarmpurse node --socket unix:/run/swarmpurse.sock --policy policy.yaml
func startNode() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "swarmpurse")
	if err != nil {
		log.Fatal(err)
	}
	n, err := node.New(node.Options{
		Name: "n1", Gossip: "127.0.0.1:0", HTTP: "off", Socket: "unix:" + filepath.Join(dir, "s.sock"),
		Policy: `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 10s}]
budgets: [{name: team, token: compute, per: [tenant], supply: {grant: 2000}}]
rules: [{draw: [team]}]
`,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	return n.SocketAddr(), func() {
		cancel()
		<-ended
		_ = os.RemoveAll(dir)
	}
}

func Example() {
	addr, stop := startNode()
	defer stop()
	c, err := client.New(addr, client.Options{}) // or "https://node:7070" with a Key
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := c.Admit(ctx, client.Call{Tenant: "search", Agent: "crawler", Model: "gpt-4o", PromptTokens: 1200, MaxOutputTokens: 600})
	if err != nil {
		log.Fatal(err) // nobody decided: see UnreachableError and Error
	}
	fmt.Println(a.Decision, a.Reserved[0].Budget, a.Reserved[0].Tokens)

	// The call runs here. What it used comes from the provider's answer.
	r, err := c.Settle(ctx, client.Settlement{ID: a.ID, Usage: &client.Usage{PromptTokens: 1200, CompletionTokens: 232}, Outcome: "ok"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("charged", r.Charged[0].Tokens)

	// A refusal is no error.
	if a, err = c.Admit(ctx, client.Call{Tenant: "search", PromptTokens: 900}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Admitted(), a.Code)

	_, err = c.Release(ctx, "n1-unknown")
	fmt.Println(errors.Is(err, client.ErrUnknownID))
	// Output:
	// admit team 1800
	// charged 1432
	// false budget_exhausted
	// true
}
