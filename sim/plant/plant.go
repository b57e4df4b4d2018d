// Package plant puts a known mistake into the source of this module for one build, so that a test can show that the
// checks find it: production has no hook, no branch and no tag for it. Only tests import it.
package plant

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Overlay writes what go build takes by -overlay, and returns its path: file with every first text replaced by the
// second. Each must occur once: when a rule changes so that it is gone, the test fails and says so.
func Overlay(t testing.TB, file string, edits [][2]string) string {
	t.Helper()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for _, e := range edits {
		if n := strings.Count(text, e[0]); n != 1 {
			t.Fatalf("%s has %d times\n%s\nwhich this test replaces: the rule has changed, so the bug must be put elsewhere", filepath.Base(file), n, e[0])
		}
		text = strings.Replace(text, e[0], e[1], 1)
	}
	dir := t.TempDir()
	bad, overlay := filepath.Join(dir, filepath.Base(file)), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{file: bad}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{bad: []byte(text), overlay: list} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}
