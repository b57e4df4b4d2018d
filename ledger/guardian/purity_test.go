package guardian

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"cmp": nil, "errors": nil, "fmt": nil, "maps": nil, "slices": nil, "strings": nil,
		"time": {"Duration", "Second", "Hour"}, // never a clock or a timer
	})
}
