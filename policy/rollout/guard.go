package rollout

import (
	"fmt"
	"math"
	"strconv"

	"github.com/swarmpurse/swarmpurse/policy"
)

// The guard is a mixture sequential probability ratio test: it may be looked at after every call, and stopped at any time, and
// yet the chance that it ever rolls back a candidate that is not worse than allowed is at most what was said before.
//
// For calls that fail with probability p, the ratio of the likelihood of what was seen, averaged over all rates by a beta
// distribution, to its likelihood under p is a martingale that begins at 1; by Ville's inequality it ever reaches 1/α with
// probability α at most (Robbins, Statistical methods related to the law of the iterated logarithm, Ann. Math. Stat. 41, 1970;
// Johari, Koomen, Pekelis, Walsh, Always valid inference: continuous monitoring of A/B tests, Operations Research 70, 2022). The
// arms are independent, so the product of theirs is one, too; its least value over all pairs of rates that are allowed is below
// it, whichever of them is true. No approximation is made, and no least number of calls is needed.
//
// A quantile is above a bound if more than its part of the calls is above the bound (Howard, Ramdas, Sequential estimation of
// quantiles with applications to A/B testing and best-arm identification, Bernoulli 28, 2022): with 99 % of the stable arm's calls
// surely below a wait, and less than 99 % of the candidate's surely below that and what is allowed, it waits longer than allowed.
// The steps of waits are nested, so what fails at one of them wrongly fails at the one next to the true quantile: looking at
// all of them costs nothing.
//
// Lengths and costs drift if more calls than allowed come to more than is usual for their model. What is usual is fixed before the
// first call is held to it, at each node by itself, so that these are rates as those of refusals are, and the same test.

// FalseAlarm is the chance that a candidate that is no worse than its guard allows is ever rolled back by it, in a swarm that is not
// cut in parts. It is shared out among the nodes that judge and the tests that each makes.
const FalseAlarm = 0.005

// Judges is how many nodes judge a candidate, so that one that is cut off or dies holds nothing up.
const Judges = 3

// alpha is what each of the tests of a judge may be wrong by: one each of refusals, lengths and costs, two of waits.
const alpha = FalseAlarm / Judges / 5

// p99 is the part of calls that a p99 leaves above it.
const p99 = 0.01

// What a Breach is of, as policies name what they guard.
const (
	DenyRate     = "deny_rate"
	P99Wait      = "p99_wait"
	OutputLength = "output_length"
	Cost         = "cost"
)

// Breach is why a candidate is rolled back.
type Breach struct{ What, Why string }

// Judge looks whether the candidate surely does worse than the guard allows; nil: not surely, so far.
func Judge(g policy.Guard, stable, candidate *Counts) *Breach {
	level := math.Log(1 / alpha)
	if g.DenyRate != policy.Unguarded && refuses(stable, candidate, float64(g.DenyRate)/1e6) >= level {
		return &Breach{DenyRate, fmt.Sprintf("the candidate refused %s of its %d calls, the stable revision %s of %d; %s more is allowed",
			part(candidate.Refused, candidate.Calls), candidate.Calls, part(stable.Refused, stable.Calls), stable.Calls, ppm(g.DenyRate))}
	}
	if g.OutputLength != policy.Unguarded && worse(float64(stable.Long), float64(stable.Outputs), float64(candidate.Long), float64(candidate.Outputs), float64(g.OutputLength)/1e6) >= level {
		return &Breach{OutputLength, fmt.Sprintf("%s of the candidate's %d calls put out more than 95%% of calls of their model used to, and of the stable revision's %d %s; %s more is allowed",
			part(candidate.Long, candidate.Outputs), candidate.Outputs, stable.Outputs, part(stable.Long, stable.Outputs), ppm(g.OutputLength))}
	}
	if g.Cost != policy.Unguarded && worse(float64(stable.Dear), float64(stable.Costs), float64(candidate.Dear), float64(candidate.Costs), float64(g.Cost)/1e6) >= level {
		return &Breach{Cost, fmt.Sprintf("%s of the candidate's %d calls cost more than 95%% of calls of their model used to, and of the stable revision's %d %s; %s more is allowed",
			part(candidate.Dear, candidate.Costs), candidate.Costs, stable.Costs, part(stable.Dear, stable.Costs), ppm(g.Cost))}
	}
	if g.P99Wait == policy.Unguarded {
		return nil
	}
	for i := range WaitSteps {
		j := i + int(g.P99Wait/policy.WaitStep)
		if j >= WaitSteps {
			break
		}
		sn, cn := stable.Admitted(), candidate.Admitted()
		if against(float64(stable.Longer[i]), float64(sn), p99, 1) >= level && against(float64(candidate.Longer[j]), float64(cn), 0, p99) >= level {
			return &Breach{P99Wait, fmt.Sprintf(
				"%s of the candidate's %d admitted calls waited longer than %s of their latency budget, and of the stable revision's %d only %s longer than %s; a p99 of %s more is allowed",
				part(candidate.Longer[j], cn), cn, step(j), sn, part(stable.Longer[i], sn), step(i), ppm(g.P99Wait))}
		}
	}
	return nil
}

