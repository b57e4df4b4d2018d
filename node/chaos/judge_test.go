package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// swarmOf3 is a sound swarm of three nodes at rest: each spent 100 of a job of 999 tokens.
func swarmOf3() *Evidence {
	b := NewBook()
	e := &Evidence{Nodes: 3, Start: at(0), Limits: limits{Job: 999, JobEvery: time.Second, Turn: 100, Rate: 100, Burst: 50, Pace: 400, Slots: 6, Window: 5 * time.Second, Lend: time.Second}}
	for i := range 3 {
		c := b.Admitted(Jobs, "jobs/job0", Life{i, 0}, 120, at(0), at(1))
		c.Ending(100)
		c.Settled(100)
	}
	e.Accounts = b.Accounts()
	for i := range 3 {
		v := View{Node: nodeName(i), Policy: 1, Budgets: map[string]api.Budget{}}
		v.Status = api.Status{Ready: true, Generation: "1"}
		in := api.Instance{Instance: "jobs/job0", Limit: 999}
		for j := range 3 {
			v.Members = append(v.Members, api.Member{Name: nodeName(j), Status: "alive", Generation: "1"})
			h := api.Holder{Node: nodeName(j), Gen: "1", Account: api.Account{Issued: 333, Spent: 100, Rights: 233}}
			in.Holders = append(in.Holders, h)
			in.Swarm.Spent += h.Spent
			in.Swarm.Rights += h.Rights
			in.Swarm.Issued += h.Issued
		}
		v.Budgets[Jobs] = api.Budget{Name: Jobs, Instances: []api.Instance{in}}
		e.Views = append(e.Views, v)
	}
	return e
}

func job(v *View) *api.Instance { return &v.Budgets[Jobs].Instances[0] }

func TestSoundSwarmIsFoundSound(t *testing.T) {
	e := swarmOf3()
	if why := disagreement(e.Views, 3); why != "" {
		t.Error(why)
	}
	findings, problems := Judge(e)
	if len(problems) > 0 || len(findings) != 1 {
		t.Fatal(findings, problems)
	}
	if f := findings[0]; f.Reported != 300 || f.Low != 300 || f.Left != 699 || f.Missing != 0 || f.Peak != 320 {
		t.Errorf("%+v", f)
	}
}

func TestUnclaimedIsFound(t *testing.T) {
	e := swarmOf3()
	if why := unclaimed(e.Views, 3); why != "" {
		t.Error(why)
	}
	for i := range e.Views {
		job(&e.Views[i]).Holders = append(job(&e.Views[i]).Holders, api.Holder{Node: "n3", Gen: "0", Account: api.Account{Rights: 7}})
	}
	if why := unclaimed(e.Views, 3); why != "generation 0 of n3 has ended, and has 7 rights and 0 shares of jobs/job0" {
		t.Error(why)
	}
	e.Views[1].Status.Ready = false
	if why := unclaimed(e.Views, 3); !strings.HasPrefix(why, "n2 is not ready") {
		t.Error(why)
	}
}

func TestDisagreementIsFound(t *testing.T) {
	for _, c := range []struct {
		want string
		do   func(v *View) // at node 2
	}{
		{"n2 sees 2 of 3 nodes", func(v *View) { v.Members[2].Status = "failed" }},
		{"n2 sees 2 of 3 nodes", func(v *View) { v.Members[2].Generation = "2" }},
		{"n2 is not ready", func(v *View) { v.Status.Ready = false }},
		{"n2 has 2 waiting calls", func(v *View) { v.Status.Waiting = 2 }},
		{"n1 has revision 1 of the policy, n2 has 2", func(v *View) { v.Policy = 2 }},
		{"n1 knows 1 instances of jobs, n2 knows 0", func(v *View) { v.Budgets[Jobs] = api.Budget{} }},
		{"n1 says of jobs/job0", func(v *View) { job(v).Swarm.Spent++ }},
		{"n1 says of jobs/job0", func(v *View) { job(v).Swarm.Shares++ }},
	} {
		e := swarmOf3()
		c.do(&e.Views[1])
		if why := disagreement(e.Views, 3); !strings.HasPrefix(why, c.want) {
			t.Errorf("%q, want %q", why, c.want)
		}
	}
	e := swarmOf3()
	for i := range e.Views { // demand fades, and a lost directory's reservations are nobody's
		job(&e.Views[i]).Swarm.Demand = float64(i)
		job(&e.Views[i]).Holders = append(job(&e.Views[i]).Holders, api.Holder{Node: "n3", Gen: "0", Account: api.Account{Reserved: 7}})
	}
	if why := disagreement(e.Views, 3); why != "" {
		t.Error(why)
	}
}

