package placement

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// allowed is all that this package may import. Without time, math/rand and sync it can have neither a clock
// nor dice of its own.
var allowed = map[string]bool{
	"cmp": true, "math": true, "math/bits": true, "slices": true,
	"github.com/swarmpurse/swarmpurse/ledger": true,
}

func TestPurity(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	for _, name := range pkg.GoFiles {
		f, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); !allowed[path] {
				t.Errorf("%s: imports %s, which is not on the list of allowed imports", name, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: starts a goroutine", files.Position(n.Pos()))
			case *ast.MapType:
				t.Errorf("%s: a map, whose order could show", files.Position(n.Pos()))
			}
			return true
		})
	}
}
