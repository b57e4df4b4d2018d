package node

import (
	"context"
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// TestNothingLeavesBeforeAStartIsConfirmed: what the ledger would tell peers waits, and so do calls, top-ups, burns and handing on.
func TestNothingLeavesBeforeAStartIsConfirmed(t *testing.T) {
	o := Options{Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Data: t.TempDir(), Logger: zerolog.Nop()}
	const doc = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
budgets: [{name: pot, token: compute, supply: {grant: 1000}}]
rules: [{when: "true", draw: [pot]}]
`
	n, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	admits := func(ctx context.Context, n *Node, want bool) {
		t.Helper()
		a, err := n.Admit(ctx, ask("a", 10))
		if got := err == nil && a.Verdict == admit.Admit; got != want {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(doc), By: "test"}); err != nil {
		t.Fatal(err)
	}
	admits(t.Context(), n, true) // an empty directory has nothing to lose
	n.Close()

	o.Join = []string{"127.0.0.1:1"} // nobody is there
	if n, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	sends := []ledger.Send{{To: "n2", Message: &ledger.Ack{}}}
	if n.starting.lets(sends) != nil {
		t.Error("a message goes out")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	admits(gone, n, false)
	if _, err := n.Mint(gone, api.MintRequest{Budget: "pot", Amount: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("a top-up: %v", err)
	}
	if _, err := n.Burn(gone, api.BurnRequest{Budget: "pot", Amount: 5}); !errors.Is(err, context.Canceled) {
		t.Errorf("a burn: %v", err)
	}
	if n.handOn() {
		t.Error("it hands on what it holds")
	}
	if err := n.begun(); !errors.Is(err, api.ErrNotReady) {
		t.Error(err)
	}
	if s := n.Status(); s.Ready {
		t.Error("it says that it is ready")
	}
	if err := n.look(func(ledger.Instant) { n.starting.goOn() }); err != nil {
		t.Fatal(err)
	}
	admits(t.Context(), n, true)
	if len(n.starting.lets(sends)) != 1 {
		t.Error("nothing goes out when the start is confirmed")
	}
}
