//go:build !linux

package chaos

import "testing"

func TestChaos(t *testing.T) {
	t.Skip("needs Linux: every node runs in a network namespace of its own")
}
