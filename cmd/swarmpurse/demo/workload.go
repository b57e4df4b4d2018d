package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// Agent is one agent: who it is and which node is beside it.
type Agent struct {
	Name, Tenant, Class string
	Node                int
}

// Call is one call of the workload.
type Call struct {
	At     time.Duration // since the load began
	Agent  int
	Prompt int64 // tokens, exactly as the nodes count them
	Output int64 // tokens that the model would answer with, were there no limit
	Limit  int64 // max_tokens of the request
	Stream bool
}

// Workload is who calls what and when. It is fixed before the run.
type Workload struct {
	Agents  []Agent
	Calls   []Call // by time
	Source  string // where the arrivals and lengths come from, for people
	LeftOut int    // calls of a trace that come after the end
}

// tenants and what their agents do. Research asks for more than its budget allows.
var tenants = []struct {
	name    string
	part    float64 // of all agents
	classes []string
}{
	{"research", 0.5, []string{"batch", "standard"}},
	{"search", 0.3, []string{"standard", "interactive"}},
	{"support", 0.2, []string{"interactive"}},
}

const modelName = "standin-1"

// makeAgents spreads n agents over the tenants, their classes and the nodes.
func makeAgents(n, nodes int, r *rand.Rand) []Agent {
	agents := make([]Agent, 0, n)
	ends := 0.0
	for ti, t := range tenants {
		ends += t.part
		upTo := int(math.Round(ends * float64(n)))
		if ti == len(tenants)-1 {
			upTo = n
		}
		for i := 0; len(agents) < upTo; i++ {
			agents = append(agents, Agent{
				Name: fmt.Sprintf("%s-%d", t.name, i+1), Tenant: t.name, Class: t.classes[i%len(t.classes)],
			})
		}
	}
	// Which node an agent is beside must not depend on its tenant, whatever the numbers are.
	r.Shuffle(n, func(i, j int) { agents[i], agents[j] = agents[j], agents[i] })
	for i := range agents {
		agents[i].Node = i % nodes
	}
	return agents
}

// The generated workload is a Markov-modulated Poisson process: each agent is busy or idle by turns,
// and all of them together live through calm times and surges. Times in a state are exponential.
const (
	meanBusy, meanIdle  = 3.0, 6.0 // seconds
	idleRate            = 0.1      // an idle agent's rate, a busy one's being 1
	meanCalm, meanSurge = 8.5, 1.5 // seconds
	surgeRate           = 16.0     // what rates are multiplied by in a surge
)

// Lengths are log-normal, cut at both ends; what agents ask for is what such agents do: a round number
// above the answer, and now and then too little.
const (
	promptMedian, promptSigma, promptMax = 120, 0.8, 2000
	outputMedian, outputSigma, outputMax = 40, 0.8, 400
	tooShort                             = 0.1  // part of calls whose limit cuts the answer
	streamed                             = 0.35 // part of calls that stream
)

// phase is a time in which the rate of something does not change.
type phase struct {
	from, to, rate float64
}

// phases lives through two states, starting as likely in each as it is at any time.
func phases(r *rand.Rand, end, meanA, rateA, meanB, rateB float64) []phase {
	inA := r.Float64() < meanA/(meanA+meanB)
	var list []phase
	for at := 0.0; at < end; {
		mean, rate := meanB, rateB
		if inA {
			mean, rate = meanA, rateA
		}
		to := min(end, at+r.ExpFloat64()*mean)
		list = append(list, phase{at, to, rate})
		at, inA = to, !inA
	}
	return list
}

// generate draws a workload of exactly n calls: given their number, the arrivals of a Poisson process
// are independent of each other, each placed by the process's intensity. So every seed gives as many
// calls as promised, and the bursts lie where the states say.
func generate(agents []Agent, n int, length time.Duration, r *rand.Rand) []Call {
	end := length.Seconds()
	swarm := phases(r, end, meanCalm, 1, meanSurge, surgeRate)
	type piece struct {
		agent    int
		from, to float64
		until    float64 // intensity of all pieces up to and with this one
	}
	var pieces []piece
	total := 0.0
	for a := range agents {
		k := 0
		for _, p := range phases(r, end, meanBusy, 1, meanIdle, idleRate) {
			for ; k < len(swarm); k++ {
				s := swarm[k]
				from, to := max(p.from, s.from), min(p.to, s.to)
				if from < to {
					total += (to - from) * p.rate * s.rate
					pieces = append(pieces, piece{a, from, to, total})
				}
				if s.to > p.to {
					break
				}
			}
		}
	}
	calls := make([]Call, n)
	for i := range calls {
		x := r.Float64() * total
		j, _ := slices.BinarySearchFunc(pieces, x, func(p piece, x float64) int {
			if p.until <= x {
				return -1
			}
			return 1
		})
		p := pieces[min(j, len(pieces)-1)]
		at := p.from + r.Float64()*(p.to-p.from)
		calls[i] = Call{At: time.Duration(at * float64(time.Second)), Agent: p.agent}
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return int(a.At - b.At) })
	for i := range calls {
		c := &calls[i]
		c.Prompt = logNormal(r, promptMedian, promptSigma, promptMax)
		c.Output = logNormal(r, outputMedian, outputSigma, outputMax)
		c.Limit = workload.Guess(c.Output)
		if r.Float64() < tooShort {
			c.Limit = max(1, c.Output/2)
		}
		c.Stream = r.Float64() < streamed
	}
	return calls
}

func logNormal(r *rand.Rand, median, sigma float64, most int64) int64 {
	return max(1, min(most, int64(math.Round(median*math.Exp(sigma*r.NormFloat64())))))
}

// newWorkload makes the workload that the options ask for.
func newWorkload(o *Options) (*Workload, error) {
	r := rand.New(rand.NewPCG(o.Seed, 0x5eed))
	w := &Workload{Agents: makeAgents(o.Agents, o.Nodes, r)}
	if o.Trace == "" {
		n := max(1, int(math.Round(o.Rate*float64(o.Agents)*o.Duration.Seconds())))
		w.Calls = generate(w.Agents, n, o.Duration, r)
		w.Source = fmt.Sprintf("generated bursts, seed %d", o.Seed)
		return w, nil
	}
	rec, err := readTrace(o.Trace)
	if err != nil {
		return nil, err
	}
	w.Calls, w.LeftOut = replay(rec, len(w.Agents), o.Speed, o.Duration)
	w.Source = fmt.Sprintf("trace %s at %g times its speed", o.Trace, o.Speed)
	if len(w.Calls) > maxCalls {
		return nil, fmt.Errorf("%s: %d calls within %v are more than %d: choose a lower speed or a shorter duration", o.Trace, len(w.Calls), o.Duration, maxCalls)
	}
	return w, nil
}

// Demand is what the workload asks the model server for, in tokens: reserved counts limits, used counts
// answers.
func (w *Workload) Demand() (reserved, used, largest int64) {
	for _, c := range w.Calls {
		reserved += c.Prompt + c.Limit
		used += c.Prompt + min(c.Output, c.Limit)
		largest = max(largest, c.Prompt+c.Limit)
	}
	return reserved, used, largest
}
