package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

// life is the instance of a budget that lives from so many seconds after the start of the test until so many after it.
func life(w *world, name string, from, to int, spec Spec) InstanceID {
	base, err := NewInstanceID(w.charter.ID, name, "compute", spec.Kind, nil, nil)
	if err != nil {
		panic(err)
	}
	id, err := base.InLife(testStart+Instant(from)*1000, testStart+Instant(to)*1000)
	if err != nil {
		panic(err)
	}
	w.ids = append(w.ids, id)
	w.specs[id] = []Spec{spec}
	return id
}

// afterLife is longer than what an instance stays after its life.
const afterLife = Instant(125_000)

// TestLife: what an identity says of its life, and what is no identity.
func TestLife(t *testing.T) {
	id, err := NewInstanceID(CharterID{1}, "agent-hour", "compute", Windowed, []string{"agent"}, []string{"a.7-x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := id.Life(); ok || id.Lifeless() != id {
		t.Errorf("%s has a life", id)
	}
	live, err := id.InLife(3_600_000, 7_200_000)
	if err != nil {
		t.Fatal(err)
	}
	begins, ends, ok := live.Life()
	if !ok || begins != 3_600_000 || ends != 7_200_000 || live.Lifeless() != id || live.Name() != id.Name() {
		t.Errorf("%s lives from %d to %d: %v; it is %s of %s", live, begins, ends, ok, live.Name(), live.Lifeless())
	}
	budget, values, fp, err := live.Split()
	if err != nil || budget != "agent-hour" || !slices.Equal(values, []string{"a.7-x"}) || !strings.HasSuffix(string(id), "@"+fp) {
		t.Errorf("%s is %q of %q, %q: %v", live, values, budget, fp, err)
	}
	for _, tail := range []string{".", ".0-", ".-1", ".5-5", ".6-5", ".05-6", ".5-6-7", ".5-6 ", ".g-h", ".5", ".5-ffffffffffffffff", ".+5-6"} {
		if _, _, _, err := (id + InstanceID(tail)).Split(); err == nil {
			t.Errorf("%s is an identity", id+InstanceID(tail))
		}
	}
	for _, bad := range [][2]Instant{{0, 0}, {2000, 1000}, {500, 2000}, {0, 1500}, {-1000, 0}} {
		if got, err := id.InLife(bad[0], bad[1]); err == nil {
			t.Errorf("%s lives from %d to %d", got, bad[0], bad[1])
		}
	}
	if long, err := NewInstanceID(CharterID{1}, "b", "compute", Windowed, []string{"agent"}, []string{strings.Repeat("x", 235)}); err != nil {
		t.Error(err)
	} else if _, err := long.InLife(3_600_000, 7_200_000); err == nil {
		t.Errorf("a name of %d bytes has room for a life", len(long))
	}
}

// leftOf lists what a node has of an instance.
func (n *wnode) leftOf(id InstanceID) (left []string) {
	for k := range n.disk {
		if strings.Contains(k, string(id)) || strings.HasPrefix(k, "used/") && !strings.HasSuffix(k, "/0000000000000001") {
			left = append(left, k)
		}
	}
	if n.r.Account(id) != nil {
		left = append(left, "an account")
	}
	if ks := n.r.Rows(n.clock(), id); len(ks) > 0 {
		left = append(left, fmt.Sprintf("%d rows", len(ks)))
	}
	if slices.Contains(n.r.Instances(), id) {
		left = append(left, "the instance")
	}
	return left
}

// TestEndedInstancesAreForgotten: some time after its life nothing is left of an instance on any node: no record, no row, not in
// the count. What callers ran goes first.
func TestEndedInstancesAreForgotten(t *testing.T) {
	w := newWorld(3, 2, 1, nil)
	w.fatalf, w.logf = t.Fatalf, t.Logf
	id := life(w, "b", 40, 100, window(1000, 60_000)) // testStart is at 20 s of a minute
	w.now = testStart + 40_000
	for _, n := range w.nodes {
		for range 20 {
			if n.reserve([]InstanceID{id}, []Tokens{100}, false, true) {
				break
			}
			w.round(20)
		}
		if len(n.open) != 1 {
			t.Fatalf("node %d admits nothing", n.i)
		}
	}
	w.round(1000)
	for _, n := range w.nodes {
		if n.r.Count("b") != 1 || len(n.leftOf(id)) == 0 {
			t.Errorf("node %d has %v", n.i, n.leftOf(id))
		}
	}
	w.now = testStart + 100_000
	w.round(50)
	for _, n := range w.nodes {
		if n.r.Count("b") != 0 || n.r.Account(id) == nil {
			t.Errorf("node %d counts %d at the end of the life, and has %v", n.i, n.r.Count("b"), n.leftOf(id))
		}
		takes := []Take{{Account: n.r.Account(id), Amount: 1}} // as a caller whose plan is older
		if why, _ := Reserve(n.clock(), n.clock()+ttl, takes, false); why != Ended {
			t.Errorf("node %d: a call after the life finds %v", n.i, why)
		}
	}
	w.now += afterLife
	w.round(50)
	w.round(1000)
	for _, n := range w.nodes {
		if n.r.Account(id) == nil {
			t.Fatalf("node %d forgets it while a call runs", n.i)
		}
		n.settle(0, 50)
	}
	for range 4 {
		w.round(1000)
	}
	var issued, ended Tokens
	for _, n := range w.nodes {
		if left := n.leftOf(id); len(left) > 0 {
			t.Errorf("node %d keeps %v", n.i, left)
		}
		if _, err := n.r.Open(n.clock(), id); err == nil {
			t.Errorf("node %d opens it again", n.i)
		}
		p := n.r.Lives("b")
		issued, ended = issued+p.Issued, ended+p.Spent+p.Lapsed
	}
	if issued != 1000 || ended != 1000 {
		t.Errorf("of the 1000 of their budget nodes remember that %d were issued, and %d spent or lapsed", issued, ended)
	}
	for _, n := range w.nodes { // what is forgotten stays so, whatever the clock shows
		n.crash()
		n.off = -Millis(w.now - testStart)
		n.start(7)
		w.members()
		if a, err := n.r.Open(n.clock(), id); err == nil {
			t.Errorf("node %d opens it with its clock put back: %+v", n.i, a)
		}
	}
}

// TestSeatRemembersWhatEnded: a seat that passes to a node whose clock is behind brings no founding shares to a life that its
// giver has forgotten.
func TestSeatRemembersWhatEnded(t *testing.T) {
	w := newWorld(2, 1, 1, nil)
	w.fatalf, w.logf = t.Fatalf, t.Logf
	id := life(w, "b", 0, 60, window(1000, 20_000))
	giver, taker := w.nodes[0], w.nodes[1]
	taker.off = -300_000
	giver.reserve([]InstanceID{id}, []Tokens{700}, false, false)
	w.round(50)
	w.now = testStart + 60_000 + afterLife
	for range 3 {
		w.round(1000)
	}
	if left := giver.leftOf(id); len(left) > 0 {
		t.Fatalf("the giver keeps %v", left)
	}
	if err := giver.r.Leave(giver.clock(), taker.self); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		w.round(200)
	}
	if s := taker.r.Seats(); s[0].Holder != taker.self {
		t.Fatalf("seats: %v", s)
	}
	taker.reserve([]InstanceID{id}, []Tokens{700}, false, false)
	w.round(50)
	if taker.reserve([]InstanceID{id}, []Tokens{700}, false, false) {
		t.Error("1,400 of 1,000 are admitted in one window")
	}
}

