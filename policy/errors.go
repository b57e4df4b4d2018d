package policy

import (
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// What Parse says of mistakes.
type (
	Pos    = document.Pos
	Error  = document.Error
	Errors = document.Errors
)

// MaxErrors bounds how many mistakes of one document are reported; the rest is only counted.
const MaxErrors = document.MaxErrors

// CallError is a mistake of the caller: a class that does not exist, a missing tenant, a negative
// number. The message names the field and what to do. The same call would fail again.
type CallError struct {
	Field   string // of the call: "class", "tenant", "attributes.team", "prompt_tokens", …
	Message string
}

func (e *CallError) Error() string { return e.Message }

// RuleError is a rule that could not be evaluated for a call, such as one that looks at an attribute
// that the call does not have. Nothing was matched or priced: a rule that fails, fails closed.
type RuleError struct {
	Pos  Pos    // of the expression
	Rule string // its name, or "rule 3"
	Part string // "when", or "cost of compute"
	Err  error
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("rule %s (%s), %s: %v", quoteRule(e.Rule), e.Pos, e.Part, e.Err)
}

func (e *RuleError) Unwrap() error { return e.Err }

// quoteRule quotes names, but not the numbers that stand for them.
func quoteRule(name string) string {
	if n, ok := strings.CutPrefix(name, "rule "); ok {
		return n
	}
	return fmt.Sprintf("%q", name)
}
