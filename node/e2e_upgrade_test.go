//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/seal"
)

// ear keeps what a member of the pool is told.
type ear struct {
	deaf
	mu   sync.Mutex
	rows []ledger.Row // without signatures
	told []any        // other messages of the ledger, likewise
}

func (e *ear) Receive(_ string, payload []byte) {
	m, err := ledger.Decode(payload)
	if err != nil || m == nil {
		return // a letter, or the node's own
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if rows, ok := m.([]ledger.Row); ok {
		e.rows = append(e.rows, rows...)
	} else {
		e.told = append(e.told, m)
	}
}

// TestMemberOfAnOlderVersion: while nodes are upgraded one by one, a member that signs nothing and tells of no key is told all that it can
// read, and what it says in its own name counts. Once it has a key, nothing without a signature does any more.
func TestMemberOfAnOlderVersion(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, computePolicy(1, "{grant: 1000000}"))
	n1 := s.nodes[0]
	for _, p := range s.nodes {
		p.attacked = true // in the end something is refused
	}
	e := &ear{}
	tags := map[string]string{"gen": "4d", "dir": "4d"}
	pool, err := gossip.Open(t.Context(), gossip.Options{
		Name: "elder", Bind: "127.0.0.1:0", Cluster: "e2e", Join: []string{n1.set.Gossip}, Delegate: e, Tuning: &quick, Logger: zerolog.Nop(), Tags: tags,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })

	var pot ledger.InstanceID
	eventually(t, func() error { // rows travel in both forms, once the nodes have met it
		n1.settle(n1.admit(10).ID)
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, r := range e.rows {
			if r.Holder.Node == "n1" {
				pot = r.Instance
				return nil
			}
		}
		return fmt.Errorf("of n1 no row that it can read has come; %d of others", len(e.rows))
	})
	self := ledger.Holder{Node: "elder", Gen: 0x4d}
	say := func(m any) error { return pool.Send("n1", ledger.Encode(m)) }
	eventually(t, func() error { // its row is shown
		if err := say([]ledger.Row{{Holder: self, Instance: pot, Version: 1}}); err != nil {
			return err
		}
		b, err := n1.Budget(t.Context(), "pot")
		if err != nil {
			return err
		}
		for _, h := range b.Instances[0].Holders {
			if h.Node == "elder" {
				return nil
			}
		}
		return errors.New("n1 does not show its row")
	})
	id := uint64(0)
	eventually(t, func() error { // its ask is answered, so that it can read it
		id++
		if err := say(&ledger.Ask{ID: id, From: self, Instance: pot, Need: 100, Want: 100}); err != nil {
			return err
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, m := range e.told {
			switch m.(type) {
			case *ledger.Transfer, *ledger.Offer, *ledger.Refuse:
				return nil
			}
		}
		return fmt.Errorf("no answer that it can read has come; it was told %T", e.told)
	})
	if n := n1.refused("unsigned"); n > 0 {
		t.Errorf("%v of what it said was refused as unsigned", n)
	}

	// It is upgraded.
	tags["key"] = seal.Tag(seal.NewSigner("elder", 0x4d, key("elder"), 1).Pin().Key)
	if err := pool.SetTags(tags); err != nil {
		t.Fatal(err)
	}
	n1.refuses("unsigned", func() {
		if err := say(&ledger.Ask{ID: 1 << 20, From: self, Instance: pot, Need: 100, Want: 100}); err != nil {
			t.Error(err)
		}
	})
}
