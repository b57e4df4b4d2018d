// Package needs gives tests what they need of the machine, and says what is missing where it cannot: a test skips then, but in CI, where SWARMPURSE_CI is set, it
// fails. For tests only.
package needs

import (
	"os"
	"testing"
)

// Skip ends a test that cannot run here. advice says what would let it.
func Skip(t testing.TB, why any, advice string) {
	t.Helper()
	if os.Getenv("SWARMPURSE_CI") != "" {
		t.Fatalf("%v: in CI nothing is left out: %s", why, advice)
	}
	t.Skipf("%v: %s", why, advice)
}
