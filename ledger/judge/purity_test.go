package judge

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{"fmt": nil, "maps": nil, "slices": nil, "github.com/swarmpurse/swarmpurse/ledger": nil,
		"github.com/swarmpurse/swarmpurse/ledger/guardian": nil})
}
