package policy

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Limits on documents. They bound what a document from a peer can cost.
const (
	MaxSource    = document.MaxSource // bytes of a document
	MaxTokenType = 64                 // token types
	MaxClasses   = 64
	MaxBudgets   = 1024
	MaxRules     = 1024
	MaxDraws     = 16               // budgets that one rule draws on, and that one call draws on
	MaxPer       = 6                // attributes in one budget's per
	MaxName      = document.MaxName // bytes of a name
	MaxExpr      = 4096
	MaxWeight    = 1000
	MaxLevel     = 3                   // of backpressure
	MaxTenants   = 4096                // tenants that have a weight of their own
	MaxAlerts    = 8                   // fractions of one budget
	MaxInstances = ledger.MaxInstances // of one budget, and of all together

	MaxGuarantees = 16 // of one budget

	MaxCallers    = 4096      // keys of callers
	MaxCallerRate = 1_000_000 // requests of one key, in its rate and at once

	MaxUpstreams = 64
	MaxDataSets  = 1024 // data sets that are bound to zones
	MaxZones     = 32   // of one data set, budget or upstream
	MaxPatterns  = 256  // models, and data sets, of one upstream

	MaxRateDomains     = 64  // domains of the rate limit service
	MaxRateDescriptors = 256 // of one domain
	MaxRateKeys        = 16  // of one descriptor

	// MaxClassQueue is the most that a class's queue may say; a node's own bound is below it.
	MaxClassQueue = 1_000_000

	maxAttrs = 64 // attributes that one policy's rules may look at by name
)

// Limits on calls; Valid checks them.
const (
	MaxFieldLen     = 256 // bytes of tenant, agent, run, class, model, and of one attribute's name or a data set
	MaxAttributes   = 64
	MaxAttributeLen = 1024 // bytes of one attribute's value
	MaxData         = 256  // data sets
)

// maxExtra bounds Key.Extra in bytes: a call whose attributes are larger is matched afresh each time.
const maxExtra = 4096

// celCost bounds the evaluation of one expression, in CEL's cost units (one is about the cost of
// comparing two numbers). Parse refuses an expression that could need more for the largest call.
const celCost = 20_000