// claimed has n3 lose its directory, and n1 inherit some of its rights; the others count as spent.
func claimed(e *Evidence, rights ledger.Tokens) {
	e.Losses, e.Ended, e.Limits.Lease = []Loss{{Life{2, 0}, at(50), at(0)}}, 1, 10*time.Second
	for i := range e.Views {
		e.Views[i].Status.Generation = "1"
	}
	all(e, func(in *api.Instance) {
		had := in.Holders[2].Rights
		in.Holders[2].Account = api.Account{} // of its new generation
		in.Holders[0].Rights += rights
		in.Swarm.Spent += had - rights
	})
}

// all does something to what every node says.
func all(e *Evidence, do func(*api.Instance)) {
	for i := range e.Views {
		do(job(&e.Views[i]))
	}
}

// slots adds an account of gates, of which n1 has some left and some reserved.
func slots(e *Evidence, left, reserved ledger.Tokens) {
	e.Accounts = append(e.Accounts, Account{Budget: Gates, Instance: Gates})
	in := api.Instance{Instance: Gates, Swarm: api.Account{Reserved: reserved}}
	in.Holders = []api.Holder{{Node: "n1", Gen: "1", Account: api.Account{Rights: left, Reserved: reserved}}}
	for i := range e.Views {
		e.Views[i].Budgets[Gates] = api.Budget{Instances: []api.Instance{in}}
	}
}

