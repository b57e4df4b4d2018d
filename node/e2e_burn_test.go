//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// An operator burns more of a budget than the node that he asks holds. It is gone for the whole swarm, over a crash too, and every node's
// views and counters tell it apart.
func TestBurnedTokensAreGone(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
budgets:
  - {name: pot, token: compute, supply: {grant: 90000}}
rules:
  - draw: [pot]
`)
	n := s.nodes[0]
	burn := api.BurnRequest{Budget: "pot", Amount: 50_000, Why: "by mistake", ID: "friday"}
	rc, err := n.Burn(t.Context(), burn)
	if err != nil || rc.Burned != 50_000 || rc.Repeated {
		t.Fatalf("burn: %+v, %v", rc, err)
	}
	n.kill()
	n.restart()
	if rc, err = n.Burn(t.Context(), burn); err != nil || !rc.Repeated {
		t.Fatalf("once more, after a crash: %+v, %v", rc, err)
	}
	in, _ := s.totals("pot", "pot")
	if a := in.Swarm; a.Burned != 50_000 || a.Lapsed != a.Burned+a.Expired+a.Decayed || a.Issued != 90_000 {
		t.Errorf("the swarm's books: %+v", a)
	}
	_, err = n.Burn(t.Context(), api.BurnRequest{Budget: "pot", Amount: 40_001, ID: "all"})
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code != api.ErrCodeTooFew || !strings.Contains(refused.Message, "none was") {
		t.Errorf("more than is left: %v", err)
	}
	eventually(t, func() error {
		_, metrics := n.raw("GET", "/metrics", "")
		for _, line := range []string{
			`swarmpurse_lapsed_tokens_total{budget="pot",kind="burned",token="compute"} 50000`,
			`swarmpurse_lapsed_tokens_total{budget="pot",kind="decayed",token="compute"} 0`,
			`swarmpurse_budget_lapsed_tokens{budget="pot",kind="burned",token="compute"} 50000`,
			`swarmpurse_minted_tokens_total{budget="pot",kind="shares",token="compute"} 30000`,
		} {
			if !strings.Contains(metrics, line) {
				return fmt.Errorf("no %s", line)
			}
		}
		return nil
	})
}
