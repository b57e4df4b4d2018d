package document

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "encoding/json": nil, "errors": nil, "fmt": nil, "math/bits": nil, "slices": nil, "strconv": nil, "strings": nil, "unicode/utf8": nil,
		// Durations, never a clock or a timer.
		"time":               {"Duration", "Hour", "Microsecond", "Millisecond", "ParseDuration"},
		"go.yaml.in/yaml/v4": nil,
		"github.com/swarmpurse/swarmpurse/ledger": nil,
	})
}
