package admit

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestTurns: of a line that brings less than calls want, all get the same, in whatever order they ask and whatever pieces they ask
// for; none waits much longer than a turn of all; what lacks is told for all of them; and who ends holds nobody up.
func TestTurns(t *testing.T) {
	n := one(t, example(t, "bandwidth")) // 500 kB/s of a tenant, and a burst of 1 MB
	dice := rand.New(rand.NewPCG(1, 2))
	const calls = 40
	var ids [calls]ID
	for i := range ids {
		ids[i] = n.must(moves("search"), Admit, CodeOK)
	}
	n.flow(ids[0], 1_000_000) // the burst
	var got, need [calls]ledger.Tokens
	var since, longest [calls]ledger.Instant
	piece := func(i int) ledger.Tokens { return ledger.Tokens(2000 + 1000*(i%30)) }
	for i := range ids {
		need[i], since[i] = piece(i), n.w.now
	}
	for range 3000 {
		n.w.pass(10 * time.Millisecond)
		for range calls {
			i := dice.IntN(calls)
			done, lack, ok := n.e.Pace(n.w.now, ids[i], need[i])
			if !ok || done < 0 || done > need[i] {
				t.Fatalf("%d of %d, %v", done, need[i], ok)
			}
			if done > 0 {
				longest[i], since[i] = max(longest[i], n.w.now-since[i]), n.w.now
				got[i] += done
			}
			if need[i] -= done; need[i] == 0 {
				need[i] = piece(i)
			} else if lack.Instance.Name() != "tenant-line/search" || lack.Need < need[i] || lack.First > lack.Need {
				t.Fatalf("lacks %+v, it alone needs %d", lack, need[i])
			}
		}
	}
	// 500 kB/s over 40 calls are 12.5 kB/s each.
	if least, most := slices.Min(got[:]), slices.Max(got[:]); least < 330_000 || most > 420_000 {
		t.Errorf("each should get 375 kB in 30 s; they got %d", got)
	}
	if most := slices.Max(longest[:]); most > 500 {
		t.Errorf("one waited for %d ms for a byte", most)
	}
	_, lack, _ := n.e.Pace(n.w.now, ids[1], 1_000_000)
	if sum := lack.Need; sum < 1_000_000 {
		t.Errorf("lacks %+v", lack)
	}
	for i := range ids[1:] {
		n.settle(ids[i+1], Settlement{Usage: &Usage{PromptTokens: 1}})
	}
	n.w.pass(time.Second)
	if done, _, _ := n.e.Pace(n.w.now, ids[0], 400_000); done != 400_000 {
		t.Errorf("the last one gets %d bytes", done)
	}
	// One whose TTL ends while its bytes wait leaves the line when it asks again.
	late := moves("search")
	late.TTL = time.Second
	id := n.must(late, Admit, CodeOK)
	if done, _, _ := n.e.Pace(n.w.now, id, 2_000_000); done == 2_000_000 {
		t.Error("more than the burst passed")
	}
	n.w.pass(3 * time.Second)
	n.e.Expire(n.w.now)
	if _, _, ok := n.e.Pace(n.w.now, id, 1000); ok {
		t.Error("a call whose TTL has ended is paced")
	}
	for _, g := range n.e.gates {
		if g.turns.n.Load() != 0 || len(g.turns.line) != 0 || g.turns.needs != 0 {
			t.Errorf("%s: %d in line, who need %d", g.id.Name(), len(g.turns.line), g.turns.needs)
		}
	}
}
