package policy

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Upstream is where calls may run: a provider, or a local model. It never changes.
type Upstream struct {
	Name  string
	Zones []string // in which it may run a call; nil: anywhere
	// Price is in micro-units of money per million tokens; only if Priced.
	Price  Direction
	Priced bool
	// Latency is how long it takes to begin its answer, as stated; 0 if it is not.
	Latency time.Duration
	Index   int // in the order of the document

	drawn        *rule // what calls draw on that go there; nil for nothing
	models, data []pattern
	classes      []string
	pos          Pos
}

// Direction is an amount for each direction of tokens.
type Direction struct{ Input, Output int64 }

// Cost is what a call of so many tokens takes at the upstream, in micro-units of money, rounded up and at most MaxInt64; 0 where it states no price.
func (u *Upstream) Cost(prompt, output int64) int64 {
	hi, lo := u.cost(prompt, output)
	lo, carry := bits.Add64(lo, million-1, 0)
	if hi += carry; hi >= million {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, million)
	return int64(min(q, 1<<63-1))
}

// cost is Cost times a million, exactly.
func (u *Upstream) cost(prompt, output int64) (hi, lo uint64) {
	h1, l1 := bits.Mul64(uint64(max(0, prompt)), uint64(u.Price.Input))
	h2, l2 := bits.Mul64(uint64(max(0, output)), uint64(u.Price.Output))
	lo, carry := bits.Add64(l1, l2, 0)
	return h1 + h2 + carry, lo
}

// inside reports whether all that the upstream does with a call it does in the place.
func (u *Upstream) inside(p *Place) bool {
	return p == nil || len(u.Zones) > 0 && !slices.ContainsFunc(u.Zones, func(z string) bool { return !slices.Contains(p.Zones, z) })
}

// RouteBy says which of the upstreams that may take a call it goes to.
type RouteBy uint8

const (
	InOrder    RouteBy = iota // the first
	ByPrice                   // the cheapest for what the call states
	ByLatency                 // the fastest
	ByLocality                // one in the node's own zone
)

var routeWords = []string{"order", "price", "latency", "locality"}

func (b RouteBy) String() string { return routeWords[b] }

// Route is where the calls of a plan may be sent.
type Route struct {
	By        RouteBy
	Upstreams []*Upstream // that may take them, in the order of the document
	Why       string      // why there are none
}

// Upstreams lists the upstreams in the order of the document. The caller must not change it.
func (p *Policy) Upstreams() []*Upstream { return p.upstreams }

// Placed reports whether the policy says anything of where calls may run.
func (p *Policy) Placed() bool {
	return len(p.upstreams) > 0 || len(p.datasets) > 0 || slices.ContainsFunc(p.budgets, func(b *Budget) bool { return b.Zones != nil })
}

// route finds the upstreams that may take the calls of a plan. The class is that in which they run, the place is known.
func (plan *Plan) route(c *Call, by RouteBy) {
	p := plan.Policy
	if len(p.upstreams) == 0 {
		return
	}
	r := &Route{By: by}
	plan.Route = r
	outside := []string{}
	for _, u := range p.upstreams {
		switch {
		case c.Model != "" && !fitsAny(u.models, c.Model):
		case len(u.classes) > 0 && !slices.Contains(u.classes, plan.Class.Name):
		case slices.ContainsFunc(c.Data, func(name string) bool { return !fitsAny(u.data, name) }):
		case !u.inside(plan.Place):
			outside = append(outside, u.Name)
		default:
			r.Upstreams = append(r.Upstreams, u)
		}
	}
	switch {
	case len(r.Upstreams) > 0:
	case len(outside) > 0:
		r.Why = fmt.Sprintf("the call is bound by %s, and %s may run it elsewhere: declare an upstream all of whose zones are among those", plan.Place.Why, strings.Join(outside, ", "))
	default:
		r.Why = fmt.Sprintf("no upstream of the policy takes calls of class %q", plan.Class.Name)
		if c.Model != "" {
			r.Why += fmt.Sprintf(" for model %q", document.Clip(c.Model))
		}
		if len(c.Data) > 0 {
			r.Why += fmt.Sprintf(" with data set %q", document.Clip(strings.Join(c.Data, ", ")))
		}
		r.Why += ": see models, classes and data of its upstreams"
	}
}

// sites makes the plans of calls by the upstreams that they go to, where those have budgets. Upstreams whose budgets bind calls to where they do not lie get none.
func (plan *Plan) sites(c *Call, a *activation) error {
	r := plan.Route
	if r == nil || !slices.ContainsFunc(r.Upstreams, func(u *Upstream) bool { return u.drawn != nil }) {
		return nil
	}
	to, astray := []*Upstream{}, []string{}
	for _, u := range r.Upstreams {
		s := *plan
		s.Draws, s.Place, s.Sites, s.Route = slices.Clone(plan.Draws), nil, nil, &Route{By: r.By, Upstreams: []*Upstream{u}}
		if u.drawn != nil {
			if _, err := s.drawn(u.drawn, a); err != nil {
				return err
			}
		}
		if s.locate(c); !u.inside(s.Place) {
			astray = append(astray, u.Name)
			continue
		}
		s.meter(c)
		plan.Sites, to = append(plan.Sites, &s), append(to, u)
	}
	if r.Upstreams = to; len(to) == 0 {
		plan.Sites, r.Why = nil, fmt.Sprintf("what calls draw on at %s is bound to zones in which these upstreams do not lie", strings.Join(astray, ", "))
	}
	return nil
}

// Seen is what a node knows of an upstream.
type Seen struct {
	Out   bool // the node cannot send calls there
	Avoid bool // it refused calls or was not reached a while ago: it is chosen only if nothing else is left
	// Latency is how long it takes to begin its answer; 0 if that is not known.
	Latency time.Duration
}

// Choose returns which of the route's upstreams a call goes to, at a node in a zone ("" for none); -1 if there is none. seen is in their
// order. Among those that are equal the cheaper counts, then the faster, then the first.
func (r *Route) Choose(prompt, output int64, zone string, seen []Seen) int {
	best := -1
	for i := range r.Upstreams {
		if !seen[i].Out && (best < 0 || r.compare(i, best, prompt, output, zone, seen) < 0) {
			best = i
		}
	}
	return best
}

func (r *Route) compare(i, j int, prompt, output int64, zone string, seen []Seen) int {
	a, b, x, y := r.Upstreams[i], r.Upstreams[j], &seen[i], &seen[j]
	if x.Avoid != y.Avoid {
		return truth(x.Avoid)
	}
	if r.By == InOrder {
		return i - j
	}
	if r.By == ByLocality {
		if own := slices.Contains(a.Zones, zone); own != slices.Contains(b.Zones, zone) {
			return -truth(own)
		}
	}
	faster := cmp.Compare(x.Latency, y.Latency)
	if r.By != ByPrice && faster != 0 {
		return faster
	}
	if a.Priced != b.Priced {
		return -truth(a.Priced)
	}
	ah, al := a.cost(prompt, output)
	bh, bl := b.cost(prompt, output)
	return cmp.Or(cmp.Compare(ah, bh), cmp.Compare(al, bl), faster, i-j)
}

// truth orders what is so behind what is not.
func truth(yes bool) int {
	if yes {
		return 1
	}
	return -1
}
