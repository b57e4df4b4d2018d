package llm_test

import (
	"go/build"
	"slices"
	"strings"
	"testing"
)

// The proxy knows admission and the words of policy and ledger, nothing of how they work or travel;
// the parsers know less; the stand-in knows nothing of budgets at all.
func TestImports(t *testing.T) {
	const ours = "github.com/swarmpurse/swarmpurse/"
	for dir, allowed := range map[string][]string{
		".":       {"ledger", "policy", "node/admit", "node/caller", "node/llm/wire", "node/telemetry/traces"},
		"wire":    {"ledger"},
		"standin": {"node/llm"},
	} {
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range p.Imports {
			if rest, ok := strings.CutPrefix(imp, ours); ok && !slices.Contains(allowed, rest) {
				t.Errorf("%s imports %s", dir, imp)
			}
			if dir == "wire" && strings.Contains(imp, "tokenizer") {
				t.Errorf("%s imports %s, which takes minutes to compile for fuzzing", dir, imp)
			}
		}
	}
}
