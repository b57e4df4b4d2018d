package explore

import (
	"os"
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/hugepage"
)

// TestMain: a search jumps about in gigabytes of states.
func TestMain(m *testing.M) {
	hugepage.Heap(4 << 30)
	os.Exit(m.Run())
}
