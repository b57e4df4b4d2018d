package admit

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const sharedPool = bare + `
classes:
  - {name: standard, latency_budget: 2s}
tenants: {heavy: {weight: 3}}
budgets:
  - {name: pool, token: compute, supply: {rate: 1000/s, burst: 1000}, fairness: %s}
rules:
  - {draw: [pool]}
`

// asking is what a tenant asks for at some nodes together, in tokens per second; its calls are of 10.
type asking struct {
	tenant string
	rate   int
	at     []int
}

// share has tenants ask for some time, and returns what each got, in tokens per second.
func (w *swarm) share(d time.Duration, all []asking) map[string]float64 {
	got := map[string]float64{}
	take := func(n *node, id ID, r *Request) {
		if a := n.answer(id); a.Verdict == Admit {
			got[r.Tenant] += float64(a.Reserved[0].Amount)
			n.settle(id, forTokens(a.Reserved[0].Amount))
		}
	}
	for step := range int(d / (50 * time.Millisecond)) {
		for _, x := range all {
			for k := x.rate * step / 200; k < x.rate*(step+1)/200; k++ {
				n, r := w.nodes[x.at[k%len(x.at)]], on("pool", 10).by(x.tenant).wait(UseClassDefault)
				if id, waits := n.admit(r); waits == nil {
					take(n, id, r)
				}
			}
		}
		w.pass(50 * time.Millisecond)
		for _, n := range w.nodes {
			for _, x := range n.decided() {
				take(n, x.ID, x.Request)
			}
		}
	}
	for tenant := range got {
		got[tenant] /= d.Seconds()
	}
	return got
}

// TestSharesOfTheSwarm: whoever asks for how much wherever, each tenant gets its max-min share of the whole swarm, though no node sees
// more than a part of it.
func TestSharesOfTheSwarm(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and half a minute under the race detector")
	}
	for _, c := range []struct {
		name     string
		fairness string
		asks     []asking
		want     map[string]float64 // nil: not all of them are near what is said
		fair     bool
	}{
		{"small ones have what they ask for", "swarm", []asking{{"greedy", 2400, []int{0, 1}}, {"small", 150, []int{2}}, {"more", 900, []int{0, 2}}},
			map[string]float64{"greedy": 425, "small": 150, "more": 425}, true},
		{"each node for itself", "node", []asking{{"greedy", 2400, []int{0, 1}}, {"small", 150, []int{2}}, {"more", 900, []int{0, 2}}},
			map[string]float64{"greedy": 425, "small": 150, "more": 425}, false},
		{"each alone at its node", "swarm", []asking{{"greedy", 2400, []int{0}}, {"other", 900, []int{1}}, {"third", 600, []int{2}}},
			map[string]float64{"greedy": 333, "other": 333, "third": 333}, true},
		{"by weight", "swarm", []asking{{"greedy", 2400, []int{0, 1}}, {"heavy", 1500, []int{2}}},
			map[string]float64{"greedy": 250, "heavy": 750}, true},
		{"enough for all", "swarm", []asking{{"greedy", 400, []int{0, 1}}, {"other", 300, []int{2}}},
			map[string]float64{"greedy": 400, "other": 300}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSwarm(t, 3, fmt.Sprintf(sharedPool, c.fairness), Config{})
			w.share(12*time.Second, c.asks)
			got, worst := w.share(10*time.Second, c.asks), 0.0
			for tenant, want := range c.want {
				worst = max(worst, math.Abs(got[tenant]/want-1))
			}
			if worst > 0.2 == c.fair {
				t.Errorf("got %v, shares are %v", got, c.want)
			}
		})
	}
}

