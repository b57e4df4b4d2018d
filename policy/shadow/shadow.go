package shadow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Draw is what the stable decision drew, or would have drawn, on one instance.
type Draw struct {
	Instance string // "tenant-day/search"
	Amount   ledger.Tokens
	Price    policy.PPM
	Left     int64 // of its limit in the swarm, in parts per million, as far as the node knew
	// Budget is the stable revision's, nil if it is not told; Room what was left of it in the swarm before the call, -1 if the node did not know.
	Budget *policy.Budget
	Room   ledger.Tokens
}

// Seen is a decision of the stable revision.
type Seen struct {
	Call  *policy.Call // as it came
	Fixed bool         // it could not be made cheaper
	Zone  string       // of the node

	Admitted bool
	Code     string
	// OfPolicy says that the code is the policy's doing, so that another one may decide otherwise, Short that it is for want of rights of
	// Instance, of which Remaining were left in reach. Of other refusals the candidate would have had its part, too.
	OfPolicy, Short bool
	Instance        string
	Remaining       ledger.Tokens
	Level           int // of backpressure
	// Instead says that it ran cheaper because it would else have been refused, Unlifted that it could not pay for its better class.
	Instead, Unlifted bool

	Plan  *policy.Plan // nil if it was refused before it was matched
	Model string       // that it ran with, or would have
	Most  int64        // tokens of output, as far as the plan says; 0 for what the call states
	Draws []Draw

	Upstream string                             // to which it went, or by whose budgets it was refused; "" for none
	Known    func(*policy.Upstream) policy.Seen // what the node knows of an upstream; nil for nothing
}

// Kinds of differences, in the order in which they are shown and counted. Append only.
const (
	Decision = iota // admitted by one, refused by the other
	Class
	Rules
	Draws  // other instances are drawn on
	Amount // other amounts are reserved
	Model  // it runs with another model, or another limit of output
	Route  // it may go to other upstreams
	Flags
	numKinds
)

var kinds = [numKinds]string{"decision", "class", "rules", "draws", "amount", "model", "route", "flags"}

// Kinds lists the names of kinds.
func Kinds() []string { return kinds[:] }

// Difference is one thing that the candidate would have decided otherwise.
type Difference struct {
	Kind              int
	Stable, Candidate string
}

// Name is that of its kind.
func (d *Difference) Name() string { return kinds[d.Kind] }

// Result is what came of one comparison.
type Result struct {
	Differences []Difference
	// Admitted says whether the candidate would have admitted the call. It is Assumed where the candidate needs rights of which the stable
	// decision does not tell whether they are there: then it is taken that they are.
	Admitted, Assumed bool
}

// maxPlans bounds the plans that an Evaluator keeps.
const maxPlans = 4096

// Evaluator compares. It has one owner.
type Evaluator struct {
	policy *policy.Policy
	plans  map[policy.Key]*policy.Plan
}

// New makes one for a candidate.
func New(p *policy.Policy) *Evaluator {
	return &Evaluator{policy: p, plans: map[policy.Key]*policy.Plan{}}
}

func (e *Evaluator) plan(c *policy.Call) (*policy.Plan, error) {
	key, ok := e.policy.Key(c)
	if ok {
		if p := e.plans[key]; p != nil {
			return p, e.policy.Valid(c)
		}
	}
	p, err := e.policy.Match(c)
	if err == nil && ok {
		if len(e.plans) == maxPlans {
			clear(e.plans)
		}
		e.plans[key] = p
	}
	return p, err
}

// Instance names what a draw is on, but for its life.
func Instance(d *policy.Draw) string {
	return strings.Join(append([]string{d.Budget.Name}, d.Values...), "/")
}

func (s *Seen) draw(instance string) *Draw {
	for i := range s.Draws {
		if s.Draws[i].Instance == instance {
			return &s.Draws[i]
		}
	}
	return nil
}

// would is what the candidate would have decided.
type would struct {
	refused string // code and reason, "" if it is admitted
	assumed bool
	plan    *policy.Plan
	call    policy.Call
	most    int64
	draws   []Draw
	// upstream is the one to which the call would go, "" where that makes no difference to what it draws on.
	upstream string
}

