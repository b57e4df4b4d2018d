package policy

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// ParseAmount reads an amount of tokens as documents and commands write it: see document.ParseAmount.
func ParseAmount(s string) (ledger.Tokens, error) { return document.ParseAmount(s) }

// MaxDuration bounds every duration of a document.
const MaxDuration = document.MaxDuration

// ParseDuration reads a duration as documents and commands write it: see document.ParseDuration.
func ParseDuration(s string) (time.Duration, error) { return document.ParseDuration(s) }
