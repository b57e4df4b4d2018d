package sim

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/policy"
)

// ranWith is a swarm of six after a time with calls, and 30 s without, whose policy says this, too.
func ranWith(t *testing.T, d time.Duration, more string) *world {
	t.Helper()
	sc := steady(t, 6, d)
	p, err := policy.Parse("test", []byte(strings.Replace(steadyPolicy, "revision: 1\n", "revision: 1\n"+more, 1)))
	if err != nil {
		t.Fatal(err)
	}
	sc.Policies = []*policy.Policy{p}
	w, err := newWorld(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.until(w.end, Options{})
	return w
}

// guardedSwarm is a swarm of six with guardians after 40 s of calls, and 30 s without.
func guardedSwarm(t *testing.T) *world {
	w := ranWith(t, 40*time.Second, "guardians: 3\nlease: 20s\n")
	if w.violation != nil {
		t.Fatal(w.violation)
	}
	for _, n := range w.nodes {
		if len(n.core.Replica.Guardians()) == 0 {
			t.Fatalf("%s has no guardians", n.name)
		}
	}
	return w
}

// dies: the node never comes back.
func dies(n *node) {
	n.stop()
	n.gone, n.crashed = true, true
	n.w.pool.died(n)
}

// TestRestOfTheDead: each promise about what generations had that have ended can be broken, and is named when it is.
func TestRestOfTheDead(t *testing.T) {
	// The fifth node has died, and was claimed; the swarm is at rest.
	rested := func(t *testing.T) (*world, *node) {
		w := guardedSwarm(t)
		n := w.nodes[4]
		dies(n)
		w.atRest()
		w.untilStill(Options{})
		if w.violation != nil || w.audit.claims[n.self] == nil {
			t.Fatalf("%+v, claims %v", w.violation, w.audit.claims)
		}
		return w, n
	}
	for _, c := range []struct {
		name  string
		plant func(w *world, dead *node)
		want  string // the invariant
		say   string // and what is said of it
	}{
		{"nothing", func(*world, *node) {}, "", ""},
		{"nobody has claimed it", func(w *world, dead *node) {
			delete(w.audit.claims, dead.self)
			w.audit.side(sideKey{0, w.pool.holder(dead.self)}).claimed = false
		}, isBack, "is not claimed"},
		{"its heir is not credited", func(w *world, dead *node) {
			for k, d := range w.audit.dues {
				if k.from == dead.self && d.Shares > 0 {
					delete(w.audit.dues, k)
				}
			}
		}, isBack, "has not been credited"},
		{"its heir has ended, too", func(w *world, dead *node) {
			c := w.audit.claims[dead.self]
			heir := c.value.Heir
			c.value.Heir.Gen += 7
			w.audit.sets[c.value.Heir] = w.audit.sets[heir]
			for _, g := range w.guardians(w.audit.sets[heir]) { // they know it
				g.disk[ledger.WardKey(c.value.Heir)] = g.disk[ledger.WardKey(heir)]
			}
		}, isBack, "has ended and is not claimed"},
		{"its heir's row forgets what it has taken over", func(w *world, dead *node) {
			heir := w.byName[w.audit.claims[dead.self].value.Heir.Node]
			s, _, _, _ := heir.core.Replica.Account(w.pool.ids[0]).Peek()
			if s.Taken.Spent == 0 {
				t.Errorf("the dead had spent nothing: %+v", s.Taken)
			}
			w.pool.latest(0, w.pool.holder(heir.self)).row.Spent -= s.Taken.Spent
		}, "every node knows the same in the end", "its account is"},
		{"shares are missing", func(w *world, dead *node) { w.audit.genesis[0]++ }, isBack, "live holders have"},
		{"there are more shares than all", func(w *world, dead *node) { w.audit.genesis[0]-- }, isBack, "live holders have"},
		{"a peer has not settled with it", func(w *world, dead *node) {
			for k, e := range w.audit.entries {
				if p := w.nodes[0]; w.pool.names[k.holder] == p.self && e != (ledger.Entry{}) && w.byName[w.pool.names[k.peer].Node].lives(w.pool.names[k.peer]) {
					w.audit.claims[w.pool.names[k.peer]] = &claimed{value: guardian.Value{Heir: p.self}}
					return
				}
			}
			t.Error("n0000 has dealt with nobody")
		}, isBack, "has not settled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, dead := rested(t)
			c.plant(w, dead)
			if got, say := w.unrest(); got != c.want || !strings.Contains(say, c.say) {
				t.Errorf("found %q, %s; want %q, %s", got, say, c.want, c.say)
			}
		})
	}
	t.Run("one that was claimed does not know it", func(t *testing.T) {
		h := newHistory(t)
		h.audit.claims[h.a.self] = &claimed{}
		h.now, h.calls = 90*second, 0
		if got, say := h.unrest(); got != knowsIt {
			t.Errorf("found %q, %s", got, say)
		}
	})
	t.Run("two values are decided", func(t *testing.T) {
		w, dead := rested(t)
		c := w.audit.claims[dead.self]
		n := w.byName[c.value.Heir.Node]
		k := ledger.WardKey(dead.self)
		again := []ledger.Write{{Key: k, Value: n.disk[k]}}
		if w.audit.guarding(n, again); w.violation != nil {
			t.Fatalf("%+v", w.violation)
		}
		c.value.Version++
		if w.audit.guarding(n, again); w.violation == nil || w.violation.Invariant != "at most one value is decided of a generation" {
			t.Errorf("found %+v", w.violation)
		}
	})
	t.Run("the books of two do not fit", func(t *testing.T) {
		w, _ := rested(t)
		for k, e := range w.audit.entries {
			if w.audit.claims[w.pool.names[k.holder]] == nil && w.audit.claims[w.pool.names[k.peer]] == nil {
				e.SharesIn++
				w.audit.entries[k] = e
				break
			}
		}
		if w.together(); w.violation == nil || w.violation.Invariant != "the books of all holders fit together" {
			t.Errorf("found %+v", w.violation)
		}
	})
}

