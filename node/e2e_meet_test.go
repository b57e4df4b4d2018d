//go:build unix

package node_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// Two clusters of one name, each founded on its own, whose nodes come to gossip in one pool: a seed of the one
// was given to a node of the other. They share nothing: neither rights nor policies. Both say so, and both go on.
func TestTwoClustersOfOneNameShareNothing(t *testing.T) {
	t.Parallel()
	limits := []int64{scale(600_000), scale(200_000)}
	var swarms []*swarm
	for i, name := range []string{"a", "b"} {
		// The second has the newer policy, which would win within one cluster.
		swarms = append(swarms, newSwarm(t, 2, computePolicy(i+1, fmt.Sprintf("{grant: %d}", limits[i])), func(set *settings) {
			set.Name = name + set.Name
		}))
	}
	a, b := swarms[0], swarms[1]
	banks := make([]bank, 2)
	hammers := func(part float64) {
		var wg sync.WaitGroup
		for i, s := range swarms {
			h := hammer{budget: "pot", token: "compute", workers: 4, wait: "500ms", sizes: mixed, used: twoThirds}
			h.offer = banks[i].offered.Load() + int64(part*float64(limits[i]))
			wg.Go(func() { h.run(s, &banks[i]) })
		}
		wg.Wait()
	}
	hammers(0.3)
	for _, s := range swarms {
		s.totals("pot", "pot")
	}

	// A seed too many.
	last := b.nodes[1]
	last.kill()
	last.set.Join = append(last.set.Join, a.nodes[0].set.Gossip)
	last.restart()
	everybody := &swarm{t: t, nodes: append(append([]*proc(nil), a.nodes...), b.nodes...)}
	everybody.ready()
	eventually(t, func() error {
		for i, s := range swarms {
			for _, p := range s.nodes {
				if !strings.Contains(p.log.String(), "two clusters of one name meet") {
					return fmt.Errorf("%s does not say in its log that another cluster is there", p.set.Name)
				}
				ms, err := p.Members(t.Context())
				if err != nil {
					return err
				}
				for _, m := range ms {
					if theirs := strings.HasPrefix(m.Name, "a") == (i == 1); m.Foreign != theirs {
						return fmt.Errorf("%s says of %s that it is foreign: %v", p.set.Name, m.Name, m.Foreign)
					}
				}
			}
		}
		return nil
	})

	hammers(4)
	for i, s := range swarms {
		in, _ := s.totals("pot", "pot")
		lost := int64(in.Swarm.Spent) - banks[i].admitted.Load() // in the crash of one node
		if lost < 0 || int64(in.Limit) != limits[i] {
			t.Errorf("cluster %d: limit %d, want %d; %d tokens spent, callers got %d", i, in.Limit, limits[i], in.Swarm.Spent, banks[i].admitted.Load())
		}
		within(t, &banks[i], limits[i], lost)
		s.policies(int64(i + 1))
	}

	// Who leaves hands on to its own, and the last one to nobody.
	if _, err := a.nodes[1].Mint(t.Context(), api.MintRequest{Budget: "pot", Amount: 50_000, ID: "more"}); err != nil {
		t.Fatal(err)
	}
	a.nodes[1].terminate()
	a.nodes = a.nodes[:1]
	in, _ := a.totals("pot", "pot")
	left := limits[0] + 50_000 - int64(in.Swarm.Spent)
	if int64(in.Swarm.Rights) != left {
		t.Errorf("%d tokens are left with the one that stays, want %d", in.Swarm.Rights, left)
	}
	a.nodes[0].terminate()
	a.nodes[0].restart()
	eventually(t, func() error {
		in, err := a.nodes[0].instanceOf("pot", "pot")
		if err == nil && int64(in.Local.Rights) != left {
			err = fmt.Errorf("%d tokens are left with the last one after a restart, want %d", in.Local.Rights, left)
		}
		return err
	})
	if log := a.nodes[0].log.String() + last.log.String(); strings.Contains(log, "fenced") {
		t.Error("a node was fenced for what the other cluster said")
	}
}
