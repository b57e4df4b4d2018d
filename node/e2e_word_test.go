//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// Of three nodes, which have no guardians, one dies. An operator vouches for it: its shares and the stock that he states are
// another's, it is off the list, the log says who did what and why, and when it comes back after all it has nothing.
func TestOperatorsWord(t *testing.T) {
	t.Parallel()
	limit := int64(900_000)
	s := newSwarm(t, 3, computePolicy(1, fmt.Sprintf("{grant: %d}", limit)))
	for _, p := range s.nodes {
		p.admit(1000) // everybody has an account
	}
	a, dead := s.nodes[0], s.nodes[2]
	time.Sleep(time.Second) // rows travel
	had, err := dead.instanceOf("pot", "pot")
	if err != nil {
		t.Fatal(err)
	}
	name, gen := dead.set.Name, dead.generation()
	if _, err := a.RemoveMember(t.Context(), api.RemoveRequest{Name: name, Dead: true}); err == nil || !strings.Contains(err.Error(), "a live member") {
		t.Fatalf("a word about a live node: %v", err)
	}
	if _, err := a.RemoveMember(t.Context(), api.RemoveRequest{Name: name}); err == nil || !strings.Contains(err.Error(), "alive") {
		t.Fatalf("a live node is taken off the list: %v", err)
	}
	dead.kill()
	before, _ := a.instanceOf("pot", "pot")
	eventually(t, func() error {
		if got := a.metric(`swarmpurse_stuck_shares{reason="unguarded",token="compute"}`); got != float64(had.Local.Shares) {
			return fmt.Errorf("%v shares are stuck by the metrics, it has %d", got, had.Local.Shares)
		}
		return nil
	})
	stock := had.Local.Rights / 2
	var rc api.RemoveReceipt
	eventually(t, func() (err error) {
		rc, err = a.RemoveMember(t.Context(), api.RemoveRequest{Name: name, Dead: true, Why: "burnt", Stock: []api.Stated{{Instance: "pot", Amount: stock}}})
		return err
	})
	if rc.Heir != a.set.Name || len(rc.Back) != 1 || rc.Back[0].Shares != had.Local.Shares || rc.Back[0].Tokens != stock {
		t.Fatalf("it had %+v, and the receipt is %+v", had.Local, rc)
	}
	eventually(t, func() error {
		now, err := a.instanceOf("pot", "pot")
		if err == nil && (now.Local.Rights != before.Local.Rights+stock || now.Local.Shares != before.Local.Shares+had.Local.Shares) {
			err = fmt.Errorf("of %d tokens stated, and %d shares, there are %+v after %+v", stock, had.Local.Shares, now.Local, before.Local)
		}
		return err
	})
	if got := a.metric(`swarmpurse_reclaimed_shares_total{token="compute"}`); got != float64(had.Local.Shares) {
		t.Errorf("%v shares came back by the metrics, %d did", got, had.Local.Shares)
	}
	if log := a.log.String(); !strings.Contains(log, `"event":"audit"`) || !strings.Contains(log, "burnt") {
		t.Error("the log does not say who vouched for what, and why")
	}
	eventually(t, func() error {
		if log := s.nodes[1].log.String(); !strings.Contains(log, `"event":"audit"`) || !strings.Contains(log, "burnt") {
			return errors.New("the log of the other node does not say who vouched for what, and why")
		}
		return nil
	})
	eventually(t, func() error {
		ms, err := s.nodes[1].Members(t.Context())
		for _, m := range ms {
			if m.Name == name {
				err = fmt.Errorf("%s is still listed: %+v", name, m)
			}
		}
		return err
	})
	dead.restart()
	eventually(t, func() error {
		if dead.generation() == gen {
			return fmt.Errorf("it is still generation %s", gen)
		}
		now, err := dead.instanceOf("pot", "pot")
		if err == nil && now.Local.Shares != 0 {
			err = fmt.Errorf("it came back with %+v", now.Local)
		}
		return err
	})
	var sum ledger.Shares
	for _, p := range s.nodes {
		in, err := p.instanceOf("pot", "pot")
		if err != nil {
			t.Fatal(err)
		}
		sum += in.Local.Shares
	}
	if sum != ledger.TotalShares {
		t.Errorf("%d shares are owned", sum)
	}
}
