package ledger_test

import (
	"errors"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestWhatLapsed: each way by which rights lapse has its own count, in the account and in its row, and windows that ended keep them.
func TestWhatLapsed(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		do   func(w *world, n *wnode, a *Account)
		want Lapses // of the present window
		past Lapses
	}{
		{"a half-life", Spec{Kind: Grant, Amount: 1000, HalfLife: 100}, func(w *world, n *wnode, a *Account) {
			w.now += 100_000
			n.r.Tick(n.clock())
		}, Lapses{Decayed: 1000}, Lapses{}},
		{"a burn", Spec{Kind: Grant, Amount: 1000}, func(w *world, n *wnode, a *Account) {
			burn(t, n, a.ID(), 300)
		}, Lapses{Burned: 300}, Lapses{}},
		{"both", Spec{Kind: Grant, Amount: 1000, HalfLife: 100_000_000}, func(w *world, n *wnode, a *Account) {
			burn(t, n, a.ID(), 300)
			w.now += 100_000_000_000
			n.r.Tick(n.clock())
		}, Lapses{Decayed: 700, Burned: 300}, Lapses{}},
		{"the end of a window", window(1000, 20_000), func(w *world, n *wnode, a *Account) {
			burn(t, n, a.ID(), 300)
			w.now += 20_000
			n.r.Tick(n.clock())
		}, Lapses{}, Lapses{Expired: 700, Burned: 300}},
		{"one that rolls over", Spec{Kind: Windowed, Amount: 1000, Calendar: Calendar{Length: 20_000}, RolloverPPM: 100_000}, func(w *world, n *wnode, a *Account) {
			w.now += 20_000
			n.r.Tick(n.clock())
		}, Lapses{}, Lapses{Expired: 900}},
		{"a lower limit", Spec{Kind: Grant, Amount: 1000}, func(w *world, n *wnode, a *Account) {
			for id := range w.specs {
				w.specs[id][1].Amount = 600
			}
			n.version = 1
			n.r.Respec(n.clock())
			n.r.Tick(n.clock())
		}, Lapses{Burned: 400}, Lapses{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scripted(t, 1, 1, one(c.spec))
			w.opened()
			n := w.nodes[0]
			a := n.r.Account(w.ids[0])
			c.do(w, n, a)
			n.batch(commit, nil)
			s := a.State(n.clock())
			expect(t, "of this window", s.Lapses(), c.want)
			expect(t, "of those before", s.Past.Lapses(), c.past)
			expect(t, "the sum", s.Lapsed, c.want.Decayed+c.want.Expired+c.want.Burned)
			expect(t, "off by", a.Audit(), 0)
			rows := n.r.Rows(n.clock(), w.ids[0])
			if len(rows) != 1 || rows[0].Lapses() != c.want {
				t.Errorf("rows say %+v", rows)
			}
			if c.spec.RolloverPPM > 0 {
				expect(t, "rolled over", s.Rolled, 100)
			}
			w.check()
		})
	}
}

// TestDecayKeepsFractions: rights of a small budget decay by whole tokens, and by their half-life all the same.
func TestDecayKeepsFractions(t *testing.T) {
	w := scripted(t, 1, 1, one(Spec{Kind: Grant, Amount: 5000, HalfLife: 3_600_000}))
	w.opened()
	n := w.nodes[0]
	from := w.now
	for w.now < from+3_600_000 {
		w.now += 1000
		n.r.Tick(n.clock())
		n.batch(commit, nil)
	}
	if s := n.r.Account(w.ids[0]).State(n.clock()); s.Decayed < 2490 || s.Decayed > 2502 {
		t.Errorf("%d of 5000 tokens decayed in a half-life", s.Decayed)
	}
	w.check()
}

func burn(t *testing.T, n *wnode, id InstanceID, amount Tokens) {
	t.Helper()
	if repeated, err := n.r.Burn(n.clock(), id, amount, ""); err != nil || repeated {
		t.Fatalf("burn: %v, %v", repeated, err)
	}
	n.w.model.burned(n, id, amount)
}

// TestBurn: an id burns once, over crashes and failing disks too, and what is burned stays burned.
func TestBurn(t *testing.T) {
	w := scripted(t, 1, 1, one(Spec{Kind: Grant, Amount: 1000}))
	w.opened()
	n := w.nodes[0]
	again := func(want bool) {
		t.Helper()
		if rep, err := n.r.Burn(n.clock(), w.ids[0], 400, "friday"); err != nil || rep != want {
			t.Fatalf("burn: repeated %v, %v", rep, err)
		}
		if !want {
			w.model.burned(n, w.ids[0], 400)
		}
	}
	again(false)
	n.batch(crashBefore, nil)
	n.start(2)
	again(false) // nobody was told that it had happened
	n.batch(abort, nil)
	again(true) // it will be written, and is out of reach meanwhile
	expect(t, "burned though the write failed", w.state(0).Burned, 400)
	n.batch(commit, nil)
	n.crash()
	n.start(3)
	again(true)
	s := w.state(0)
	expect(t, "burned", s.Burned, 400)
	expect(t, "lapsed", s.Lapsed, 400)
	w.check()

	_, err := n.r.Burn(n.clock(), w.ids[0], 300, "friday")
	if !errors.Is(err, ErrTooMuch) {
		t.Errorf("the same id with another amount: %v", err)
	}
	if _, err = n.r.Burn(n.clock(), w.ids[0], 601, ""); !errors.Is(err, ErrTooFew) || !strings.Contains(err.Error(), "601") {
		t.Errorf("more than there is: %v", err)
	}
	expect(t, "burned by those", w.state(0).Burned, 400)
}

// TestBurnLimits: what cannot be burned.
func TestBurnLimits(t *testing.T) {
	w := scripted(t, 1, 1, map[string][]Spec{"g": {{Kind: Grant, Amount: 10}}, "r": {{Kind: Rate, Amount: 10, Per: 1, PerMillis: 1000}}, "s": {{Kind: Slots, Amount: 10}}})
	w.opened()
	n := w.nodes[0]
	for _, c := range []struct {
		id     InstanceID
		amount Tokens
		name   string
		want   error
	}{
		{w.ids[0], 0, "", ErrTooMuch},
		{w.ids[0], MaxTokens + 1, "", ErrTooMuch},
		{w.ids[0], 1, strings.Repeat("x", 129), ErrTooMuch},
		{w.ids[1], 1, "", ErrNoTopUp},
		{w.ids[2], 1, "", ErrNoTopUp},
		{"none@000000000000", 1, "", ErrUnknown},
		{w.ids[0], 11, "", ErrTooFew},
	} {
		if _, err := n.r.Burn(n.clock(), c.id, c.amount, c.name); !errors.Is(err, c.want) {
			t.Errorf("burn %d of %s: %v, want %v", c.amount, c.id, err, c.want)
		}
	}
	expect(t, "balance", w.state(0).Balance(), 10)
}
