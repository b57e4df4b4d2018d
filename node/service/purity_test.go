package service

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{"slices": nil, "time": {"Time", "Duration", "Millisecond", "Second", "Minute", "Hour"}})
}
