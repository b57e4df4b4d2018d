package gossip

import (
	"go/build"
	"strings"
	"testing"
)

// The pool carries bytes that it does not understand, so it needs nothing of ours; and it is the one
// place where serf and memberlist are imported.
func TestImports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"github.com/hashicorp/memberlist":                true,
		"github.com/hashicorp/serf/serf":                 true,
		"github.com/hashicorp/golang-lru/v2":             true,
		"github.com/prometheus/client_golang/prometheus": true,
		"github.com/rs/zerolog":                          true,
		"github.com/vmihailenco/msgpack/v5":              true,
		"golang.org/x/time/rate":                         true,
	}
	for _, imp := range pkg.Imports {
		first, _, _ := strings.Cut(imp, "/")
		if strings.Contains(first, ".") && !allowed[imp] {
			t.Errorf("gossip imports %s", imp)
		}
		if strings.HasPrefix(imp, "net/http") {
			t.Errorf("gossip imports %s: HTTP belongs to node", imp)
		}
	}
}
