//go:build unix

package node_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// A data directory that is put back from a copy has forgotten what was spent since. A peer knows better: the node is
// fenced, admits nothing, says so, and its peer's books stay as they were.
func TestOlderCopyOfADirectoryIsFenced(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, computePolicy(1, "{grant: 1000000}"))
	p, peer := s.nodes[0], s.nodes[1]
	p.settle(p.admit(1000).ID)
	p.kill()
	older := t.TempDir()
	if err := os.CopyFS(older, os.DirFS(p.set.Data)); err != nil {
		t.Fatal(err)
	}
	p.restart()
	s.ready()
	p.settle(p.admit(150_000).ID)
	var before api.Account
	eventually(t, func() error {
		in, err := peer.instanceOf("pot", "pot")
		if before = in.Swarm; err == nil && before.Spent < 151_000 {
			err = fmt.Errorf("the peer knows of %d tokens spent", before.Spent)
		}
		return err
	})
	p.kill()
	if err := os.RemoveAll(p.set.Data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.set.Data, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	p.restart()
	eventually(t, func() error {
		code, body := p.raw(http.MethodGet, "/readyz", "")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "fenced: peers know a later state of this node; restore the newer data directory") {
			return fmt.Errorf("/readyz: %d %s", code, body)
		}
		return nil
	})
	for _, tokens := range []ledger.Tokens{1, 400_000} {
		a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": tokens}, Wait: "100ms"})
		if err != nil || a.Admitted() || a.Code != admit.CodeFenced {
			t.Errorf("%d tokens: %+v %v", tokens, a, err)
		}
	}
	if !strings.Contains(p.log.String(), "fenced: peers know a later state of this node; restore the newer data directory") {
		t.Errorf("the log does not say it:\n%s", p.log.last(10))
	}
	in, err := peer.instanceOf("pot", "pot")
	if err != nil || in.Swarm.Spent < before.Spent {
		t.Errorf("the peer knew of %d tokens spent, and now of %d (%v)", before.Spent, in.Swarm.Spent, err)
	}

	// The way out: an empty directory is a new generation, which has what its peer gives.
	p.kill()
	if err := os.RemoveAll(p.set.Data); err != nil {
		t.Fatal(err)
	}
	p.restart()
	s.ready()
	a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "5s"})
	if err != nil || !a.Admitted() {
		t.Errorf("a new generation gets rights from its peer: %+v %v", a, err)
	}
}
