package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Policy is one parsed document. It never changes and is safe for concurrent use.
type Policy struct {
	file        string
	start       Pos // of the document
	source      []byte
	hash        [32]byte
	revision    int64
	zone        *time.Location
	guards      ledger.Guards
	audit       Audit
	rollout     *Rollout // nil: the document says nothing of one
	flags       []Flag
	experiments []*Experiment
	ignored     []string

	tokens  []*tokenType // in the order of the document, like all lists here
	classes []Class
	budgets []*Budget
	rules   []*rule
	admit   bool // what a call gets that no rule matches

	tokenBy      map[string]*tokenType
	classBy      map[string]*Class
	budgetBy     map[string]*Budget
	defaultClass *Class
	tenants      map[string]int // weights, by name

	upstreams []*Upstream
	datasets  []*dataSet

	callers     []Caller
	signers     []trust.Signer
	signersPos  Pos
	enrol       bool
	rateDomains []*RateDomain

	points bool // a token type of the name PriorityToken is declared

	reads reads // what rules and per look at: what a Key must hold
}

type tokenType struct {
	name     string
	pos      Pos
	unit     string
	unitPos  Pos
	halfLife ledger.Millis
}

// Class is a priority class. Calls that wait are served by Weight, for at most LatencyBudget.
type Class struct {
	Name          string
	Weight        int
	LatencyBudget time.Duration
	// Headroom is the part of a budget that the class leaves to better ones, in parts per million.
	Headroom int64
	// Queue bounds the calls of the class that wait at one node; 0: only the node's own bound.
	Queue int
	// Objective is the part of the class's calls that should run within LatencyBudget, in parts per million; 0: none is stated.
	Objective int64
	// Sheddable says that its calls may be shed. DeferAt and ShedAt are the levels of backpressure from which on newcomers are
	// deferred and shed, 0 for never.
	Sheddable       bool
	DeferAt, ShedAt int
	Index           int // in the order of the document

	pos Pos
}

// Budget is a policy's cap on one token type. Its instances are made by Instance.
type Budget struct {
	Name  string
	Token string // token type
	Unit  string // of the token type
	Per   []string
	Spec  ledger.Spec // of every instance; comparable
	Price float64     // the base price: what costs are multiplied by while it does not move; 1 when the policy does not say
	Pos   Pos
	// Levels are the times to exhaustion below which backpressure is at level 1, 2 and 3.
	Levels [MaxLevel]time.Duration

	// SwarmFairness says that tenants get max-min parts over the whole swarm while they ask for more than there is; else each
	// node for itself sees to them.
	SwarmFairness bool
	// Instances is how many instances of a budget with a Per calls may make; further ones are refused.
	Instances int
	// Renew is how long each instance lives, Renews whether it ends at all. After its life calls draw on another one, which begins
	// anew, and what nobody uses any more is forgotten. Windows do not reach over its ends.
	Renew  ledger.Calendar
	Renews bool
	// Alerts are the fractions of the limit, in parts per million and rising, of which operators want to hear when they are used.
	Alerts []int64
	// Low is below which part of its own limit what the provider says is left counts as a refusal, in parts per million; 0 for
	// never. Spec.Feedback says what a refusal does.
	Low int64

	Pricing Pricing
	// Size is the quantile of outputs to reserve for where the ceiling is soft, in parts per million; 1,000,000 is what calls state.
	Size           int64
	OverdraftPrice PPM // what the price is multiplied by for a call that overdraws a soft ceiling

	// Guarantees are floors of tenants, in the order of the document. Meters is set in what counts the calls of a tenant with one:
	// the budget that has it.
	Guarantees []Guarantee
	Meters     *Budget

	// Zones are those in which alone calls may run that draw on it, in the order of the document; nil for all.
	Zones []string

	pricePPM int64 // Price, exactly
	per      []attr
	index    int
}

// attr is one thing that a budget's per names.
type attr struct {
	field int    // fieldTenant …
	name  string // of the attribute, for fieldAttribute
}

const (
	fieldTenant = iota
	fieldAgent
	fieldRun
	fieldClass
	fieldModel
	fieldAttribute
)

var fieldNames = []string{"tenant", "agent", "run", "class", "model"}

type rule struct {
	name  string // or "rule 3"
	index int
	pos   Pos
	when  *expr // nil: always
	draws []draw
	stop  bool

	degrade *Degrade // nil: calls run as they are, or not at all
	route   RouteBy
	routeAt Pos
	retry   *Retry // nil: calls are tried once
}

type draw struct {
	*Terms
	pos Pos
}

// Revision is the document's number; 0 only for the policy that Default returns.
func (p *Policy) Revision() int64 { return p.revision }

// Hash is the SHA-256 of Source.
func (p *Policy) Hash() [32]byte { return p.hash }

