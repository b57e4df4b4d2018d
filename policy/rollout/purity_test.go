package rollout

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "encoding/binary": {"BigEndian"}, "encoding/hex": nil, "errors": nil, "fmt": {"Errorf", "Sprintf"}, "github.com/cespare/xxhash/v2": nil, "math": nil, "slices": nil, "strconv": nil,
		"strings": nil, "time": {"UnixMilli"}, "github.com/swarmpurse/swarmpurse/policy": nil,
		"github.com/swarmpurse/swarmpurse/policy/trust": nil,
	})
}
