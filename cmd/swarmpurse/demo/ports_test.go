package demo

import (
	"strings"
	"testing"
)

func TestFreePorts(t *testing.T) {
	addrs, err := FreePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addrs {
		if !strings.HasPrefix(a, "127.0.0.1:") || seen[a] {
			t.Errorf("addresses %v", addrs)
		}
		seen[a] = true
	}
}
