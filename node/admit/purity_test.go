package admit

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// allowed is what each import may be used for; nil is all of it. What is not here (os, net, a logger, other
// packages of ours) would make the package impure or turn the imports around.
var allowed = map[string][]string{
	"context":         {"Context"}, // in an interface that the node implements
	"encoding/base32": nil, "encoding/binary": nil, "errors": nil, "fmt": nil, "slices": nil, "strings": nil,
	"math/bits": nil, "sync": nil, "sync/atomic": nil,
	"hash/maphash": {"MakeSeed", "Seed", "String"}, // decides where a plan is stored, which never shows
	"math/rand/v2": {"Rand"},                       // the caller's
	"time":         {"Duration", "Millisecond", "Second", "Minute", "Hour"},
	"github.com/swarmpurse/swarmpurse/ledger": nil,
	"github.com/swarmpurse/swarmpurse/policy": nil,
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
		uses := map[string][]string{}
		for _, spec := range f.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			names, ok := allowed[path]
			if !ok || spec.Name != nil {
				t.Errorf("%s: imports %s, which is not on the list of allowed imports", name, path)
			}
			if names == nil {
				continue
			}
			base := path[strings.LastIndexByte(path, '/')+1:]
			if path == "math/rand/v2" {
				base = "rand"
			}
			uses[base] = names
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: starts a goroutine", files.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil {
					if names, ok := uses[x.Name]; ok && !slices.Contains(names, n.Sel.Name) {
						t.Errorf("%s: %s.%s is not allowed", files.Position(n.Pos()), x.Name, n.Sel.Name)
					}
				}
			}
			return true
		})
	}
}
