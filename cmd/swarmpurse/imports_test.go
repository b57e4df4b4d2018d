package main

import (
	"go/build"
	"strings"
	"testing"
)

// TestImports keeps the command line in front of the node: it never reaches into gossip or into the
// node's store and decisions.
func TestImports(t *testing.T) {
	const module = "github.com/swarmpurse/swarmpurse/"
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		inner, ours := strings.CutPrefix(path, module)
		if !ours {
			continue
		}
		for _, banned := range []string{"gossip", "ledger/placement", "node/store", "node/admit", "node/rls", "node/audit"} {
			if inner == banned || strings.HasPrefix(inner, banned+"/") {
				t.Errorf("imports %s: go through package node or its API", path)
			}
		}
	}
}