// refuses is the evidence that the candidate refuses more than is allowed. Calls of one caller are alike, and each caller is in one arm wholly: so
// the arms of few callers differ though the revisions do not. How alike they are shows in how much groups of the callers of one arm differ: the
// correlation within groups (ρ), by which m calls of one group are worth m / (1 + (m−1)ρ) that are drawn by themselves (Kish, Survey Sampling, 1965; the
// "effective sample size" of cluster trials). The test takes that many. ρ is estimated from both arms, and the larger one taken: one of few callers
// may have nobody of the kind that the other has. Where callers are alike it is 0, and nothing is lost.
func refuses(stable, candidate *Counts, allowed float64) float64 {
	rs, ms := stable.alike()
	rc, mc := candidate.alike()
	r := max(rs, rc)
	ds, dc := max(1, 1+(ms-1)*r), max(1, 1+(mc-1)*r)
	return worse(float64(stable.Refused)/ds, float64(stable.Calls)/ds, float64(candidate.Refused)/dc, float64(candidate.Calls)/dc, allowed)
}

// alike is how much the calls of one group are like each other in being refused, from 0 to 1, and how many calls a group has, as seen by a call.
func (c *Counts) alike() (rho, size float64) {
	var n, k, squares, groups float64
	for i := range c.Groups {
		if g := &c.Groups[i]; g.Calls > 0 {
			x := float64(g.Calls)
			n, k, squares, groups = n+x, k+float64(min(g.Refused, g.Calls)), squares+x*x, groups+1
		}
	}
	if n == 0 {
		return 0, 1
	}
	size = squares / n
	if groups < 2 || size <= 1 {
		return 0, size
	}
	between := 0.0
	for i := range c.Groups {
		g := &c.Groups[i]
		d := float64(min(g.Refused, g.Calls)) - k/n*float64(g.Calls)
		between += d * d
	}
	p := (k + 0.5) / (n + 1) // so that an arm without refusals has some variance
	effect := between * groups / (groups - 1) / (n * p * (1 - p))
	return min(1, max(0, (effect-1)/(size-1))), size
}

func part(k, n int64) string {
	return strconv.FormatFloat(100*float64(k)/float64(max(1, n)), 'f', 1, 64) + "%"
}

func ppm(v int64) string { return strconv.FormatFloat(float64(v)/10_000, 'g', -1, 64) + "%" }

func step(i int) string { return ppm(int64(i) * policy.WaitStep) }

// mixture is ln of the likelihood of k failures of n calls in their order, averaged over all rates by Jeffreys' distribution,
// Beta(1/2, 1/2): of the common ones it finds rare failures soonest.
func mixture(k, n float64) float64 {
	a, b := k+0.5, n-k+0.5
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lc, _ := math.Lgamma(n + 1)
	return la + lb - lc - math.Log(math.Pi) // B(1/2, 1/2) = π
}

// likelihood is ln of that of k failures of n at rate p.
func likelihood(k, n, p float64) float64 {
	l := 0.0
	if k > 0 {
		l += k * math.Log(p)
	}
	if n > k {
		l += (n - k) * math.Log1p(-p)
	}
	return l
}

// against is ln of the evidence that the rate of k failures of n calls does not lie between lo and hi: 0 or less for none.
func against(k, n, lo, hi float64) float64 {
	if k > n || n == 0 { // counters of two moments
		return 0
	}
	return mixture(k, n) - likelihood(k, n, min(max(k/n, lo), hi))
}

// worse is ln of the evidence that the rate of the second arm is more than that of the first and what is allowed above it.
func worse(k1, n1, k2, n2, allowed float64) float64 {
	if k1 > n1 || k2 > n2 || n1 == 0 || n2 == 0 || allowed >= 1 {
		return 0
	}
	if k2/n2 <= k1/n1+allowed {
		return 0
	}
	// The likeliest of the pairs that are allowed lies on their edge (p, p + allowed), where the likelihood is concave.
	both := func(p float64) float64 { return likelihood(k1, n1, p) + likelihood(k2, n2, p+allowed) }
	lo, hi := 0.0, 1-allowed
	for range 100 {
		a, b := lo+(hi-lo)/3, hi-(hi-lo)/3
		if both(a) < both(b) {
			lo = a
		} else {
			hi = b
		}
	}
	return mixture(k1, n1) + mixture(k2, n2) - both((lo+hi)/2)
}
