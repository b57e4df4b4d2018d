package ledger_test

import (
	"testing"

	"pgregory.net/rapid"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestIssue: what shares issue, and how many a number of tokens takes. The slack of 400 token-shares is what makes
// a third of all shares a third of three tokens.
func TestIssue(t *testing.T) {
	for _, c := range []struct {
		shares Shares
		limit  Tokens
		issue  Tokens
		needs  Shares // the least that issue as much
	}{
		{0, 1000, 0, 0},
		{TotalShares, 0, 0, 0},
		{TotalShares, 3, 3, 999_999_867},
		{TotalShares, MaxTokens, MaxTokens, TotalShares},
		{333_333_333, 3, 1, 333_333_200},
		{333_333_199, 3, 0, 0},
		{200_000_000, 3, 0, 0},
		{200_000_000, 7, 1, 142_857_086},
		{142_857_142, 7, 1, 142_857_086},
		{2_493_765, 401, 1, 2_493_765}, // 10^9 / 401, rounded down
		{1_041_666, 960, 0, 0},         // of larger limits such a part may be too little
		{1, 1_000_000_000, 1, 1},
	} {
		got := Issue(c.shares, c.limit)
		expect(t, "issue", got, c.issue)
		expect(t, "shares for it", SharesFor(got, c.limit), c.needs)
	}
	expect(t, "shares for more than the limit", SharesFor(8, 7), TotalShares)
}

// TestIssueLaws: as many holders as there may be never issue more than the limit together; SharesFor is the least;
// and of limits up to 400 every whole part can be held in shares.
func TestIssueLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Tokens(rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, int64(MaxTokens))).Draw(t, "limit"))
		left, sum := TotalShares, Tokens(0)
		for left > 0 {
			s := min(left, Shares(rapid.Int64Range(1, int64(TotalShares)).Draw(t, "shares")))
			left -= s
			n := Issue(s, limit)
			sum += n
			if need := SharesFor(n, limit); need > s || Issue(need, limit) != n || need > 0 && Issue(need-1, limit) >= n {
				t.Fatalf("%d shares of %d issue %d, which needs %d", s, limit, n, need)
			}
			if part := PartFor(n, limit); limit <= 400 && Issue(part, limit) != n {
				t.Fatalf("a part of %d of %d is %d shares", n, limit, part)
			}
		}
		if sum > limit {
			t.Fatalf("%d of %d issued", sum, limit)
		}
		// The worst there is: every holder has just as much as one token takes.
		each := SharesFor(1, limit)
		holders := min(Tokens(TotalShares/each), MaxRows)
		if holders > limit {
			t.Fatalf("%d holders of %d shares have a token each of %d", holders, each, limit)
		}
	})
}

// few is a world of five founders with 3 tokens a minute, just after a turn.
func few(t *testing.T, specs ...Spec) *world {
	w := scripted(t, 5, 5, map[string][]Spec{"b": specs})
	w.now = testStart - testStart%60_000 + 60_000
	return w
}

func (w *world) issued() (n Tokens) {
	for i := range w.nodes {
		n += w.state(i).Base - w.state(i).Cut
	}
	return n
}

// TestFewTokensManyHolders: three tokens of five holders were none at all, as each has 3/5 of one. Free shares come
// together and issue them, in the window that runs.
func TestFewTokensManyHolders(t *testing.T) {
	w := few(t, window(3, 60_000))
	w.opened()
	expect(t, "issued in the first window", w.issued(), 3)
	w.now += 60_000
	w.round(50)
	expect(t, "at the next turn", w.issued(), 3)
}

// TestLimitChangesInAWindow: what a lower limit takes back frees its shares, so that the others issue the new limit
// whole; a higher one is issued whole, too.
func TestLimitChangesInAWindow(t *testing.T) {
	w := few(t, window(5, 60_000), window(3, 60_000), window(7, 60_000))
	w.opened()
	expect(t, "one at each of five", w.state(4).Base, 1)
	respec := func(version int) {
		for _, n := range w.nodes {
			n.version = version
			n.r.Respec(n.clock())
		}
		for range 20 {
			w.round(50)
		}
	}
	respec(1)
	expect(t, "issued of 3", w.issued(), 3)
	respec(2)
	expect(t, "issued of 7", w.issued(), 7)
	respec(0)
	expect(t, "issued of 5", w.issued(), 5)
}