// TestSharesEnd: once less is asked for than there is, tenants go as they come, and decisions are made on the spot again.
func TestSharesEnd(t *testing.T) {
	w := newSwarm(t, 2, fmt.Sprintf(sharedPool, "swarm"), Config{})
	w.share(10*time.Second, []asking{{"greedy", 3000, []int{0}}, {"other", 900, []int{1}}})
	for _, n := range w.nodes {
		if list := n.e.Shares(); len(list) != 1 || list[0].Part <= 0 || list[0].Asked <= 0 {
			t.Fatalf("shared out: %+v", list)
		}
	}
	w.pass(time.Minute)
	for _, n := range w.nodes {
		if list := n.e.Shares(); len(list) != 0 {
			t.Errorf("still shared out: %+v", list)
		}
		if _, ok := n.e.Try(w.now, on("pool", 10).by("greedy")); !ok && n.account("pool").Rights(w.now) >= 10 {
			t.Error("not decided on the spot")
		}
	}
}

// TestLevels: classes have their parts by weight, what one leaves goes to the others, and tenants within each theirs; small tenants whom
// rows do not name count, too.
func TestLevels(t *testing.T) {
	p := parse(t, bare+`
classes:
  - {name: best, weight: 3, latency_budget: 2s}
  - {name: rest, weight: 1, latency_budget: 2s, default: true}
tenants: {heavy: {weight: 2}}
budgets: [{name: pool, token: compute, supply: {rate: 1000/s, burst: 1000}}]
rules: [{draw: [pool]}]
`)
	claims := func(of map[[2]string]ledger.Tokens) (list []ledger.Claim) {
		for _, c := range []string{"best", "rest"} {
			for _, tenant := range []string{"a", "b", "heavy"} {
				if n := of[[2]string{c, tenant}]; n > 0 {
					list = append(list, ledger.Claim{Who: whoOf(c, tenant), Asked: n})
				}
			}
		}
		return list
	}
	for _, c := range []struct {
		name        string
		of          map[[2]string]ledger.Tokens
		rest, least float64
		best, other float64
	}{
		{"by class", map[[2]string]ledger.Tokens{{"best", "a"}: 2000, {"rest", "a"}: 2000}, 0, 0, 750, 250},
		{"what a class leaves", map[[2]string]ledger.Tokens{{"best", "a"}: 200, {"rest", "a"}: 2000}, 0, 0, math.Inf(1), 800},
		{"by tenant", map[[2]string]ledger.Tokens{{"rest", "a"}: 2000, {"rest", "b"}: 100}, 0, 0, 0, 900},
		{"by weight", map[[2]string]ledger.Tokens{{"rest", "a"}: 2000, {"rest", "heavy"}: 9000}, 0, 0, 0, 1000. / 3},
		{"unnamed", map[[2]string]ledger.Tokens{{"rest", "a"}: 2000}, 300, 50, 0, 700},
	} {
		got := levels(1000, claims(c.of), c.rest, c.least, p)
		if b, o := got[uint16(fnv("best"))], got[uint16(fnv("rest"))]; b != c.best || math.Abs(o-c.other) > 1e-6 {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, b, o, c.best, c.other)
		}
	}
}

// TestSmallOnesGoFirst: a tenant that asks for less than its part in the swarm has all its calls served before those of one that asks for
// more, also where many come to one node at once; and two such go as they came, whatever they have had.
func TestSmallOnesGoFirst(t *testing.T) {
	w := newSwarm(t, 3, fmt.Sprintf(sharedPool, "swarm"), Config{})
	asks := []asking{{"greedy", 2400, []int{0, 1, 2}}, {"small", 200, []int{1, 2}}, {"other", 60, []int{1, 2}}}
	w.share(15*time.Second, asks)
	n := w.nodes[0]
	for range 20 {
		n.admit(on("pool", 10).by("greedy").wait(UseClassDefault))
	}
	var order, want []string
	seen := map[*Waiter]int{}
	for i := range 16 { // where neither has asked for anything yet
		tenant := []string{"small", "other", "small"}[i%3]
		if _, x := n.admit(on("pool", 10).by(tenant).wait(UseClassDefault)); x != nil {
			seen[x] = i
			want = append(want, fmt.Sprint(tenant, i))
		}
	}
	if len(want) < 5 {
		t.Fatalf("only %v wait", want)
	}
	w.pass(2 * time.Second)
	for _, x := range n.decided() {
		i, ours := seen[x]
		switch {
		case ours && n.answer(x.ID).Verdict == Admit:
			order = append(order, fmt.Sprint(x.Request.Tenant, i))
		case !ours && len(order) < len(want) && n.answer(x.ID).Verdict == Admit:
			order = append(order, x.Request.Tenant)
		}
	}
	if !slices.Equal(order, want) {
		t.Errorf("served %v, waited %v", order, want)
	}
}

