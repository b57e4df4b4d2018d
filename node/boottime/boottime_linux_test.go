package boottime

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/needs"
)

// TestCountsSuspension: the kernel's uptime counts suspension, so a clock that agrees with it does, too.
func TestCountsSuspension(t *testing.T) {
	uptime := func() time.Duration {
		b, err := os.ReadFile("/proc/uptime")
		if err != nil {
			needs.Skip(t, err, "mount /proc")
		}
		var s float64
		if _, err := fmt.Sscan(string(b), &s); err != nil {
			t.Fatal(err)
		}
		return time.Duration(s * float64(time.Second))
	}
	const grain = 10 * time.Millisecond // of the file
	first, now, last := uptime(), Now(), uptime()
	if now < first-grain || now > last+grain {
		t.Errorf("%v, and the machine is up for %v to %v", now, first, last)
	}
}