// Look compares the candidate's decision on a call with the stable one's.
func (e *Evaluator) Look(s *Seen) Result {
	w := e.decide(s)
	r := Result{Admitted: w.refused == "", Assumed: w.assumed}
	differ := func(kind int, stable, candidate string) {
		if stable != candidate {
			r.Differences = append(r.Differences, Difference{kind, stable, candidate})
		}
	}
	if s.Admitted != r.Admitted {
		was := "admitted"
		if !s.Admitted {
			was = "refused: " + s.Code
		}
		would := "admitted"
		switch {
		case !r.Admitted:
			would = "refused: " + w.refused
		case r.Assumed:
			would = "admitted, if its budgets have the rights"
		}
		differ(Decision, was, would)
	}
	if s.Plan == nil || w.plan == nil {
		return r
	}
	differ(Class, s.Plan.Class.Name, w.plan.Class.Name)
	differ(Rules, list(s.Plan.Rules), list(w.plan.Rules))
	differ(Draws, instances(s.Draws), instances(w.draws))
	for i := range w.draws {
		if d := s.draw(w.draws[i].Instance); d != nil && d.Amount != w.draws[i].Amount {
			differ(Amount, fmt.Sprintf("%d of %s", d.Amount, d.Instance), fmt.Sprintf("%d of %s", w.draws[i].Amount, w.draws[i].Instance))
			break // one says enough
		}
	}
	differ(Model, model(s.Model, s.Most), model(w.call.Model, w.most))
	differ(Route, route(s.Plan), route(w.plan))
	if s.Admitted && r.Admitted && s.Upstream != "" && w.upstream != "" && route(s.Plan) == route(w.plan) {
		differ(Route, s.Upstream, w.upstream)
	}
	differ(Flags, list(s.Plan.Flags), list(w.plan.Flags))
	return r
}

// decide evaluates the candidate with the rights and prices that the stable decision saw.
func (e *Evaluator) decide(s *Seen) (w would) {
	w.call = *s.Call
	w.call.Fixed = w.call.Fixed || s.Fixed
	var err error
	if w.plan, err = e.plan(&w.call); err != nil {
		w.plan, w.refused = nil, "invalid: "+err.Error()
		return w
	}
	flags := w.plan.Flags
	if a := w.plan.Arm; a != nil {
		a.Apply(&w.call)
		w.most = a.MaxOutput
	}
	e.degrade(s, &w)
	if !slices.Equal(flags, w.plan.Flags) { // those of the call as it came count
		p := *w.plan
		p.Flags = flags
		w.plan = &p
	}
	p := w.plan
	if w.refused = e.refuses(s, p); w.refused != "" {
		return w
	}
	if p.Sites == nil {
		w.draws, w.assumed, w.refused = draw(s, p, &w.call)
	} else {
		e.send(s, &w)
	}
	if w.refused == "" && !s.Admitted && !s.OfPolicy && !s.Short {
		w.refused = s.Code // it is the node's own state
	}
	w.assumed = w.assumed && w.refused == ""
	return w
}

// draw is what a call would draw by a plan: whether that rests on rights of which nothing is known, and why it would be refused, "" if it would not.
func draw(s *Seen, p *policy.Plan, c *policy.Call) (draws []Draw, assumed bool, refused string) {
	for i := range p.Draws {
		d := &p.Draws[i]
		x := Draw{Instance: Instance(d), Price: d.Base()}
		seen := s.draw(x.Instance)
		if seen != nil && d.Budget.Pricing.Mode != policy.FixedPrice {
			x.Price = seen.Price
		}
		var err error
		if x.Amount, _, err = d.AmountAt(c, x.Price); err != nil {
			return draws, false, "invalid: " + err.Error()
		}
		draws = append(draws, x)
		switch spec := &d.Budget.Spec; {
		case spec.Ceiling == ledger.Observe:
		case x.Amount > spec.Amount && spec.Ceiling == ledger.Hard:
			refused = fmt.Sprintf("exceeds_limit: %d of %s", x.Amount, x.Instance)
		case s.Short && x.Instance == s.Instance:
			left := s.Remaining
			if seen.stock(d.Budget) {
				left += spec.Amount - seen.Budget.Spec.Amount
			}
			if x.Amount > left {
				refused = fmt.Sprintf("%s: %d of %s, %d left", s.Code, x.Amount, x.Instance, max(0, left))
			}
		case seen.stock(d.Budget) && seen.Room >= 0:
			if left := seen.Room + spec.Amount - seen.Budget.Spec.Amount; x.Amount > left {
				refused = fmt.Sprintf("budget_exhausted: %d of %s, %d left of its %d", x.Amount, x.Instance, max(0, left), spec.Amount)
			}
		case seen == nil || x.Amount > seen.Amount || !s.Admitted:
			assumed = true
		}
	}
	return draws, assumed, refused
}

