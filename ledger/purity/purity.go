// Package purity holds the pure packages to their word: time and chance are arguments, and nothing is
// logged, awaited or started. Only tests import it.
package purity

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// Allowed says what each import may be used for; nil is all of it. What is not in it (os, net, a logger,
// other packages of ours) would make a package impure, or turn the imports around.
type Allowed map[string][]string

// Check fails the test if the package in the present directory imports or uses what is not allowed, or
// starts a goroutine. Banning packages that are imported indirectly cannot work: fmt needs os.
func Check(t *testing.T, allowed Allowed) {
	t.Helper()
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
			switch {
			case !ok:
				t.Errorf("%s: imports %s, which is not on the list of allowed imports", name, path)
			case names != nil && spec.Name != nil:
				t.Errorf("%s: imports %s under another name, which hides what is used of it", name, path)
			case names != nil:
				uses[base(path)] = names
			}
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

// base is the name that an import path is used by.
func base(path string) string {
	parts := strings.Split(path, "/")
	last := parts[len(parts)-1]
	if len(parts) > 1 && len(last) > 1 && last[0] == 'v' && last[1] >= '2' && last[1] <= '9' {
		last = parts[len(parts)-2]
	}
	return last
}
