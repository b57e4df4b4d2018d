package outcome

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{"bytes": nil, "cmp": nil, "errors": nil, "fmt": {"Errorf"}, "math": nil, "slices": nil, "strings": nil})
}
