package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Rollout says for which calls a candidate revision decides while it is tried, and what ends that.
type Rollout struct {
	// Canary is the part of the values of By for which the candidate decides, in parts per million; 0 if Zones say it.
	Canary int64
	By     string // tenant, agent, run, model, attributes.NAME
	// Zones are those in whose nodes the candidate decides on all calls; nil if Canary says it. Sorted.
	Zones []string
	// Bake is how long it is tried until it is promoted without a word; 0: until an operator promotes it.
	Bake  time.Duration
	Guard Guard
}

// Guard is what a candidate may do worse than the stable revision. Unguarded in a field: whatever it likes.
type Guard struct {
	// DenyRate is how many more of its calls may be refused, denied or deferred, in parts per million of its calls.
	DenyRate int64
	// P99Wait is how much longer the wait may be that 99 % of its admitted calls do not pass, in parts per million of the latency
	// budget of their class.
	P99Wait int64
	// OutputLength and Cost are how many more of its calls may put out more tokens, or cost more tokens of a budget, than 95 % of calls
	// of their model used to, in parts per million of its calls.
	OutputLength, Cost int64
}

// shadowZone stands in Zones for a shadow. No node is in such a zone: versions before shadows have it decide on no calls.
const shadowZone = "no-zone.only-shadow"

// Shadow reports that the revision is evaluated beside the stable one and decides on nothing. Bake is then how long that goes on, 0 for until
// somebody ends it.
func (r *Rollout) Shadow() bool { return len(r.Zones) == 1 && r.Zones[0] == shadowZone }

// Unguarded is the value of a field of a Guard that is not looked at.
const Unguarded = -1

// Bounds and defaults of rollouts.
const (
	MaxBake = 30 * 24 * time.Hour
	// WaitStep is what a guard of waits is a multiple of, in parts per million: waits are counted in such steps.
	WaitStep = 50_000

	defaultBy       = "agent"
	defaultDenyRate = 50_000
	defaultP99Wait  = 200_000
	defaultLength   = 200_000
	maxWaitGuard    = 900_000
)

// Rollout is what the document says of how it is to be tried as a candidate; nil if it says nothing.
func (p *Policy) Rollout() *Rollout { return p.rollout }

// Valid reports what is wrong with a rollout, also one that comes from a peer; nil if nothing is.
func (r *Rollout) Valid() error {
	switch {
	case r.Canary == 0 && len(r.Zones) == 0:
		return errors.New("it says for no calls that the candidate decides: give canary or zones")
	case r.Canary != 0 && len(r.Zones) > 0:
		return errors.New("canary and zones contradict each other: give one of them")
	case r.Canary < 0 || r.Canary > million:
		return fmt.Errorf("a canary of %d parts per million", r.Canary)
	case len(r.Zones) > MaxZones || !slices.IsSorted(r.Zones):
		return fmt.Errorf("%d zones, or not in order", len(r.Zones))
	case r.Bake < 0 || r.Bake > MaxBake || r.Bake%time.Millisecond != 0:
		return fmt.Errorf("it bakes for %v, at most %v is allowed", r.Bake, MaxBake)
	case r.Guard.DenyRate < Unguarded || r.Guard.DenyRate > million:
		return fmt.Errorf("a guard of %d parts per million of calls", r.Guard.DenyRate)
	case r.Guard.P99Wait < Unguarded || r.Guard.P99Wait > maxWaitGuard || r.Guard.P99Wait > 0 && r.Guard.P99Wait%WaitStep != 0:
		return fmt.Errorf("a guard of waits of %d parts per million", r.Guard.P99Wait)
	case min(r.Guard.OutputLength, r.Guard.Cost) < Unguarded || max(r.Guard.OutputLength, r.Guard.Cost) > million:
		return fmt.Errorf("a guard of lengths and costs of %d and %d parts per million of calls", r.Guard.OutputLength, r.Guard.Cost)
	}
	for _, z := range r.Zones {
		if len(z) > MaxName || !document.IsName(z) {
			return fmt.Errorf("a zone of the name %q", document.Clip(z))
		}
	}
	if len(r.Zones) > 0 {
		if r.By != "" {
			return errors.New("zones need no by: the candidate decides on all calls of their nodes")
		}
		return nil
	}
	if _, ok := splitBy(r.By); !ok {
		return fmt.Errorf("calls cannot be split by %q: %s", document.Clip(r.By), byAdvice)
	}
	return nil
}