// TestDebtGoesToTheNextLife: what a call used beyond its reservation is paid by the life that follows.
func TestDebtGoesToTheNextLife(t *testing.T) {
	w := newWorld(1, 1, 1, nil)
	w.fatalf, w.logf = t.Fatalf, t.Logf
	n := w.nodes[0]
	first := life(w, "b", 40, 100, window(1000, 60_000))
	next := life(w, "b", 100, 400, window(1000, 60_000))
	w.now = testStart + 40_000
	for range 5 {
		if n.reserve([]InstanceID{first}, []Tokens{800}, false, false) {
			break
		}
		w.round(50)
	}
	w.now = testStart + 101_000
	n.settle(0, 150) // 400 more than it reserved
	w.round(50)
	n.open1(next)
	w.now += 1000
	w.round(50)
	for w.now < testStart+100_000+afterLife {
		w.round(5000)
	}
	w.round(50)
	w.round(1000)
	if left := n.leftOf(first); slices.Contains(left, "an account") {
		t.Errorf("the first life stays with %v", left)
	}
	s := n.r.Account(next).State(n.clock())
	if was := n.r.Lives("b").Spent; was+s.Past.Spent+s.Spent != 1200 || s.Past.Spent+s.Spent == 0 || s.Debt != 0 {
		t.Errorf("of the 1200 that the call used the first life has paid %d, the next one %d, and it owes %d", was, s.Past.Spent+s.Spent, s.Debt)
	}
}

