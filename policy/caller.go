package policy

import (
	"slices"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Caller is what a caller's key stands for: who calls with it, and what it may do.
type Caller struct {
	Name string   // what logs, metrics and records call the key
	Key  [32]byte // its SHA-256
	// Tenant is the only one that its calls are made for, and whose budgets and decisions it sees; "" makes no calls.
	Tenant   string
	Agent    string         // its calls are this agent's; "": of the one that they name
	Classes  []string       // those that its calls may have, its default first; nil for all
	Operator bool           // it sees and does all that operators may
	Expires  ledger.Instant // 0: never
	// Per and Period are how many requests it may make in how long at one node, Burst how many at once; Per 0: as many as come.
	Per    int64
	Period time.Duration
	Burst  int64
	// Concurrency is how many of its requests one node answers at a time; 0: as many as come.
	Concurrency int

	pos Pos
}

// Lifts reports whether calls of a class may run a class better for points.
func (p *Policy) Lifts(c *Caller, class string) bool {
	if len(c.Classes) == 0 {
		return true
	}
	named, ok := p.Class(class)
	if !ok {
		return false
	}
	up := p.better(named)
	return up != nil && slices.Contains(c.Classes, up.Name)
}

// KeyPrefix marks a caller's key.
const KeyPrefix = "sp_"

// KeyHash is what stands before the hash of a key in a document, in hexadecimal.
const KeyHash = "sha256:"

// Callers lists who may call from elsewhere, in the order of the document. The caller must not change it.
func (p *Policy) Callers() []Caller { return p.callers }

func sameCallers(a, b []Caller) bool {
	return slices.EqualFunc(a, b, func(x, y Caller) bool {
		classes := slices.Equal(x.Classes, y.Classes)
		return classes && x.Name == y.Name && x.Key == y.Key && x.Tenant == y.Tenant && x.Agent == y.Agent && x.Operator == y.Operator &&
			x.Expires == y.Expires && x.Per == y.Per && x.Period == y.Period && x.Burst == y.Burst && x.Concurrency == y.Concurrency
	})
}

// checkCallers looks for keys with which nothing can be done, and for calls that no key could make.
func (p *Policy) checkCallers(warn func(Pos, string, ...any)) {
	operators := 0
	for i := range p.callers {
		c := &p.callers[i]
		if c.Operator {
			operators++
		}
		for _, class := range c.Classes {
			if _, ok := p.classBy[class]; !ok {
				warn(c.pos, "caller %q may use class %q, and there is none of that name", c.Name, class)
			}
		}
		if c.Tenant == "" && (len(c.Classes) > 0 || c.Agent != "") {
			warn(c.pos, "caller %q has no tenant, so it makes no calls, and its classes and agent do nothing", c.Name)
		}
	}
	if len(p.callers) > 0 && operators == 0 {
		warn(p.callers[0].pos, "no caller is an operator: policies can then be changed on a node's own machine only")
	}
}

// Rate writes how often the key may be used: "50/s"; "" without a limit.
func (c *Caller) Rate() string {
	for _, u := range rateUnits {
		if c.Per > 0 && time.Duration(u.millis)*time.Millisecond == c.Period {
			return strconv.FormatInt(c.Per, 10) + "/" + u.name
		}
	}
	return ""
}
