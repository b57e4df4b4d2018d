package node

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node/seal"
)

// TestMessagesBeforeThePool: what comes while the pool is being opened, from who is not known yet, is no reason to end.
func TestMessagesBeforeThePool(t *testing.T) {
	n := &Node{book: seal.NewBook("n1")}
	if n.member("n2") != nil || n.signs("n2") {
		t.Error("n2 is known")
	}
}

// TestKeysOfMembersThatFailed: they are told on with their rows, as those that left long ago: who joins later hears of neither.
func TestKeysOfMembersThatFailed(t *testing.T) {
	n := &Node{book: seal.NewBook("n1"), refused: newRefusals()}
	key := make([]byte, 32)
	member := func(name string, status gossip.Status) gossip.Member {
		return gossip.Member{Name: name, Status: status, Tags: map[string]string{tagKey: seal.Tag(key), tagDir: "4d"}}
	}
	n.meetKeys([]gossip.Member{member("n2", gossip.Alive), member("n3", gossip.Failed), member("n4", gossip.Left)})
	for name, want := range map[string]bool{"n2": true, "n3": false, "n4": false, "n5": false} {
		if n.peers.tells(name, key) != want {
			t.Errorf("%s tells its key itself: %v", name, !want)
		}
	}
}