// TestSparing: while some ask for less than their parts, each node keeps rights for a call of theirs, which those that ask for more leave
// alone; it ends with the shortage.
func TestSparing(t *testing.T) {
	w := newSwarm(t, 2, fmt.Sprintf(sharedPool, "swarm"), Config{})
	asks := []asking{{"greedy", 3000, []int{0, 1}}, {"small", 60, []int{1}}}
	w.share(15*time.Second, asks)
	n := w.nodes[0]
	spare := n.account("pool").Spare()
	if spare <= 0 {
		t.Fatal("nothing is spared")
	}
	for range 40 { // all that is there
		n.admit(on("pool", 10).by("greedy").wait(UseClassDefault))
	}
	if left := n.account("pool").Rights(w.now); left < spare {
		t.Errorf("%d are left of the %d that should be spared", left, spare)
	}
	n.must(on("pool", int64(spare)).by("small").wait(0), Admit, CodeOK)
	w.pass(time.Minute)
	if spare := n.account("pool").Spare(); spare != 0 {
		t.Errorf("%d are spared for nobody", spare)
	}
}

// TestStandings: a decision remembers how its tenant stood where more was asked for than there is, whether the call was admitted or not.
func TestStandings(t *testing.T) {
	w := newSwarm(t, 2, fmt.Sprintf(sharedPool, "swarm"), Config{})
	n := w.nodes[0]
	standings := func(id ID) []Standing {
		d, err := n.e.Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		return d.Shared
	}
	if list := standings(n.must(on("pool", 10).by("small").wait(0), Admit, CodeOK)); len(list) > 0 {
		t.Errorf("with enough for all: %+v", list)
	}
	w.share(15*time.Second, []asking{{"greedy", 3000, []int{0, 1}}, {"small", 100, []int{0, 1}}})
	n.e.SetAuditing(Auditing{Admitted: wholeAudit, Refused: wholeAudit})
	admitted := n.must(on("pool", 10).by("small").wait(0), Admit, CodeOK)
	refused := n.must(on("pool", 10).by("greedy").wait(0), Defer, CodeExhausted)
	for id, small := range map[ID]bool{admitted: true, refused: false} {
		list := standings(id)
		if len(list) != 1 || list[0].Small != small || list[0].Asked <= 0 || list[0].Part <= 0 || small && !list[0].Under {
			t.Errorf("small: %v, %+v", small, list)
		}
	}
	noted, _ := taken(n.e)
	if len(noted) != 2 || len(noted[0].Shared) != 1 || len(noted[1].Shared) != 1 || noted[0].Shared[0].Small == noted[1].Shared[0].Small {
		t.Errorf("noted for the audit log: %+v", noted)
	}
	for range 40 { // waits, and is refused at its deadline
		n.admit(on("pool", 10).by("greedy").wait(UseClassDefault))
	}
	w.pass(3 * time.Second)
	late := 0
	for _, x := range n.decided() {
		if d, err := n.e.Lookup(x.ID); err == nil && x.Request.Tenant == "greedy" && len(d.Shared) == 1 {
			late++
		}
	}
	if late < 20 {
		t.Errorf("%d of those that waited say how their tenant stood", late)
	}
}
