package admit

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"context": {"Context"}, // in an interface that the node implements
		"cmp":     nil, "iter": nil, "math": {"Inf", "MaxInt64", "IsInf", "Exp", "Ceil"},
		"encoding/base32": nil, "encoding/binary": nil, "encoding/hex": nil, "errors": nil, "fmt": nil, "slices": nil, "strings": nil, "maps": {"Clone"},
		"math/bits": nil, "sync": nil, "unsafe": {"Sizeof"}, "sync/atomic": nil,
		"hash/maphash": {"MakeSeed", "Seed", "String"}, // decides where a plan is stored, which never shows
		"math/rand/v2": {"Rand"},                       // the caller's
		"time":         {"Duration", "Millisecond", "Second", "Minute", "Hour"},
		"github.com/swarmpurse/swarmpurse/ledger": nil, "github.com/swarmpurse/swarmpurse/node/freeze": nil,
		"github.com/swarmpurse/swarmpurse/policy": nil, "github.com/swarmpurse/swarmpurse/policy/outcome": {"Sums"}, "github.com/swarmpurse/swarmpurse/policy/rollout": {"Counts", "Drift", "Groups", "WaitSteps"},
	})
}