func TestJudgeFindsWhatMustNotBe(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e *Evidence)
		want string // "": it is allowed
	}{
		{"more held than the limit", func(e *Evidence) { e.Accounts[0].Peak = 1000 }, "OVERSPENT: callers got 1 tokens of jobs/job0"},
		{"all held", func(e *Evidence) { e.Accounts[0].Peak = 999 }, ""},
		{"spent tokens are not in the totals", func(e *Evidence) {
			all(e, func(in *api.Instance) { in.Swarm.Spent, in.Holders[0].Rights = 299, 234 })
		}, "jobs/job0: callers spent 300 tokens at least"},
		{"a directory is lost, and its heir has what it had but for its held mark", func(e *Evidence) { claimed(e, 233-40) }, ""},
		{"its guardians knew less than it spent", func(e *Evidence) { claimed(e, 233+1) },
			"jobs/job0: callers spent 300 tokens at least, of which only directories that are lost can have known 0; the nodes know of 299"},
		{"its heir got nothing of it", func(e *Evidence) {
			claimed(e, 233)
			all(e, func(in *api.Instance) { in.Holders[0].Rights -= 233 })
		}, "jobs/job0: 233 of 999 tokens are neither spent nor left"},
		{"nobody claimed it", func(e *Evidence) {
			claimed(e, 0)
			all(e, func(in *api.Instance) {
				in.Swarm.Spent -= 233
				in.Holders = append(in.Holders, api.Holder{Node: "n3", Gen: "0", Account: api.Account{Rights: 233, Shares: 7}})
			})
		}, "jobs/job0: generation 0 of n3 has ended, and 233 rights and 7 shares are not back 21s after the last death"},
		{"its shares were not claimed", func(e *Evidence) {
			claimed(e, 233)
			all(e, func(in *api.Instance) {
				in.Holders = append(in.Holders, api.Holder{Node: "n3", Gen: "0", Account: api.Account{Shares: 7}})
			})
		}, "jobs/job0: generation 0 of n3 has ended, and 0 rights and 7 shares are not back"},
		{"a claim takes more for spent than held marks run ahead", func(e *Evidence) {
			e.Limits.Job = 60_000 // a part is 20,000
			all(e, func(in *api.Instance) {
				in.Limit, in.Swarm.Issued = 60_000, 60_000
				for i := range in.Holders {
					in.Holders[i].Rights = 19_900
				}
			})
			claimed(e, 0)
			all(e, func(in *api.Instance) { in.Swarm.Spent = 20_200 })
		}, "jobs/job0: the nodes count 20200 tokens as spent, callers used 300 at most, and 0 crashes and 1 ended generations explain 14400 more at most"},
		{"more is counted than was spent", func(e *Evidence) {
			all(e, func(in *api.Instance) { in.Swarm.Spent, in.Holders[0].Rights = 301, 232 })
		}, "jobs/job0: the nodes count 301 tokens as spent, callers used 300 at most, and 0 crashes"},
		{"a call that was given up is still reserved", func(e *Evidence) {
			e.Accounts[0].High += 50
			all(e, func(in *api.Instance) { in.Swarm.Reserved, in.Holders[0].Reserved, in.Holders[0].Rights = 50, 50, 183 })
		}, ""},
		{"more is still reserved than was given up", func(e *Evidence) {
			e.Accounts[0].High += 49
			all(e, func(in *api.Instance) { in.Swarm.Reserved, in.Holders[0].Reserved, in.Holders[0].Rights = 50, 50, 183 })
		}, "jobs/job0: the nodes count 350 tokens as spent"},
		{"a crash explains it", func(e *Evidence) {
			e.Crashes = 1
			all(e, func(in *api.Instance) { in.Swarm.Spent, in.Holders[0].Rights = 301, 232 })
		}, ""},
		{"an unknown call explains it", func(e *Evidence) {
			e.Accounts[0].High++
			all(e, func(in *api.Instance) { in.Swarm.Spent, in.Holders[0].Rights = 301, 232 })
		}, ""},
		{"tokens are gone", func(e *Evidence) { all(e, func(in *api.Instance) { in.Holders[0].Rights-- }) },
			"jobs/job0: 1 of 999 tokens are neither spent nor left"},
		{"a lost directory is no excuse for it", func(e *Evidence) {
			e.Losses, e.Ended = []Loss{{Life{2, 0}, at(50), at(20)}}, 1
			all(e, func(in *api.Instance) { in.Holders[0].Rights-- })
		}, "jobs/job0: 1 of 999 tokens are neither spent nor left"},
		{"a founder never issued its part", func(e *Evidence) {
			all(e, func(in *api.Instance) { in.Swarm.Issued -= 333; in.Holders[0].Rights = 0; in.Holders[1].Rights -= 100 })
		}, ""},
		{"nor of a job that began when all seats were back", func(e *Evidence) {
			e.Whole, e.Over = at(-1), at(9000)
			all(e, func(in *api.Instance) { in.Swarm.Issued -= 333; in.Holders[0].Rights = 0; in.Holders[1].Rights -= 100 })
		}, "jobs/job0: 333 of 999 tokens were never issued, though all founders' seats are at nodes that live"},
		{"a part of a founder's part was never issued", func(e *Evidence) {
			all(e, func(in *api.Instance) { in.Swarm.Issued -= 33; in.Holders[0].Rights -= 33 })
		}, "jobs/job0: 33 of 999 tokens were never issued"},
		{"tokens came from nowhere", func(e *Evidence) { all(e, func(in *api.Instance) { in.Holders[0].Rights++ }) },
			"jobs/job0: 1000 tokens are spent or left of 999"},
		{"the nodes know nothing of an instance", func(e *Evidence) {
			for i := range e.Views {
				e.Views[i].Budgets[Jobs] = api.Budget{}
			}
		}, "jobs/job0: callers spent 300 tokens, the nodes know of none"},
		{"a node's equation does not close", func(e *Evidence) { e.Views[2].Status.ConservationError = 4 }, "n3 reports a conservation error of 4 tokens"},
		{"a node says so itself", func(e *Evidence) { job(&e.Views[1]).Overspend = 9 }, "n2 reports that the hard budget jobs/job0 is overspent by 9"},
		{"more slots at once than there are", func(e *Evidence) {
			e.Accounts = append(e.Accounts, Account{Budget: Gates, Instance: Gates, Peak: 7})
		}, "OVERSPENT: callers got 1 tokens of gates"},
		{"slots that a crash keeps for a while, beside one that is left", func(e *Evidence) { slots(e, 5, 1) }, ""},
		{"a slot is gone", func(e *Evidence) { slots(e, 4, 1) }, "gates: 1 of 6 tokens are neither spent nor left"},
		{"a slot came from nowhere", func(e *Evidence) { slots(e, 6, 1) }, "gates: 7 tokens are spent or left of 6"},
		{"a soft budget within its overdraft", func(e *Evidence) {
			e.Accounts = append(e.Accounts, Account{Budget: Pace, Instance: Pace, Peak: 500})
		}, ""},
		{"a soft budget beyond it", func(e *Evidence) {
			e.Accounts = append(e.Accounts, Account{Budget: Pace, Instance: Pace, Peak: 501})
		}, "OVERSPENT: callers got 1 tokens of pace"},
		{"a node that joined overdraws its part, too", func(e *Evidence) {
			e.Losses = []Loss{{Life{2, 0}, at(50), at(20)}}
			e.Accounts = append(e.Accounts, Account{Budget: Pace, Instance: Pace, Peak: 533})
		}, ""},
		{"a generation that follows another has no part of its own", func(e *Evidence) {
			e.Ended = 5
			e.Accounts = append(e.Accounts, Account{Budget: Pace, Instance: Pace, Peak: 501})
		}, "OVERSPENT: callers got 1 tokens of pace"},
		{"a node that was given up goes on with what it holds", func(e *Evidence) {
			e.Ended, e.GivenUp = 1, 1
			e.Accounts = append(e.Accounts, Account{Budget: Pace, Instance: Pace, Peak: 633})
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := swarmOf3()
			c.do(e)
			_, problems := Judge(e)
			switch {
			case c.want == "" && len(problems) > 0:
				t.Errorf("problems %q", problems)
			case c.want != "" && (len(problems) == 0 || !strings.HasPrefix(problems[0], c.want)):
				t.Errorf("problems %q, want %q", problems, c.want)
			}
		})
	}
}

