package promise

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{"math": nil, "time": {"Duration", "Millisecond", "Second"}})
}
