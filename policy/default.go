package policy

import (
	"crypto/sha256"
	_ "embed"
	"fmt"
	"sync"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

//go:embed default.yaml
var defaultSource []byte

//go:embed starter.yaml
var starterSource []byte

// DefaultFile is the file name in positions of the built-in policy.
const DefaultFile = "built-in policy"

var defaultPolicy = sync.OnceValue(func() *Policy {
	p, err := parse(DefaultFile, defaultSource, true, false, 0, 0)
	if err != nil {
		panic(fmt.Sprintf("BUG: the built-in policy: %v", err))
	}
	return p
})

// Default is the policy of a node that was started with none: every call is admitted and counted, for
// the whole swarm and for each tenant, and nothing is capped. A new user sees real figures from the
// first call, and nothing that he did not write stops his agents. Its revision is 0, so any document
// replaces it.
func Default() *Policy { return defaultPolicy() }

// Starter is a commented document to begin with, with hard budgets. The caller must not change it.
func Starter() []byte { return starterSource }

// builtinHash tells Default's document from others, also when a peer sends it.
func builtinHash() [32]byte { return sha256.Sum256(document.Canonical(defaultSource)) }