const byAdvice = "write tenant, agent, run, model or attributes.NAME"

func splitBy(s string) (a attr, ok bool) {
	switch a.field = slices.Index(fieldNames, s); a.field {
	case fieldTenant, fieldAgent, fieldRun, fieldModel:
		return a, true
	case fieldClass:
		return a, false
	}
	a.field = fieldAttribute
	a.name, ok = strings.CutPrefix(s, "attributes.")
	return a, ok && len(a.name) <= MaxName && isAttribute(a.name)
}

// Split chooses calls by a stable hash: those of one value of By are all chosen, or none, at every node, and raising Canary
// takes none out. It is safe for concurrent use.
type Split struct {
	by    attr
	seed  uint64
	below uint64 // of 2^32
	all   bool
}

// Split is how a node of a zone chooses the calls for which a candidate decides. seed has different candidates choose
// differently, so that not always the same callers are tried on. The rollout must be valid.
func (r *Rollout) Split(seed uint64, zone string) *Split {
	if len(r.Zones) > 0 {
		by, _ := splitBy("agent") // for groups
		return &Split{by: by, seed: seed, all: zone != "" && slices.Contains(r.Zones, zone) && !r.Shadow()}
	}
	by, ok := splitBy(r.By)
	if !ok {
		panic("BUG: a rollout that is not valid")
	}
	return &Split{by: by, seed: seed, below: uint64(r.Canary) << 32 / million}
}

// Chooses reports whether the candidate decides on a call. Calls that say nothing for what they are split by stay with
// the stable revision: all of them would else change sides together. It allocates nothing.
func (s *Split) Chooses(c *Call) bool {
	if s.below == 0 {
		return s.all
	}
	v := s.by.value(c, "")
	return v != "" && ticket(v, s.seed) < s.below
}

// Group puts the callers of one arm in groups, those of one value of By into one: a number below of. It allocates nothing.
func (s *Split) Group(c *Call, of int) int {
	return int(mix(ticket(s.by.value(c, ""), s.seed)+0x9e3779b97f4a7c15) >> 32 % uint64(of)) //nolint:gosec // it is below of
}

// mix spreads a hash over all of its bits (the finalizer of splitmix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// String says it as people do.
func (r *Rollout) String() string {
	var s string
	if r.Shadow() {
		if s = "shadow"; r.Bake > 0 {
			s += ", for " + shortDuration(r.Bake)
		}
		return s
	}
	if len(r.Zones) > 0 {
		s = "zones " + strings.Join(r.Zones, ", ")
	} else {
		s = percent(r.Canary) + " by " + r.By
	}
	if r.Bake > 0 {
		s += ", bake " + shortDuration(r.Bake)
	}
	return s + ", guard " + r.Guard.String()
}

func (g Guard) String() string {
	var parts []string
	if g.DenyRate != Unguarded {
		parts = append(parts, "deny_rate +"+percent(g.DenyRate))
	}
	if g.P99Wait != Unguarded {
		parts = append(parts, "p99_wait +"+percent(g.P99Wait))
	}
	if g.OutputLength != Unguarded {
		parts = append(parts, "output_length +"+percent(g.OutputLength))
	}
	if g.Cost != Unguarded {
		parts = append(parts, "cost +"+percent(g.Cost))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// shortDuration is d without the zeros at its end: 10m, not 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
