//go:build unix

package node_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// rotate takes one step of a rotation, again as long as some node does not answer in time, which on a busy machine happens.
func (p *proc) rotate(step, id string) (k api.GossipKeys) {
	p.t.Helper()
	eventually(p.t, func() (err error) {
		k, err = p.ChangeGossipKey(p.t.Context(), api.GossipKeyChange{Step: step, ID: id})
		return err
	})
	return k
}

// TestGossipKeysAreRotated changes the key of three processes while calls go on: no node is taken for dead, no call fails, and a node that
// is killed and started with the file that it was first started with comes back with the keys of now.
func TestGossipKeysAreRotated(t *testing.T) {
	t.Parallel()
	first := filepath.Join(t.TempDir(), "keyring.json")
	if err := os.WriteFile(first, []byte(`["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]`), 0o400); err != nil {
		t.Fatal(err)
	}
	s := newSwarm(t, 3, `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
budgets:
  - {name: pot, token: compute, supply: {grant: 1G}}
rules:
  - {draw: [pot]}
`, func(set *settings) { set.Keyring = first })

	ctx, stop := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	var calls, failures atomic.Int64
	for _, p := range s.nodes {
		traffic.Go(func() {
			for ctx.Err() == nil {
				// A call that has begun is ended, so that nothing stays reserved.
				a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 10}})
				if err == nil && a.Admitted() {
					_, err = p.Settle(t.Context(), api.SettleRequest{ID: a.ID, Used: map[string]ledger.Tokens{"compute": 10}})
				}
				if err != nil || !a.Admitted() {
					failures.Add(1)
				} else {
					calls.Add(1)
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	n1 := s.nodes[0]
	before, err := n1.GossipKeys(t.Context())
	if err != nil || len(before.Keys) != 1 || before.Nodes != 3 || before.Keys[0].Encrypting != 3 {
		t.Fatalf("%+v, %v", before, err)
	}
	old := before.Keys[0].ID
	k := n1.rotate(api.InstallKey, "")
	fresh := k.ID
	var conflict *api.Error
	if _, err := n1.ChangeGossipKey(t.Context(), api.GossipKeyChange{Step: api.RemoveKey, ID: old}); !errors.As(err, &conflict) || conflict.Status != 409 || !strings.Contains(err.Error(), "encrypt with the key") {
		t.Errorf("the key in use was removed: %v", err)
	}
	s.nodes[1].rotate(api.UseKey, fresh) // at whichever node
	k = n1.rotate(api.RemoveKey, old)
	if len(k.Keys) != 1 || k.Keys[0] != (api.GossipKey{ID: fresh, Nodes: 3, Encrypting: 3}) {
		t.Errorf("%+v", k)
	}
	had := calls.Load()
	eventually(t, func() error { return wantErr(calls.Load() >= had+30, "calls do not go on") })
	stop()
	traffic.Wait()
	if failures.Load() > 0 {
		t.Errorf("%d of %d calls failed", failures.Load(), calls.Load())
	}
	// What was spent everywhere is known everywhere: rows travelled under the new key.
	if in, _ := s.totals("pot", "pot"); int64(in.Swarm.Spent) < 10*calls.Load() {
		t.Errorf("%d calls, and %d tokens spent", calls.Load(), in.Swarm.Spent)
	}
	for _, p := range s.nodes {
		if log := p.log.String(); strings.Contains(log, "EventMemberFailed") || strings.Contains(log, `"status":"failed"`) {
			t.Errorf("%s saw a member fail", p.set.Name)
		}
		ms, err := p.Members(t.Context())
		for _, m := range ms {
			if m.Status != "alive" {
				t.Errorf("%s: %s is %s", p.set.Name, m.Name, m.Status)
			}
		}
		if err != nil || len(ms) != 3 {
			t.Errorf("%s: %d members, %v", p.set.Name, len(ms), err)
		}
	}

	// While one is away no step is taken: it could not come back.
	n3 := s.nodes[2]
	n3.kill()
	eventually(t, func() error {
		_, err := n1.ChangeGossipKey(t.Context(), api.GossipKeyChange{Step: api.InstallKey})
		return wantErr(errors.As(err, &conflict) && strings.Contains(err.Error(), "n3 is away") && strings.Contains(err.Error(), "members remove NAME"), fmt.Sprint(err))
	})
	// It was started with a file that holds the old key only, and has the new one in its directory.
	n3.restart()
	eventually(t, func() error {
		k, err := n1.GossipKeys(t.Context())
		if err != nil {
			return err
		}
		for _, x := range k.Keys {
			if x.ID == fresh {
				return wantErr(x.Nodes == 3 && x.Encrypting == 3 && len(k.Away) == 0, fmt.Sprintf("%+v", k))
			}
		}
		return fmt.Errorf("%+v", k)
	})
}

func wantErr(ok bool, msg string) error {
	if ok {
		return nil
	}
	return errors.New(msg)
}
