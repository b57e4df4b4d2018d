package node

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/node/seal"
)

// TestMessagesBeforeThePool: what comes while the pool is being opened, from who is not known yet, is no reason to end.
func TestMessagesBeforeThePool(t *testing.T) {
	n := &Node{book: seal.NewBook("n1")}
	if n.member("n2") != nil || n.signs("n2") {
		t.Error("n2 is known")
	}
}