// stamped are calls of a window budget at node 0: decided at some ms, answered after some more, of some size.
func stamped(list ...[3]int) (calls []*Call) {
	for _, c := range list {
		calls = append(calls, &Call{At: at(c[0]), Sent: at(c[0] + 500), Got: at(c[0] + 500 + c[1]), Low: int64(c[2]), Size: int64(c[2])})
	}
	return calls // sent and got are of the caller's clock, which is half a second ahead
}

func TestWindowsAreJudged(t *testing.T) {
	for i, c := range []struct {
		calls []*Call
		jumps []Jump
		want  int64
	}{
		{nil, nil, 0},
		{stamped([3]int{0, 1, 60}, [3]int{1000, 1, 40}), nil, 0},
		{stamped([3]int{0, 1, 60}, [3]int{1000, 1, 41}), nil, 1},
		{stamped([3]int{0, 1, 100}, [3]int{5000, 1, 100}, [3]int{10000, 1, 101}), nil, 1},
		// The answer came in the next window: which it was decided in is not known, but both together are.
		{stamped([3]int{0, 1, 100}, [3]int{4990, 20, 100}), nil, 0},
		{stamped([3]int{0, 1, 100}, [3]int{4990, 20, 100}, [3]int{6000, 1, 5}), nil, 5},
		// The clock stepped while the call was decided.
		{stamped([3]int{0, 1, 60}, [3]int{1000, 1, 41}), []Jump{{0, at(1400), at(1600), time.Second}}, 0},
		{stamped([3]int{0, 1, 60}, [3]int{1000, 1, 41}), []Jump{{1, at(1400), at(1600), time.Second}}, 1},
		// A call that was never stamped says nothing.
		{append(stamped([3]int{0, 1, 60}), &Call{Low: 50}), nil, 0},
	} {
		if got := overWindows(c.calls, c.jumps, 5*time.Second, 100); got != c.want {
			t.Errorf("case %d: %d above the limit, want %d", i, got, c.want)
		}
	}
}

