package explore

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "crypto/sha256": nil, "encoding/binary": nil, "errors": nil, "fmt": nil, "math": nil, "reflect": nil,
		"slices": nil, "strings": nil,
		"math/rand/v2": {"New"}, // of dice that always show the same
		"github.com/swarmpurse/swarmpurse/ledger":       nil,
		"github.com/swarmpurse/swarmpurse/ledger/judge": nil,
	})
}
