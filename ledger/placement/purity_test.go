package placement

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

// Without time, math/rand and sync this package can have neither a clock nor dice of its own.
func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"cmp": nil, "math": nil, "math/bits": nil, "slices": nil,
		"github.com/swarmpurse/swarmpurse/ledger": nil,
	})
}
