package core

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"math/rand/v2": {"Rand"}, "slices": nil, "sync/atomic": nil, "time": {"Duration"},
		"github.com/swarmpurse/swarmpurse/ledger": nil, "github.com/swarmpurse/swarmpurse/node/admit": nil,
	})
}