// TestLivesLaws: instances whose lives follow each other are used, forgotten and told of late, by nodes whose clocks disagree,
// that crash, leave, and are cut off for longer than a life. No life is founded twice, and none admits more than its own.
func TestLivesLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "nodes")
		w := newWorld(n, rapid.IntRange(1, n).Draw(t, "founders"), 1, nil)
		w.fatalf, w.logf = t.Fatalf, t.Logf
		spec := rapid.SampledFrom([]Spec{
			window(1000, 20_000),
			{Kind: Windowed, Amount: 1000, Calendar: Calendar{Length: 20_000}, Ceiling: Soft, OverdraftPPM: 200_000},
			{Kind: Rate, Amount: 500, Per: 100, PerMillis: 1000, Lend: DefaultLend},
		}).Draw(t, "supply")
		for k := range 5 {
			life(w, "b", 60*k, 60*(k+1), spec)
		}
		for _, n := range w.nodes {
			if spec.Kind != Rate { // at a turn both lives accrue for as long as clocks disagree
				n.off = Millis(rapid.SampledFrom([]int{0, -1500, 900}).Draw(t, "skew"))
			}
		}
		acts := w.actions(spec.Kind != Rate)
		for _, name := range []string{"mint", "burn", "respec", "refused by the provider"} {
			delete(acts, name)
		}
		acts["life"] = func(t *rapid.T) {
			w.now += Instant(rapid.SampledFrom([]int{60_000, 125_000}).Draw(t, "ms"))
		}
		acts["forget"] = func(t *rapid.T) {
			for range 2 {
				w.round(1000)
			}
		}
		acts["present"] = func(t *rapid.T) { // as callers do
			n := w.anyUp(t)
			for _, id := range w.ids {
				if from, to, _ := id.Life(); from <= n.clock() && n.clock() < to {
					n.reserve([]InstanceID{id}, []Tokens{Tokens(rapid.IntRange(1, 600).Draw(t, "amount"))}, true, true)
				}
			}
		}
		if spec.Kind == Rate {
			acts["drain"] = func(t *rapid.T) {
				for _, n := range w.nodes {
					for _, id := range w.ids {
						if n.r != nil && n.r.Account(id) != nil {
							n.admitOnly(n.r.Account(id), n.r.Account(id).Rights(n.clock()))
						}
					}
				}
			}
		}
		for range 3 {
			t.Repeat(acts)
		}
		w.heal(0)
		for _, n := range w.nodes {
			for len(n.open) > 0 {
				n.settle(0, 100)
			}
		}
		w.now += 5*60_000 + 2*afterLife // what is owed was given up by then
		for range 5 {
			w.round(1000)
		}
		for _, n := range w.nodes {
			for _, id := range w.ids {
				if left := n.leftOf(id); len(left) > 0 {
					t.Fatalf("at the end node %d keeps %v of %s", n.i, left, id)
				}
			}
		}
	})
}

// TestGuardedLivesLaws: the same where generations are claimed and follow each other, and a directory is lost. What an heir has
// forgotten is not credited to the next one, whose clock may be behind.
func TestGuardedLivesLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := guardedSwarm(t)
		spec := rapid.SampledFrom([]Spec{
			window(1000, 20_000),
			{Kind: Rate, Amount: 500, Per: 100, PerMillis: 1000, Lend: DefaultLend},
		}).Draw(t, "supply")
		w.ids = nil
		for k := range 5 {
			life(w, "b", 60*k, 60*(k+1), spec)
		}
		acts := w.actions(spec.Kind != Rate)
		for _, name := range []string{"mint", "burn", "respec", "refused by the provider"} {
			delete(acts, name)
		}
		acts["lose"] = func(t *rapid.T) {
			if n := rapid.SampledFrom(w.nodes).Draw(t, "node"); w.lost == 0 && w.guardedByMajority(n) {
				n.lose()
			}
		}
		acts["lapse"] = func(t *rapid.T) {
			for range rapid.IntRange(1, 30).Draw(t, "seconds") {
				w.round(1000)
			}
		}
		acts["life"] = func(t *rapid.T) {
			w.now += Instant(rapid.SampledFrom([]int{60_000, 125_000}).Draw(t, "ms"))
		}
		acts["forget"] = func(t *rapid.T) {
			for range 2 {
				w.round(1000)
			}
		}
		if spec.Kind == Windowed {
			acts["behind"] = func(t *rapid.T) {
				rapid.SampledFrom(w.nodes).Draw(t, "node").off = Millis(rapid.SampledFrom([]int{0, -60_000, -200_000}).Draw(t, "off"))
			}
		}
		for range 3 {
			t.Repeat(acts)
		}
		w.heal(0)
	})
}
