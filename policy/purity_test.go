package policy

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		// Durations and zones, never a clock or a timer.
		"time": {"Duration", "Location", "LoadLocation", "ParseDuration", "UTC", "Hour", "Second", "Millisecond",
			"Parse", "DateOnly", "RFC3339"}, // of dates as documents write them
		"bytes":                              nil,
		"cmp":                                nil,
		"crypto/sha256":                      nil,
		"embed":                              nil,
		"encoding/binary":                    nil,
		"encoding/hex":                       nil,
		"encoding/json":                      nil,
		"errors":                             nil,
		"fmt":                                nil,
		"maps":                               nil,
		"math":                               nil,
		"math/bits":                          nil,
		"reflect":                            {"DeepEqual"},
		"slices":                             nil,
		"strconv":                            nil,
		"strings":                            nil,
		"sync":                               nil,
		"unicode":                            nil,
		"unicode/utf8":                       nil,
		"cel.dev/cel-go/cel":                 nil,
		"cel.dev/cel-go/common/ast":          nil,
		"cel.dev/cel-go/common/cost":         nil,
		"cel.dev/cel-go/common/decls":        nil,
		"cel.dev/cel-go/common/env":          nil,
		"cel.dev/cel-go/common/operators":    nil,
		"cel.dev/cel-go/common/stdlib":       nil,
		"cel.dev/cel-go/common/types":        nil,
		"cel.dev/cel-go/common/types/ref":    nil,
		"cel.dev/cel-go/common/types/traits": nil,
		"go.yaml.in/yaml/v4":                 nil,
		"github.com/cespare/xxhash/v2":       {"Sum64String"},
		"github.com/swarmpurse/swarmpurse/ledger":          nil,
		"github.com/swarmpurse/swarmpurse/policy/document": nil,
		"github.com/swarmpurse/swarmpurse/policy/trust":    nil,
	})
}
