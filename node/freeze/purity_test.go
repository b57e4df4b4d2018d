package freeze

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": {"Compare"}, "cmp": nil, "github.com/swarmpurse/swarmpurse/policy/trust": nil, "crypto/sha256": {"New"}, "encoding/binary": nil, "errors": nil, "fmt": {"Errorf", "Sprintf"}, "maps": nil, "slices": nil, "strings": nil,
		"time": {"UnixMilli"},
	})
}
