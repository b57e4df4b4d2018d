package ledger_test

import (
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// What is noted when, and how long calls wait for guardians.

// until lets rounds of 50 ms pass until something is so, and returns how many ms that took.
func (w *world) until(so func() bool) (ms int) {
	for ; ms < 200_000 && !so(); ms += 50 {
		w.rounds(1, 50)
	}
	return ms
}

// TestMovingOnIsQuick: a node whose guardians are about to leave rests until its next generation follows, and calls wait.
func TestMovingOnIsQuick(t *testing.T) {
	w := guardedWorld(t, 6, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	if !w.serve(x, 10) {
		t.Fatal("not served")
	}
	w.rounds(20, 100)
	for _, g := range x.r.Guardians()[:2] {
		for _, p := range w.nodes {
			p.passing = p.passing || p.self.Node == g.Node
		}
	}
	w.members()
	w.until(func() bool { return !x.reserve(w.ids, []Tokens{1}, false, false) }) // it rests
	if ms := w.until(func() bool { return x.self.Gen > 1 && x.reserve(w.ids, []Tokens{1}, false, true) }); ms > 500 {
		t.Fatalf("calls wait for %d ms", ms)
	}
}

// TestLeaverIsClaimedAtOnce: whoever has given up its lease waits for its heir's word.
func TestLeaverIsClaimedAtOnce(t *testing.T) {
	for phase := range Millis(5) { // of what nodes do once a second
		w := guardedWorld(t, 6, 1, Spec{Kind: Grant, Amount: 1000})
		w.rounds(1, 1+200*phase)
		x := w.nodes[0]
		gen := x.self.Gen
		x.r.Release()
		if ms := w.until(func() bool { return x.self.Gen > gen }); ms > 300 {
			t.Fatalf("phase %d: it hears after %d ms that it is over", phase, ms)
		}
	}
}

// TestGiftBringsItsMarks: rights of a stock come with the marks to use them, in one version.
func TestGiftBringsItsMarks(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 100_000})
	x, to := w.nodes[0], w.nodes[1]
	for range 3 {
		if !w.serve(to, 10) {
			t.Fatal("not served")
		}
	}
	w.rounds(600, 100) // until nothing is expected of it
	before, s := to.r.Guarding().Version, w.own(to)
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 1000, x.clock()); n != 1000 {
		t.Fatalf("%d given", n)
	}
	w.until(func() bool { return w.own(to).In == s.In+1000 })
	w.rounds(10, 50)
	after, g := w.own(to), to.r.Guarding()
	if g.Version != before+1 || g.Held != g.Version || after.Held < after.Spent+after.Reserved+10 {
		t.Fatalf("%d versions, %d held; the account went from %+v to %+v", g.Version-before, g.Held-before, s, after)
	}
}

// TestSlotsComeBackWithTheirCalls: a generation ends while calls run, and the next one of the process sees them end: their slots
// are free then, and not a minute after the latest that they could have ended.
func TestSlotsComeBackWithTheirCalls(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Slots, Amount: 10})
	x := w.nodes[0]
	for range 3 {
		if !w.serve(x, 1) {
			t.Fatal("not served")
		}
	}
	calls := x.open
	w.rounds(10, 100)
	if err := x.r.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	w.until(func() bool { return x.self.Gen == 2 })
	free := func() (n Tokens) {
		for _, p := range w.nodes {
			if a := p.r.Account(w.ids[0]); a != nil {
				n += a.Rights(p.clock())
			}
		}
		return n
	}
	w.rounds(40, 100)
	for k, c := range calls {
		if n := free(); n > 7 {
			t.Fatalf("%d of 10 are free while %d calls run", n, 3-k)
		}
		for _, take := range c.takes {
			take.Account.Settle(x.clock(), take.Amount, take.Amount, take.Window)
		}
		w.rounds(5, 100)
	}
	if ms := w.until(func() bool { return free() == 10 }); ms > 2000 {
		t.Fatalf("they are free %d ms after their calls have ended", ms)
	}
}

// unguardedBy returns a node that x is none of the guardians of, so that x decides nothing of it.
func (w *world) unguardedBy(x *wnode) *wnode {
	i := slices.IndexFunc(w.nodes, func(p *wnode) bool {
		return p != x && !slices.ContainsFunc(p.r.Guardians(), func(g Holder) bool { return g.Node == x.self.Node })
	})
	return w.nodes[i]
}

// TestGiftToOneThatWentOn: its peer goes on as another generation before it has heard of a gift. The giver asks what became of
// the one before, and takes it back, without waiting for a digest.
func TestGiftToOneThatWentOn(t *testing.T) {
	w := guardedWorld(t, 9, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	to := w.unguardedBy(x)
	w.rounds(10, 100)
	lost := false
	w.lossy = func() bool { return lost }
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	x.r.Tick(x.clock())
	x.batch(commit, nil)
	lost = true // the gift is on disk, and nobody has heard of it
	w.round(1)
	lost = false
	if err := to.r.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	before := w.own(x).Out
	for ms := 0; w.own(x).In < 100; ms += 50 { // without digests
		if w.round(50); ms > 5000 {
			t.Fatalf("gave %d, and has back %d after 5 s; the peer is %v", before, w.own(x).In, to.self)
		}
	}
}

// TestGiftToTheDead: a node dies before it has heard of a gift, so its final records say nothing of the giver. Its heir tells
// everybody that it was claimed, and the giver asks for the records and takes the gift back, without waiting for a digest.
func TestGiftToTheDead(t *testing.T) {
	w := guardedWorld(t, 9, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	to := w.unguardedBy(x)
	w.rounds(10, 100)
	to.crash()
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	for ms := 0; w.own(x).In < 100; ms += 100 { // without digests
		if w.round(100); ms > 60_000 {
			t.Fatalf("the giver has back %d after a minute", w.own(x).In)
		}
	}
}

// TestGiftOfTheFrozen: a node loses two guardians for good, and what it gave meanwhile is held by nobody, so that nobody is told of it.
// When the peer goes on as another generation, the gift is back at once, without a digest.
func TestGiftOfTheFrozen(t *testing.T) {
	w := guardedWorld(t, 9, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	w.rounds(10, 100)
	down := x.r.Guardians()[:2]
	for _, p := range w.nodes {
		if slices.Contains(down, p.self) {
			p.crash()
		}
	}
	to := w.nodes[slices.IndexFunc(w.nodes, func(p *wnode) bool {
		return p != x && p.r != nil && len(slices.DeleteFunc(slices.Clone(p.r.Guardians()), func(g Holder) bool { return slices.Contains(down, g) })) >= 2
	})]
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	for range 20 {
		w.round(50)
	}
	if own := w.own(to); own.In != 0 {
		t.Fatalf("%d came, which nobody holds", own.In)
	}
	if err := to.r.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	for ms := 0; w.own(x).In < 100; ms += 50 { // without digests
		if w.round(50); ms > 5000 {
			t.Fatalf("gave %d, and has back %d after 5 s; the peer is %v", w.own(x).Out, w.own(x).In, to.self)
		}
	}
}