// TestStrandedIsExempt: what a node had of whose guardians two died with it for good comes back by nobody, and that is not
// taken for a fault; while one of them could still be claimed with it, it is.
func TestStrandedIsExempt(t *testing.T) {
	w := guardedSwarm(t)
	n := w.nodes[4]
	gs := w.guardians(n.core.Replica.Guardians())
	dies(n)
	if why := w.stranded(n.self); why != "" {
		t.Errorf("%s with all its guardians", why)
	}
	dies(gs[0])
	if why := w.stranded(n.self); why != "" {
		t.Errorf("%s with two of three guardians", why)
	}
	dies(gs[1])
	if why := w.stranded(n.self); why != "lost guardians" {
		t.Errorf("%q with one of three guardians", why)
	}
	w.atRest()
	if w.untilStill(Options{}); w.violation != nil {
		t.Errorf("%+v", w.violation)
	}
}

// TestOlderCopiesAreFound: a node that comes back with what its guardians' side of the disk was some time ago is fenced, and that
// is named, since disks here lose nothing.
func TestOlderCopiesAreFound(t *testing.T) {
	sc := guardedSwarm(t).sc
	w, err := newWorld(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.until(20*second, Options{})
	n := w.nodes[2]
	old := maps.Clone(n.disk)
	w.until(30*second, Options{})
	n.stop()
	for k, v := range old {
		if strings.HasPrefix(k, "ward/") || strings.HasPrefix(k, "copy/") {
			n.disk[k] = v
		}
	}
	n.start()
	if w.until(60*second, Options{}); w.violation == nil || w.violation.Invariant != "no node is fenced that keeps its disk" {
		t.Errorf("found %+v", w.violation)
	}
}

// TestGivenToOneWithoutAnAccount: what was given to a node that died for good before it had an account of the instance is on its way for
// ever where nobody guards it, and counts as that; less than that is missing.
func TestGivenToOneWithoutAnAccount(t *testing.T) {
	w := ranWith(t, 20*time.Second, "guardians: 0\n")
	late := w.addNode(6) // no call comes to it any more
	late.start()
	w.pool.came(late)
	w.until(w.now+10*second, Options{})
	dies(late)
	n := w.nodes[0]
	if err := n.core.Replica.Leave(n.clockNow(), late.self); err != nil { // before it knows
		t.Fatal(err)
	}
	n.flush()
	if w.untilStill(Options{}); w.violation != nil {
		t.Fatalf("%+v", w.violation)
	}
	if w.audit.shares(); w.violation != nil {
		t.Fatalf("%+v", w.violation)
	}
	found := false
	for k, e := range w.audit.entries {
		if w.pool.names[k.peer] == late.self && e.SharesOut > 0 {
			if w.audit.sides[sideKey{k.instance, k.peer}] != nil {
				t.Errorf("%v has an account", late.self)
			}
			e.SharesOut--
			w.audit.entries[k], found = e, true
		}
	}
	if !found {
		t.Fatal("nothing was given to it")
	}
	if w.together(); w.violation == nil || !strings.Contains(w.violation.Detail, "shares are conserved") {
		t.Errorf("found %+v", w.violation)
	}
}
