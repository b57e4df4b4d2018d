package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/zip"
)

// TestGoInstall holds the tree to what `go install …@version` asks of a module: no directives that it refuses, and no file that a module cannot have.
func TestGoInstall(t *testing.T) {
	root := filepath.Join("..", "..")
	src, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", src, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace)+len(mod.Exclude) > 0 {
		t.Errorf("go.mod has %d replace and %d exclude directives: go install …@version refuses it", len(mod.Replace), len(mod.Exclude))
	}
	files, err := zip.CheckDir(root)
	for _, f := range files.Invalid {
		if !strings.HasPrefix(f.Path, "bin/") && !strings.HasPrefix(f.Path, "demo-out/") { // what make makes
			t.Errorf("a module cannot have %s: %v", f.Path, f.Err)
		}
	}
	if len(files.Valid) == 0 {
		t.Errorf("there are no files: %v", err)
	}
}
