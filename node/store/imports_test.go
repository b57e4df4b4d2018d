package store

import (
	"go/build"
	"strings"
	"testing"
)

// TestImports: the store knows bytes, not accounts, so it imports nothing of ours.
func TestImports(t *testing.T) {
	p, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"github.com/rs/zerolog": true, "go.etcd.io/bbolt": true, "go.etcd.io/bbolt/errors": true}
	for _, i := range p.Imports {
		if strings.Contains(strings.Split(i, "/")[0], ".") && !allowed[i] || strings.HasPrefix(i, "net") {
			t.Errorf("imports %s", i)
		}
	}
}
