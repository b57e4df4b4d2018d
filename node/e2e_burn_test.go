//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"strconv"
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

// Every way by which tokens come and go has its counter: by shares, top-up, rollover; decay, expiry, burn.
func TestLifecyclesAreCounted(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 1, `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  data: {unit: read, decay: {half_life: 1s}}
budgets:
  - {name: pot, token: compute, supply: {grant: 1000}}
  - {name: tick, token: compute, supply: {window: 1s, amount: 100, rollover: 10%}}
  - {name: pace, token: compute, supply: {rate: 50/s, burst: 100}}
  - {name: reads, token: data, supply: {grant: 1M}}
rules:
  - {draw: [pot, tick, pace, reads], cost: {data: "1"}}
`)
	n := s.nodes[0]
	eventually(t, func() error {
		a, err := n.Admit(t.Context(), api.AdmitRequest{PromptTokens: 10, MaxOutputTokens: 10})
		if err == nil && !a.Admitted() {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	if _, err := n.Mint(t.Context(), api.MintRequest{Budget: "pot", Amount: 500, ID: "m"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Burn(t.Context(), api.BurnRequest{Budget: "pot", Amount: 200, ID: "b"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		_, metrics := n.raw("GET", "/metrics", "")
		for series, least := range map[string]float64{
			`minted_tokens_total{budget="pot",kind="shares",token="compute"}`:    1000,
			`minted_tokens_total{budget="pot",kind="top_up",token="compute"}`:    500,
			`lapsed_tokens_total{budget="pot",kind="burned",token="compute"}`:    200,
			`minted_tokens_total{budget="tick",kind="shares",token="compute"}`:   300, // three windows
			`minted_tokens_total{budget="tick",kind="rollover",token="compute"}`: 20,
			`lapsed_tokens_total{budget="tick",kind="expired",token="compute"}`:  160,
			`minted_tokens_total{budget="pace",kind="shares",token="compute"}`:   120, // the burst, and what came since
			`lapsed_tokens_total{budget="reads",kind="decayed",token="data"}`:    500_000,
		} {
			_, rest, _ := strings.Cut(metrics, "\nswarmpurse_"+series+" ")
			line, _, _ := strings.Cut(rest, "\n")
			if got, err := strconv.ParseFloat(line, 64); err != nil || got < least {
				return fmt.Errorf("%s is %q, want %v at least", series, line, least)
			}
		}
		if !strings.Contains(metrics, `swarmpurse_conservation_error_tokens{budget="tick",token="compute"} 0`) {
			return errors.New("the books do not close")
		}
		return nil
	})
}