func TestRateIsJudged(t *testing.T) {
	l := &limits{Rate: 1000, Burst: 50, Lend: 100 * time.Millisecond} // 150 at once, and 25 for what is apart
	call := func(sent, got, size int) *Call { return &Call{Sent: at(sent), Got: at(got), Size: int64(size)} }
	for i, c := range []struct {
		calls []*Call
		jumps []Jump
		want  int64
	}{
		{[]*Call{call(0, 0, 175)}, nil, 0},
		{[]*Call{call(0, 0, 176)}, nil, 1},
		{[]*Call{call(0, 10, 100), call(5, 20, 96)}, nil, 1},
		{[]*Call{call(0, 10, 100), call(5, 20, 95)}, nil, 0},
		{[]*Call{call(0, 0, 150), call(100, 100, 100), call(200, 200, 130)}, nil, 5},
		// What was sent before may have been admitted before.
		{[]*Call{call(0, 900, 150), call(800, 800, 100)}, nil, 0},
		{[]*Call{call(0, 0, 150), call(100, 100, 150)}, []Jump{{1, at(50), at(60), 30 * time.Millisecond}}, 0},
		{[]*Call{call(0, 0, 150), call(100, 100, 150)}, []Jump{{1, at(50), at(60), 10 * time.Millisecond}, {2, at(50), at(60), 5 * time.Millisecond}}, 10},
		{[]*Call{call(0, 0, 150), call(100, 100, 150)}, []Jump{{1, at(500), at(600), time.Second}}, 25},
		{[]*Call{call(0, 0, 150), call(100, 100, 150)}, []Jump{{1, at(-20), at(-10), time.Second}}, 25},
	} {
		if got := overRate(c.calls, c.jumps, l); got != c.want {
			t.Errorf("case %d: %d above what is allowed, want %d", i, got, c.want)
		}
	}
}

// One call too large is found wherever it stands.
func TestRateIsJudgedOverLongRuns(t *testing.T) {
	l := &limits{Rate: 1000, Burst: 50, Lend: 100 * time.Millisecond}
	for _, where := range []int{0, 1, 5_000, 19_999} {
		var calls []*Call
		for i := range 20_000 {
			calls = append(calls, &Call{Sent: at(i), Got: at(i), Size: 1})
		}
		calls[where].Size = 200
		if got := overRate(calls, nil, l); got != 25 {
			t.Errorf("a call too large at %d: %d, want 25", where, got)
		}
	}
}

func TestPolicyIsValid(t *testing.T) {
	for _, o := range []Options{{Nodes: 4, Duration: minDuration}, {Nodes: 7, Duration: 5 * time.Minute}, {Nodes: maxNodes, Duration: maxDuration}} {
		l := limitsFor(&o)
		for what, v := range map[string]ledger.Tokens{"job": l.Job, "turn": l.Turn, "burst": l.Burst, "pace": l.Pace, "slots": l.Slots} {
			if v <= 0 || what != "slots" && v < 2*1400 {
				t.Errorf("%v: %s %d", o, what, v)
			}
		}
		p, err := policy.Parse("policy", []byte(l.policy()))
		if err != nil {
			t.Errorf("%v: %v", o, err)
			continue
		}
		// What the nodes say of these in the end is laid beside all that was spent in the run: no calendar may take it from them, as the month did.
		for _, budget := range []string{Jobs, Pace} {
			if b, ok := p.Budget(budget); !ok || b.Spec.Kind != ledger.Grant {
				t.Errorf("%s is no grant, so its totals are no history: %+v", budget, b)
			}
		}
	}
}
