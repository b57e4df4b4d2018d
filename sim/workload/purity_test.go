package workload

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "embed": nil, "encoding/csv": nil, "errors": nil, "fmt": nil, "io": nil, "math": nil, "slices": nil,
		"sort": nil, "strconv": nil, "strings": nil, "unicode": nil, "unicode/utf8": nil,
		"math/rand/v2": {"Rand", "New", "NewPCG"}, // from a seed
		"sync":         {"OnceValue"},
		// Durations and written times, never a clock or a timer.
		"time": {"DateTime", "Duration", "Hour", "Millisecond", "Parse", "RFC3339", "Second", "Time", "Unix"},
		"github.com/swarmpurse/swarmpurse/ledger": {"Millis"},
	})
}
