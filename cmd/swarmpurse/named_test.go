package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameTests: a test that a document names is there, and each row of the risk register names one, or says that it has none.
func TestDocumentsNameTests(t *testing.T) {
	root := filepath.Join("..", "..")
	isTest := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	tests, docs := map[string]bool{}, map[string]string{}
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case ext != ".md" && (ext != ".go" || !strings.Contains(path, "test")):
			return nil
		}
		src, err := os.ReadFile(path)
		if ext == ".md" {
			docs[path] = string(src)
			return err
		}
		for _, m := range isTest.FindAllStringSubmatch(string(src), -1) {
			tests[m[1]] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for path, text := range docs {
		for _, name := range named.FindAllString(text, -1) {
			if !tests[name] {
				t.Errorf("%s names %s, which is nowhere", path, name)
			}
		}
	}
	_, risks, _ := strings.Cut(docs[filepath.Join(root, "node", "DESIGN.md")], "\n## Risks\n")
	risks, _, _ = strings.Cut(risks, "\n## ")
	rows := 0
	for line := range strings.Lines(risks) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(line, "| threat") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		if by := strings.TrimSpace(cells[3]); by != "–" && !named.MatchString(by) && !strings.Contains(by, "_test.go`") {
			t.Errorf("the risk %q is shown by %q: name a test, or write –", strings.TrimSpace(cells[1]), by)
		}
	}
	if rows < 30 {
		t.Errorf("the register has %d rows", rows)
	}
}