// stock reports whether what was seen of an instance tells how much would be left of it under the candidate's budget: both are hard, and of the
// same grant or window, so that only the limit may be another. What a rate brings in and an overdraft allows, it does not tell.
func (d *Draw) stock(b *policy.Budget) bool {
	if d == nil || d.Budget == nil {
		return false
	}
	was, is := &d.Budget.Spec, &b.Spec
	return was.Kind == is.Kind && (is.Kind == ledger.Grant || is.Kind == ledger.Windowed) && was.Ceiling == ledger.Hard && is.Ceiling == ledger.Hard && was.Calendar == is.Calendar
}

// degrade makes the call cheaper where less is left of a budget than a rule says, as the stable decision saw it.
func (e *Evaluator) degrade(s *Seen, w *would) {
	if w.call.Fixed {
		return
	}
	for i := range w.plan.Degrades {
		g := &w.plan.Degrades[i]
		for j := range w.plan.Draws {
			d := s.draw(Instance(&w.plan.Draws[j]))
			if !g.Watches(j) || !g.Unlift && !s.Instead && (d == nil || d.Left >= g.Below) || g.Unlift && !s.Unlifted {
				continue
			}
			cheaper := w.call
			cheaper.Fixed = true
			if !g.Apply(&cheaper) {
				continue
			}
			if p, err := e.plan(&cheaper); err == nil && p.Admit {
				w.plan, w.call = p, cheaper
				if g.MaxOutput > 0 {
					w.most = g.MaxOutput
				}
			}
			return
		}
	}
}

// refuses says why the candidate would refuse a call whatever its budgets have, "" if it would not.
func (e *Evaluator) refuses(s *Seen, p *policy.Plan) string {
	switch {
	case !p.Admit:
		return "no_rule"
	case p.Place != nil && !p.Place.Holds(s.Zone):
		return "locality: bound by " + p.Place.Why
	case p.Route != nil && len(p.Route.Upstreams) == 0:
		return "no_upstream: " + p.Route.Why
	case p.Class.ShedAt > 0 && s.Level >= p.Class.ShedAt:
		return "shed"
	case p.Class.DeferAt > 0 && s.Level >= p.Class.DeferAt:
		return "backpressure"
	}
	return ""
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func instances(ds []Draw) string {
	names := make([]string, len(ds))
	for i := range ds {
		names[i] = ds[i].Instance
	}
	slices.Sort(names)
	return list(names)
}

func model(name string, most int64) string {
	if most == 0 {
		return name
	}
	return fmt.Sprintf("%s, at most %d tokens of output", name, most)
}

func route(p *policy.Plan) string {
	if p.Route == nil {
		return "none"
	}
	names := make([]string, len(p.Route.Upstreams))
	for i, u := range p.Route.Upstreams {
		names[i] = u.Name
	}
	return list(names)
}

// Counts are what comparisons came to. They only grow.
type Counts struct {
	Compared, Differ, Assumed, Dropped float64
	Stricter, Looser                   float64 // refused, or admitted, by the candidate alone
	Kinds                              [numKinds]float64
}

// Add takes a result in.
func (c *Counts) Add(s *Seen, r *Result) {
	c.Compared++
	if r.Assumed {
		c.Assumed++
	}
	if len(r.Differences) > 0 {
		c.Differ++
	}
	for i := range r.Differences {
		c.Kinds[r.Differences[i].Kind]++
	}
	switch {
	case s.Admitted && !r.Admitted:
		c.Stricter++
	case !s.Admitted && r.Admitted:
		c.Looser++
	}
}

// Values writes counts as sums that nodes merge.
func (c *Counts) Values() []float64 {
	return append([]float64{c.Compared, c.Differ, c.Assumed, c.Dropped, c.Stricter, c.Looser}, c.Kinds[:]...)
}

// CountsOf reads what Values wrote; what is missing is 0.
func CountsOf(values []float64) (c Counts) {
	for i, to := range []*float64{&c.Compared, &c.Differ, &c.Assumed, &c.Dropped, &c.Stricter, &c.Looser} {
		if i < len(values) {
			*to = values[i]
		}
	}
	if len(values) > 6 {
		copy(c.Kinds[:], values[6:])
	}
	return c
}
