package explore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// bug is a known mistake in what package ledger and its guardians do. Those of one test are put into one build, each
// behind a number that the environment of that build chooses; each text occurs once, and N in its replacement is the
// number.
type bug struct {
	name  string
	file  string // of package ledger
	edits [][2]string
	test  string // that finds it
	scope string // where it is found
	depth int    // after so many actions
	by    judge.Invariant
}

// findsAll sees a test find each known bug, unless the bug names another, with the promise that it breaks, after the
// fewest actions with which it can be found.
func findsAll(t *testing.T, bugs []bug, test string) {
	t.Parallel()
	if testing.Short() {
		t.Skip("only without -short: they are built and searched for apart")
	}
	binary := buildPlanted(t, bugs)
	for i, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test := cmp.Or(b.test, test)
			run := exec.Command(binary, "-test.v", "-test.run", "^"+test+"$/^"+b.scope+"$", "-explore.depth", fmt.Sprint(b.depth))
			run.Env = append(os.Environ(), fmt.Sprintf("PLANTED_BUG=%d", i+1))
			out, err := run.CombinedOutput()
			if err == nil {
				t.Fatalf("not found in scope %s within %d actions:\n%s", b.scope, b.depth, out)
			}
			found := regexp.MustCompile(`after (\d+) actions\s+` + regexp.QuoteMeta(string(b.by))).FindSubmatch(out)
			if found == nil || string(found[1]) != fmt.Sprint(b.depth) {
				t.Fatalf("found, but not as %q after %d actions:\n%s", b.by, b.depth, out)
			}
			t.Logf("found: %s", regexp.MustCompile(`all paths.*distinct`).Find(out))
		})
	}
}

// buildPlanted builds this test with bugs in package ledger, which only that build sees.
func buildPlanted(t *testing.T, bugs []bug) string {
	dir := t.TempDir()
	ledger, err := filepath.Abs(filepath.Join("..", "..", "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for i, b := range bugs {
		if texts[b.file] == "" {
			text, err := os.ReadFile(filepath.Join(ledger, b.file))
			if err != nil {
				t.Fatal(err)
			}
			texts[b.file] = string(text)
		}
		for _, e := range b.edits {
			if n := strings.Count(texts[b.file], e[0]); n != 1 {
				t.Fatalf("%s: %s has %d times\n%s\nwhich this test replaces: the rule has changed, so the bug must be put elsewhere", b.name, b.file, n, e[0])
			}
			texts[b.file] = strings.Replace(texts[b.file], e[0], strings.ReplaceAll(e[1], "planted != N", fmt.Sprintf("planted != %d", i+1)), 1)
			texts[b.file] = strings.ReplaceAll(texts[b.file], "planted == N", fmt.Sprintf("planted == %d", i+1))
		}
	}
	const which = "import (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar planted, _ = strconv.Atoi(os.Getenv(\"PLANTED_BUG\"))\n"
	texts["guardian/planted.go"] = "package guardian\n\n" + which
	texts["planted.go"] = "package ledger\n\n" + which
	replace := map[string]string{}
	for file, text := range texts {
		patched := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(patched, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(ledger, file)] = patched
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "planted.test")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("the bugs do not compile: %v\n%s", err, out)
	}
	return binary
}
