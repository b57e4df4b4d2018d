package policy

import "github.com/swarmpurse/swarmpurse/ledger"

// Call describes one inference call as its caller states it: what rules match on and what costs are
// computed from. It is passed by pointer and never changed by this package.
type Call struct {
	Tenant string
	Agent  string
	Run    string
	Class  string // "" is the policy's first class that says `default: true`, else its first class
	Model  string

	// Priority asks for one class better, paid in points: see PriorityToken.
	Priority bool

	// Fixed says that the call runs as it is, or not at all: it takes part in no experiment.
	Fixed bool

	PromptTokens    int64
	MaxOutputTokens int64

	// Tokens states amounts outright, by token type; where a type is named here the rule's cost for
	// that type is not computed. At most MaxStatedTokens entries.
	Tokens []Amount

	Data       []string          // data sets that the call reads
	Attributes map[string]string // anything else that rules may look at
}

// Amount is a number of tokens of one type.
type Amount struct {
	Token  string
	Amount ledger.Tokens
}

// MaxStatedTokens bounds Call.Tokens.
const MaxStatedTokens = 16
