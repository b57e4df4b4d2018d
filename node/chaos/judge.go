package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// View is what one node says of the swarm.
type View struct {
	Node    string
	Status  api.Status
	Members []api.Member
	Policy  int64 // revision
	Budgets map[string]api.Budget
}

// Loss is a directory that was lost.
type Loss struct {
	Life Life
	At   time.Time
	// Since is when its peers surely had heard of all that it had done.
	Since time.Time
}

// Jump is a clock that stepped forward.
type Jump struct {
	Node     int
	From, To time.Time // when the step was taken
	By       time.Duration
}

// Evidence is what a run is judged by.
type Evidence struct {
	Nodes    int
	Start    time.Time // of the load
	Whole    time.Time // from here on all that the dead had was back; zero if that is not so
	Over     time.Time // the load was
	Limits   limits
	Accounts []Account
	Losses   []Loss
	Crashes  int // processes that ended other than in order
	Ended    int // generations that another one followed, or whose directory was lost
	GivenUp  int // of them, those that were claimed while their process ran
	Jumps    []Jump
	Views    []View
}

// disagreement says in what the nodes do not agree, or what is not at rest; "" if nothing.
func disagreement(views []View, nodes int) string {
	first := &views[0]
	gens := map[string]string{}
	for i := range views {
		gens[views[i].Node] = views[i].Status.Generation
	}
	for i := range views {
		v := &views[i]
		alive := 0
		for _, m := range v.Members {
			if m.Status == "alive" && m.Generation == gens[m.Name] {
				alive++
			}
		}
		switch {
		case alive != nodes:
			return fmt.Sprintf("%s sees %d of %d nodes", v.Node, alive, nodes)
		case !v.Status.Ready:
			return fmt.Sprintf("%s is not ready: %v", v.Node, v.Status.Reasons)
		case v.Status.Waiting != 0:
			return fmt.Sprintf("%s has %d waiting calls", v.Node, v.Status.Waiting)
		case v.Policy != first.Policy:
			return fmt.Sprintf("%s has revision %d of the policy, %s has %d", first.Node, first.Policy, v.Node, v.Policy)
		}
		for _, budget := range []string{Jobs, Gates, Pace, Pool} {
			mine, theirs := first.Budgets[budget].Instances, v.Budgets[budget].Instances
			if len(mine) != len(theirs) {
				return fmt.Sprintf("%s knows %d instances of %s, %s knows %d", first.Node, len(mine), budget, v.Node, len(theirs))
			}
			for j := range theirs {
				if a, b := comparable(budget, &mine[j]), comparable(budget, &theirs[j]); a != b {
					return fmt.Sprintf("%s says of %s %+v, %s says %+v", first.Node, mine[j].Instance, a, v.Node, b)
				}
			}
		}
	}
	return ""
}

// unclaimed is disagreement, or says which generation has ended and still holds something; "" if none.
func unclaimed(views []View, nodes int) string {
	if why := disagreement(views, nodes); why != "" {
		return why
	}
	gens := map[string]string{}
	for i := range views {
		gens[views[i].Node] = views[i].Status.Generation
	}
	for _, budget := range []string{Jobs, Gates, Pace} {
		for _, in := range views[0].Budgets[budget].Instances {
			for _, h := range in.Holders {
				if gens[h.Node] != h.Gen {
					return fmt.Sprintf("generation %s of %s has ended, and has %d rights and %d shares of %s", h.Gen, h.Node, h.Rights, h.Shares, in.Instance)
				}
			}
		}
	}
	return ""
}

// comparable is what all nodes must say alike of an instance that is at rest: demand fades with time, and a rate's
// rights come with it. Calls that were given up may be reserved for minutes.
func comparable(budget string, in *api.Instance) api.Account {
	a := in.Swarm
	a.Demand, a.Unmet = 0, 0
	if budget == Pool {
		return api.Account{Spent: a.Spent}
	}
	return a
}

