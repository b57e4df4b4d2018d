package baseline

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"time":         {"Duration", "Millisecond"},
		"cmp":          nil,
		"errors":       nil,
		"fmt":          nil,
		"math":         nil,
		"math/big":     nil,
		"math/rand/v2": {"Rand", "New", "NewPCG"}, // seeded by the scenario
		"math/bits":    nil,
		"slices":       nil,
		"strings":      nil,
		"github.com/swarmpurse/swarmpurse/ledger": {
			"Tokens", "MaxTokens", "Millis", "Instant", "InstanceID", "CharterID",
			"Spec", "Rate", "Windowed", "Slots", "Hard", "Soft", "Observe", // what policies say, and nothing of accounts
		},
		"github.com/swarmpurse/swarmpurse/node/freeze":  nil,
		"github.com/swarmpurse/swarmpurse/policy":       nil,
		"github.com/swarmpurse/swarmpurse/sim/result":   nil,
		"github.com/swarmpurse/swarmpurse/sim/scenario": nil,
		"github.com/swarmpurse/swarmpurse/sim/workload": nil,
	})
}
