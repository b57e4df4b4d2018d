package report

import (
	"go/build"
	"strings"
	"testing"
)

// TestImports: a report is made from results alone; it knows nothing of how a run is made.
func TestImports(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if inner, ours := strings.CutPrefix(path, "github.com/swarmpurse/swarmpurse/"); ours && inner != "sim/result" {
			t.Errorf("imports %s", path)
		}
	}
}