// Source is the document in canonical form, that is with a byte order mark removed and lines ended by
// "\n". Parsing it gives the same policy with the same hash. The caller must not change it.
func (p *Policy) Source() []byte { return p.source }

// File is the name that Parse was given.
func (p *Policy) File() string { return p.file }

// Location is the time zone that windows are aligned to.
func (p *Policy) Location() *time.Location { return p.zone }

// Guards says how many guardians a node names, for how long it mints and spends without word from them.
func (p *Policy) Guards() ledger.Guards { return p.guards }

// AdmitsUnmatched reports whether a call that no rule matches is admitted.
func (p *Policy) AdmitsUnmatched() bool { return p.admit }

// Newer reports whether a replaces b: the higher revision wins, and of two documents with one
// revision the higher hash, so that all nodes agree without asking. A nil policy is older than any.
func Newer(a, b *Policy) bool {
	switch {
	case a == nil || b == nil:
		return a != nil
	case a.revision != b.revision:
		return a.revision > b.revision
	}
	return bytes.Compare(a.hash[:], b.hash[:]) > 0
}

// Classes lists the classes in the order of the document. The caller must not change it.
func (p *Policy) Classes() []Class { return p.classes }

// Class finds a class; "" is the default class.
func (p *Policy) Class(name string) (*Class, bool) {
	if name == "" {
		return p.defaultClass, true
	}
	c, ok := p.classBy[name]
	return c, ok
}

// TenantWeight is a tenant's share of what its class gets beside other tenants of that class: 1 unless the document says
// otherwise.
func (p *Policy) TenantWeight(name string) int {
	if w, ok := p.tenants[name]; ok {
		return w
	}
	return 1
}

// TenantWeights are those that the document names. The caller must not change it.
func (p *Policy) TenantWeights() map[string]int { return p.tenants }

// Budgets lists the budgets in the order of the document. The caller must not change it.
func (p *Policy) Budgets() []*Budget { return p.budgets }

// Budget finds a budget by name.
func (p *Policy) Budget(name string) (*Budget, bool) {
	b, ok := p.budgetBy[name]
	return b, ok
}

// Tokens lists the names of the token types in the order of the document.
func (p *Policy) Tokens() []string {
	list := make([]string, len(p.tokens))
	for i, t := range p.tokens {
		list[i] = t.name
	}
	return list
}

// Instance names the instance of the budget for these values of its per, in the same order. It fails
// when the number of values is wrong, one of them is empty, or they make too long a name.
func (b *Budget) Instance(charter ledger.CharterID, values []string) (ledger.InstanceID, error) {
	if len(values) != len(b.Per) {
		if len(b.Per) == 0 {
			return "", fmt.Errorf("budget %q has one instance only: give no values, not %d", b.Name, len(values))
		}
		return "", fmt.Errorf("budget %q is per %s: give %d values, not %d",
			b.Name, strings.Join(b.Per, ", "), len(b.Per), len(values))
	}
	for i, v := range values {
		if v == "" {
			return "", fmt.Errorf("budget %q is per %s: the %s is empty", b.Name, strings.Join(b.Per, ", "), b.Per[i])
		}
	}
	return ledger.NewInstanceID(charter, b.Name, b.Token, b.Spec.Kind, b.Per, values)
}

// Present names the instance of an identity, made by Instance, on which calls draw now.
func (b *Budget) Present(now ledger.Instant, id ledger.InstanceID) (ledger.InstanceID, error) {
	if !b.Renews {
		return id, nil
	}
	_, begins, ends := b.Renew.At(now)
	return id.InLife(begins, ends)
}

// lives reports whether an instance of the budget can have that identity, as far as its life goes.
func (b *Budget) lives(id ledger.InstanceID) bool {
	begins, ends, mortal := id.Life()
	if !mortal || !b.Renews {
		return mortal == b.Renews
	}
	_, from, to := b.Renew.At(begins)
	return begins == from && ends == to
}

// Personal reports whether each instance of the budget is one tenant's, agent's or run's.
func (b *Budget) Personal() bool {
	return slices.ContainsFunc(b.per, func(a attr) bool { return a.field == fieldTenant || a.field == fieldAgent || a.field == fieldRun })
}

// Resolve takes an instance's identity apart, also one that comes from a peer: it reports the budget
// and the values of its per, or false when id is not an instance of this policy under that charter.
func (p *Policy) Resolve(charter ledger.CharterID, id ledger.InstanceID) (*Budget, []string, bool) {
	name, values, _, err := id.Split()
	if err != nil {
		return nil, nil, false
	}
	b, ok := p.budgetBy[name]
	if !ok {
		return nil, nil, false
	}
	if own, err := b.Instance(charter, values); err != nil || own != id.Lifeless() || !b.lives(id) {
		return nil, nil, false
	}
	return b, values, true
}