// Finding is what the book says of one instance, beside what the nodes say.
type Finding struct {
	Instance string `json:"instance"`
	Budget   string `json:"budget"`
	Limit    int64  `json:"limit"`

	Calls    int64 `json:"calls_admitted"`
	Refused  int64 `json:"calls_refused"`
	Offered  int64 `json:"offered"`
	Admitted int64 `json:"admitted"`
	Unknown  int64 `json:"unknown"`
	Gone     int64 `json:"calls_forgotten_in_crashes"`

	Peak     int64 `json:"held_at_most"` // reserved and spent at once, at the least
	Over     int64 `json:"overspent"`    // above what is allowed
	Low      int64 `json:"spent_at_least"`
	High     int64 `json:"spent_at_most"`
	AtRisk   int64 `json:"known_to_lost_directories_only"` // of Low, at most
	Reported int64 `json:"spent_or_reserved_by_the_nodes_books"`
	Crashed  int64 `json:"charged_for_crashes"` // Reported above High
	Left     int64 `json:"rights_left"`         // at nodes that live
	Unissued int64 `json:"not_issued"`          // nobody with these founders' seats was ever asked, or they are lost
	// Missing was issued and is neither spent nor left.
	Missing int64 `json:"missing"`
	Stuck   int64 `json:"stuck"` // rights of generations that have ended
}

// Judge looks at all that can be known. Problems are what must not be.
func Judge(e *Evidence) (findings []Finding, problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var said map[string]*api.Instance
	gens := map[string]string{}
	if len(e.Views) > 0 {
		said = map[string]*api.Instance{}
		for _, b := range e.Views[0].Budgets {
			for i := range b.Instances {
				said[b.Instances[i].Instance] = &b.Instances[i]
			}
		}
	}
	for i := range e.Views {
		v := &e.Views[i]
		gens[v.Node] = v.Status.Generation
		if v.Status.ConservationError != 0 {
			bad("%s reports a conservation error of %d tokens", v.Node, v.Status.ConservationError)
		}
		for _, budget := range []string{Jobs, Turns, Pool, Gates} {
			for _, in := range v.Budgets[budget].Instances {
				if in.Overspend != 0 {
					bad("%s reports that the hard budget %s is overspent by %d", v.Node, in.Instance, in.Overspend)
				}
			}
		}
	}
	for i := range e.Accounts {
		a := &e.Accounts[i]
		f := Finding{
			Instance: a.Instance, Budget: a.Budget, Calls: a.Calls, Refused: a.Refused, Offered: a.Offered, Admitted: a.Admitted,
			Unknown: a.Unknown, Gone: a.Gone, Peak: a.Peak, Low: a.Low, High: a.High,
		}
		for _, l := range e.Losses {
			f.AtRisk += a.AtRisk(l.Life, l.Since)
		}
		switch a.Budget {
		case Jobs:
			f.Limit = int64(e.Limits.Job)
			f.Over = max(0, a.Peak-f.Limit)
		case Gates:
			f.Limit = int64(e.Limits.Slots)
			f.Over = max(0, a.Peak-f.Limit)
		case Pace:
			f.Limit = int64(e.Limits.Pace)
			f.Over = max(0, a.Peak-e.paceAtMost())
		case Turns:
			f.Limit = int64(e.Limits.Turn)
			f.Over = overWindows(a.calls, e.Jumps, e.Limits.Window, f.Limit)
		case Pool:
			f.Limit = int64(e.Limits.Rate)
			f.Over = overRate(a.calls, e.Jumps, &e.Limits)
		}
		if f.Over > 0 {
			bad("OVERSPENT: callers got %d tokens of %s more than is allowed", f.Over, a.Instance)
		}
		if in := said[a.Instance]; in != nil && (a.Budget == Jobs || a.Budget == Pace || a.Budget == Gates) {
			e.compare(&f, in, gens, bad)
		} else if said != nil && in == nil && a.Low > f.AtRisk {
			bad("%s: callers spent %d tokens, the nodes know of none", a.Instance, a.Low)
		}
		findings = append(findings, f)
	}
	return findings, problems
}

