package child

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// FuzzLog reads a log of anything: what comes out fits a terminal, and is bounded.
func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"level":"error","message":"m","part":"gossip","error":"x"}` + "\nplain\n"))
	f.Add([]byte("before\npanic: oh\n\ngoroutine 1 [running]:\nmain.main()\n"))
	f.Add([]byte("{\"level\":7,\"message\":\"\x1b[31m\"}\n\x00\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		lines := Tail(file)
		first, n := Complaints(file, "gossip")
		if len(lines) > 2*shownLines || len(first) > 3 || n < len(first) || n > strings.Count(string(b), "\n")+1 {
			t.Fatalf("%d lines, %d of %d complaints", len(lines), len(first), n)
		}
		for _, line := range append(lines, first...) {
			if len(line) > 4*maxLineShow || strings.ContainsFunc(line, unicode.IsControl) {
				t.Errorf("%q is shown", line)
			}
		}
	})
}
