package explore

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "crypto/sha256": nil, "encoding/binary": nil, "errors": nil, "fmt": nil, "math": nil, "reflect": nil,
		"cmp": nil, "slices": nil, "strings": nil,
		"time":         {"Duration", "Hour", "Second"}, // never a clock or a timer
		"math/rand/v2": {"New", "NewPCG"},              // of dice that always show the same
		"github.com/swarmpurse/swarmpurse/ledger":          nil,
		"github.com/swarmpurse/swarmpurse/ledger/judge":    nil,
		"github.com/swarmpurse/swarmpurse/ledger/guardian": nil,
	})
}
