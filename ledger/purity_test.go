package ledger_test

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "crypto/sha256": nil, "encoding/binary": nil, "encoding/hex": nil, "errors": nil,
		"fmt": nil, "iter": {"Seq"}, "maps": nil, "math": nil, "math/bits": nil, "net/url": {"PathEscape", "PathUnescape"}, "slices": nil, "sort": nil, "strconv": nil,
		"strings": nil, "sync": nil,
		"math/rand/v2": {"Rand"}, // the caller's
		// Calendars, never a clock or a timer.
		"time": {"Date", "Location", "Month", "Time", "UTC", "Unix", "UnixMilli", "Duration", "Millisecond"},
		"github.com/swarmpurse/swarmpurse/ledger/guardian": nil,
		"github.com/cespare/xxhash/v2":                     {"Sum64", "Sum64String"},
		"github.com/vmihailenco/msgpack/v5":                nil,
	})
}
