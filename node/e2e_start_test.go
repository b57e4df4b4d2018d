package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// What a node that starts again on its directory does until peers know that it is this one. TestClonedDirectory has those that are not.

// TestRestartBesideNobody: a node that was started again while none of its peers is there waits for them for a while, says so, and then goes on.
func TestRestartBesideNobody(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, computePolicy(1, "{grant: 900000}"))
	n1, n2 := s.nodes[0], s.nodes[1]
	n1.settle(n1.admit(1000).ID)
	n2.kill()
	n1.kill()
	n1.restart()
	if code, body := n1.raw("GET", "/readyz", ""); code == 200 || !strings.Contains(body, "no peer has confirmed this start") {
		t.Errorf("ready at once: %d %s", code, body)
	}
	n1.settle(n1.admit(1000).ID) // it waits, and is admitted
	if !strings.Contains(n1.log.String(), "no peer has confirmed this start on its data directory: going on") {
		t.Errorf("the log does not say it:\n%s", n1.log.last(10))
	}
	n2.restart()
	s.ready()
	n2.settle(n2.admit(1000).ID)
}

// TestRestartAtAnotherAddress: peers know the address of its last life until they have missed that; then the node is confirmed.
func TestRestartAtAnotherAddress(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, computePolicy(1, "{grant: 900000}"))
	n3 := s.nodes[2]
	for _, p := range s.nodes {
		p.settle(p.admit(1000).ID)
	}
	n3.kill()
	n3.set.Gossip = "127.0.0.1:0"
	began := time.Now()
	n3.restart()
	s.ready()
	eventually(t, func() error {
		a, err := n3.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "0s"})
		if err != nil || !a.Admitted() {
			return fmt.Errorf("%+v, %v", a, err)
		}
		n3.settle(a.ID)
		return nil
	})
	t.Logf("it decides again after %v", time.Since(began).Round(time.Millisecond))
	s.totals("pot", "pot")
}