// TestSpentTokensKeepTheirShares: what was spent under a higher limit cannot be taken back, so the shares behind it
// issue nothing elsewhere.
func TestSpentTokensKeepTheirShares(t *testing.T) {
	w := few(t, window(5, 60_000), window(3, 60_000))
	w.opened()
	for _, n := range w.nodes {
		w.round(50)
		if !n.reserve(w.ids, []Tokens{1}, false, false) {
			t.Fatal("no token here")
		}
	}
	for _, n := range w.nodes {
		n.version = 1
		n.r.Respec(n.clock())
	}
	for range 20 {
		w.round(50)
	}
	expect(t, "issued under a limit of 3, after 5 were spent", w.issued(), 5)
}

// TestFreeSharesAfterOthers: free shares given on top of counted ones that are still on the way carry the later
// first window for all, since the receiver cannot tell them apart; once those are acknowledged, free ones count at
// once.
func TestFreeSharesAfterOthers(t *testing.T) {
	for _, c := range []struct {
		what     string
		lost     bool // the telling of the first gift
		arriving Shares
	}{
		{"after the acknowledgement", false, 333_333_333},
		{"on top of what is on the way", true, 333_333_433},
	} {
		w := scripted(t, 2, 1, one(window(3, 60_000)))
		w.now = testStart - testStart%60_000 + 60_000
		w.opened()
		a, b, id := w.nodes[0], w.nodes[1], w.ids[0]
		expect(t, "free", w.state(0).Free, 133)
		w.lossy = func() bool { return c.lost }
		a.r.GiveShares(a.clock(), id, b.self, 333_333_333)
		w.round(50)
		w.lossy = nil
		a.r.GiveShares(a.clock(), id, b.self, 100)
		w.round(50)
		s := w.state(1)
		expect(t, c.what+": shares that came", s.SharesIn, 333_333_433)
		expect(t, c.what+": of them count later", s.Arriving, c.arriving)
		w.now += 60_000
		for range 10 {
			w.round(50)
		}
		expect(t, c.what+": issued at the next turn", w.issued(), 3)
	}
}

// TestRolledSharesStayCounted: shares behind rights that rolled over would carry again where they go, so a lower
// limit does not free them. Node 0 has turned and carried 5; node 1 has not yet, and has enough left to carry 10.
func TestRolledSharesStayCounted(t *testing.T) {
	spec, lower := window(10, 60_000), window(2, 60_000)
	spec.RolloverPPM, lower.RolloverPPM = 1_000_000, 1_000_000
	w := scripted(t, 2, 2, map[string][]Spec{"b": {spec, lower}})
	w.now = testStart - testStart%60_000 + 60_000
	w.opened()
	a, b, id := w.nodes[0], w.nodes[1], w.ids[0]
	if _, err := b.r.Mint(b.clock(), id, 100, ""); err != nil {
		t.Fatal(err)
	}
	b.mints = append(b.mints, topUp{1, id, ""})
	w.round(50)
	b.off = -60_000
	w.now += 60_000
	w.round(50)
	expect(t, "carried by the first", w.state(0).Rolled, 5)
	a.version = 1
	a.r.Respec(a.clock())
	for range 10 {
		w.round(50)
	}
	expect(t, "taken back", w.state(0).Cut, 4)
	expect(t, "free: what the turn did not need", w.state(0).Free, 40)
	a.r.GiveShares(a.clock(), id, b.self, 200_000_000)
	w.round(50)
	b.off = 0
	for range 10 {
		w.round(50)
	}
	expect(t, "carried by both", w.state(0).Rolled+w.state(1).Rolled, 10)
}
