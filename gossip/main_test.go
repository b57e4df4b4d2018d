package gossip

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run when pools that were closed have left goroutines behind: ours, serf's or
// memberlist's.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftovers(); left != "" {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftovers waits for goroutines that end by themselves (probes, timers) and returns the others.
func leftovers() string {
	deadline := time.Now().Add(patience)
	for {
		buf := make([]byte, 4<<20)
		var left []string
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, "TestMain") || strings.Contains(g, "testing.(*M)") {
				continue
			}
			if strings.Contains(g, "/hashicorp/") || strings.Contains(g, "swarmpurse/gossip") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return ""
		}
		if time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
