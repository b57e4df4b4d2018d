package policy

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// allowedImports is everything that this package may import directly. What is not here (os, net, a
// logger, a random source, other packages of ours) would make it impure or turn the imports around.
var allowedImports = []string{
	"bytes", "cmp", "crypto/sha256", "embed", "encoding/binary", "encoding/json", "errors", "fmt", "maps", "math",
	"math/bits", "slices", "strconv", "strings", "sync", "time", "unicode", "unicode/utf8",
	"cel.dev/cel-go/cel",
	"cel.dev/cel-go/common/ast", "cel.dev/cel-go/common/cost", "cel.dev/cel-go/common/decls",
	"cel.dev/cel-go/common/env", "cel.dev/cel-go/common/operators", "cel.dev/cel-go/common/stdlib",
	"cel.dev/cel-go/common/types", "cel.dev/cel-go/common/types/ref", "cel.dev/cel-go/common/types/traits",
	"go.yaml.in/yaml/v4",
	"github.com/swarmpurse/swarmpurse/ledger",
}

// allowedTime is what may be used of package time: durations and zones, never a clock or a timer.
var allowedTime = []string{
	"Duration", "Location", "LoadLocation", "ParseDuration", "UTC", "Hour", "Second", "Millisecond",
}

func TestPurity(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pkg.Imports {
		if !slices.Contains(allowedImports, path) {
			t.Errorf("imports %q, which is not on the list of allowed imports", path)
		}
	}
	files := token.NewFileSet()
	for _, name := range pkg.GoFiles {
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: starts a goroutine", files.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && !slices.Contains(allowedTime, n.Sel.Name) {
					t.Errorf("%s: time.%s is not allowed", files.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}