// paceAtMost is the stated worst case of the soft budget: each node may overdraw its part of the overdraft among
// the members that it knows, which are all founders at the least; a node that lost its directory is a new member. One that was
// given up and lives goes on with what it holds, some equal part, which its heir has too.
func (e *Evidence) paceAtMost() int64 {
	over := int64(e.Limits.Pace) * overdraft / 100
	n := int64(e.Nodes)
	return int64(e.Limits.Pace) + over + over*int64(len(e.Losses))/n + int64(e.Limits.Pace)*int64(e.GivenUp)/n
}

// compare lays the nodes' totals of an instance beside the book. It is for when all that the dead had must be back.
func (e *Evidence) compare(f *Finding, in *api.Instance, gens map[string]string, bad func(string, ...any)) {
	for _, h := range in.Holders {
		if gens[h.Node] == h.Gen {
			f.Left += int64(h.Rights)
		} else {
			f.Stuck += int64(h.Rights)
			bad("%s: generation %s of %s has ended, and %d rights and %d shares are not back %v after the last death",
				f.Instance, h.Gen, h.Node, h.Rights, h.Shares, e.Limits.backWithin())
		}
	}
	f.Reported = int64(in.Swarm.Spent + in.Swarm.Reserved)
	if f.Budget == Gates {
		// Slots come back, so no total remembers them. After a crash those up to the mark stay reserved for a minute, and
		// those of a claimed generation for longer: its heir goes by that generation's clock, and waits for a minute beyond.
		f.Missing = f.Limit - f.Left - f.Reported
	} else {
		f.Unissued = f.Limit - int64(in.Swarm.Issued)
		f.Missing = int64(in.Swarm.Issued-in.Swarm.Lapsed) - f.Reported - f.Left - f.Stuck
		f.Crashed = max(0, f.Reported-f.High)
		// What is above a hard budget's held mark nobody has spent, so its guardians know of all that was; a soft one
		// goes on without them.
		excused := f.AtRisk
		if f.Budget == Jobs {
			excused = 0
		}
		if f.Reported < f.Low-excused {
			bad("%s: callers spent %d tokens at least, of which only directories that are lost can have known %d; the nodes know of %d",
				f.Instance, f.Low, excused, f.Reported)
		}
		if most := e.crashesMay(f) + e.claimsMay(f); f.Crashed > most {
			bad("%s: the nodes count %d tokens as spent, callers used %d at most, and %d crashes and %d ended generations explain %d more at most",
				f.Instance, f.Reported, f.High, e.Crashes, e.Ended, most)
		}
	}
	if f.Budget == Pace {
		f.Unissued, f.Missing = 0, 0 // what is overdrawn was never issued
		return
	}
	switch part := f.Limit / int64(e.Nodes); {
	case f.Missing < 0:
		bad("%s: %d tokens are spent or left of %d", f.Instance, f.Limit-f.Unissued-f.Missing, f.Limit-f.Unissued)
	case f.Missing > 0 && !(f.Budget == Gates && e.Ended > 0):
		bad("%s: %d of %d tokens are neither spent nor left", f.Instance, f.Missing, f.Limit)
	case f.Budget == Jobs && (f.Unissued < 0 || f.Unissued%part != 0):
		bad("%s: %d of %d tokens were never issued, which are not whole parts of founders, of %d", f.Instance, f.Unissued, f.Limit, part)
	case f.Unissued > 0 && e.late(f.Instance):
		bad("%s: %d of %d tokens were never issued, though all founders' seats are at nodes that live and were asked", f.Instance, f.Unissued, f.Limit)
	}
}

// late reports whether a job began when all that the dead had was back, seats too, and early enough to be asked for by all.
func (e *Evidence) late(instance string) bool {
	n, ok := jobOf(instance)
	born := e.Start.Add(e.Limits.born(n))
	return ok && !e.Whole.IsZero() && born.After(e.Whole) && born.Before(e.Over.Add(-5*time.Second))
}

// claimsMay is what generations that ended may add to what is counted as spent: their heir takes all up to the held mark for
// spent, which runs ahead by the autonomy's part of spending, and stays for a while when that ebbs.
func (e *Evidence) claimsMay(f *Finding) int64 {
	return int64(e.Ended) * max(2*int64(autonomy.Seconds()*float64(callers[f.Budget]*perCaller*meanCall)), 16*meanCall)
}

// crashesMay is what crashes may add to what is counted as spent: a mark runs ahead of what is reserved and spent
// by a second of demand, 16 mean calls or 1/4096 of the limit, whichever is most (ledger/DESIGN.md).
func (e *Evidence) crashesMay(f *Finding) int64 {
	perNode := int64(2 * callers[f.Budget] * perCaller * meanCall) // twice what its callers ask for
	return int64(e.Crashes) * max(perNode, 16*meanCall, f.Limit/4096)
}

// apart is how far readings of one moment by the test and by a node may differ.
const apart = 25 * time.Millisecond

// stepped reports whether a node's clock went forward by a step between two moments.
func stepped(jumps []Jump, node int, from, to time.Time) bool {
	return slices.ContainsFunc(jumps, func(j Jump) bool {
		return j.Node == node && !j.To.Before(from) && !j.From.After(to)
	})
}

// longestSpan is for how many windows together the cap is checked, which finds overspending at their turns.
const longestSpan = 12

// overWindows is the most that was got above the limit in any window, or of several limits in several windows
// together. A call lies in windows for certain if its node began to decide in them and its caller had the answer
// before they ended, by the clock of that node.
func overWindows(calls []*Call, jumps []Jump, length time.Duration, limit int64) (over int64) {
	type span struct {
		first, last int64 // windows
		size        int64
	}
	var spans []span
	for _, c := range calls {
		if c.At.IsZero() || stepped(jumps, c.Life.Node, c.Sent, c.Got) {
			continue
		}
		end := c.At.Add(c.Got.Sub(c.Sent) + apart)
		spans = append(spans, span{c.At.UnixNano() / int64(length), end.UnixNano() / int64(length), c.Low})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.first - b.first) })
	for i := range spans {
		if i > 0 && spans[i].first == spans[i-1].first {
			continue
		}
		sums := make([]int64, longestSpan) // of what ends in that window after the first, and did not begin before
		for _, s := range spans[i:] {
			if s.first-spans[i].first >= longestSpan {
				break
			}
			if n := s.last - spans[i].first; n < longestSpan {
				sums[n] += s.size
			}
		}
		got := int64(0)
		for n, sum := range sums {
			got += sum
			over = max(over, got-int64(n+1)*limit)
		}
	}
	return over
}

// overRate is the most that was got in any interval above rate × (T + L) + burst, T being longer by all that clocks
// went forward in it. A call lies in an interval for certain if it was sent and answered in it; so the sum of those is
// no less than what was answered by its end, less what was sent before it began. Calls must be settled at what was
// reserved: refunds would come on top.
func overRate(calls []*Call, jumps []Jump, l *limits) (over int64) {
	type moment struct {
		at   time.Time
		call *Call
		end  bool // it was answered, not sent
	}
	var list []moment
	for _, c := range calls {
		list = append(list, moment{c.Sent, c, false}, moment{c.Got, c, true})
	}
	slices.SortStableFunc(list, func(a, b moment) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return cmp.Compare(b2i(a.end), b2i(b.end)) // what is sent at a moment may be answered at once
	})
	var sent, answered int64
	var least float64 // of what was sent before a moment, less what the rate brought until then
	for i, m := range list {
		t := m.at.Sub(list[0].at)
		for _, j := range jumps { // those that are surely over before an interval begins, or perhaps begun when it ends
			if m.end && !j.From.After(m.at) || !m.end && j.To.Before(m.at) {
				t += j.By
			}
		}
		brought := float64(l.Rate) * t.Seconds()
		if !m.end {
			if v := float64(sent) - brought; i == 0 || v < least {
				least = v
			}
			sent += m.call.Size
			continue
		}
		answered += m.call.Size
		most := float64(l.Rate)*(l.Lend+apart).Seconds() + float64(l.Burst)
		over = max(over, int64(math.Round(float64(answered)-brought-least-most)))
	}
	return over
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
