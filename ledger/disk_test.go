package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestFailedWrite: what a failing disk may not do.
func TestFailedWrite(t *testing.T) {
	t.Run("an opening is tried again", func(t *testing.T) {
		w := scripted(t, 1, 1, one(window(1000, 20_000)))
		n := w.nodes[0]
		a, err := n.r.Open(n.clock(), w.ids[0])
		if err != nil {
			t.Fatal(err)
		}
		n.batch(abort, nil)
		expect(t, "rights", a.Rights(n.clock()), 0)
		w.now += 30_000 // into a later window, with no other reason to look at it
		n.r.Tick(n.clock())
		n.batch(commit, nil)
		w.round(10)
		expect(t, "rights in the end", a.Rights(n.clock()), 1000)
	})
	t.Run("a window's turn is tried again", func(t *testing.T) {
		w := scripted(t, 1, 1, one(window(1000, 20_000)))
		w.opened()
		n := w.nodes[0]
		w.now += 20_000
		n.r.Tick(n.clock())
		n.batch(abort, nil)
		expect(t, "rights", n.r.Account(w.ids[0]).Rights(n.clock()), 0)
		n.r.Tick(n.clock())
		n.batch(commit, nil)
		expect(t, "rights in the end", n.r.Account(w.ids[0]).Rights(n.clock()), 1000)
	})
	t.Run("a top-up did not happen", func(t *testing.T) {
		w := scripted(t, 1, 1, one(Spec{Kind: Grant, Amount: 1000}))
		w.opened()
		n := w.nodes[0]
		mint := func(want bool) {
			t.Helper()
			if rep, err := n.r.Mint(n.clock(), w.ids[0], 500, "gift"); err != nil || rep != want {
				t.Fatalf("mint: repeated %v, %v", rep, err)
			}
		}
		mint(false)
		n.batch(abort, nil)
		mint(false)
		n.batch(commit, nil)
		n.crash()
		n.start(3)
		mint(true)
		n.batch(commit, nil)
		expect(t, "topped up", w.state(0).Minted, 500)
		if _, err := n.r.Mint(n.clock(), w.ids[0], 400, "gift"); !errors.Is(err, ErrTooMuch) {
			t.Errorf("the same id with another amount: %v", err)
		}
	})
	t.Run("a gift stays given", func(t *testing.T) {
		w := scripted(t, 2, 1, one(Spec{Kind: Grant, Amount: 1000}))
		w.opened()
		w.nodes[0].r.GiveRights(w.now, w.ids[0], w.nodes[1].self, 300, 0)
		w.nodes[0].batch(abort, nil)
		expect(t, "the giver's balance", w.state(0).Balance(), 700)
		for range 5 {
			w.round(500)
		}
		expect(t, "the receiver's", w.state(1).Balance(), 300)
		w.check()
	})
}

// TestMintLimits: what top-ups are refused, and that a refusal changes nothing.
func TestMintLimits(t *testing.T) {
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
		{w.ids[0], -5, "", ErrTooMuch},
		{w.ids[0], MaxTokens + 1, "", ErrTooMuch},
		{w.ids[0], 1, strings.Repeat("x", 129), ErrTooMuch},
		{w.ids[1], 1, "", ErrNoTopUp},
		{w.ids[2], 1, "", ErrNoTopUp},
		{"none@000000000000", 1, "", ErrUnknown},
		{w.ids[0], MaxTokens, "all", nil},
	} {
		if _, err := n.r.Mint(n.clock(), c.id, c.amount, c.name); !errors.Is(err, c.want) {
			t.Errorf("mint %d of %s: %v, want %v", c.amount, c.id, err, c.want)
		}
	}
	n.batch(commit, nil)
	if _, err := n.r.Mint(n.clock(), w.ids[0], 1, ""); !errors.Is(err, ErrTooMuch) {
		t.Errorf("beyond what an account can hold: %v", err)
	}
	expect(t, "balance", w.state(0).Balance(), MaxTokens+10)
}

// TestVersionsAreDurableFirst: rows never carry a version that a restart could use again, however many there
// are to send at once.
func TestVersionsAreDurableFirst(t *testing.T) {
	specs := map[string][]Spec{}
	for i := range 2500 {
		specs[fmt.Sprintf("b%04d", i)] = []Spec{{Kind: Grant, Amount: 1000}}
	}
	w := scripted(t, 1, 1, specs)
	n := w.nodes[0]
	for _, id := range w.ids {
		if _, err := n.r.Open(n.clock(), id); err != nil {
			t.Fatal(err)
		}
	}
	for range 6 { // batch compares every version with the disk's
		w.now += 200
		n.r.Tick(n.clock())
		// A digest may leave at any time, also before this batch is durable.
		for _, h := range n.r.Digest().Holders {
			if v := DecodeVersion(n.disk[KeyVersion]); h.Highest > v {
				t.Fatalf("the digest tells of version %d, on disk is %d", h.Highest, v)
			}
		}
		n.batch(commit, nil)
	}
	if n.highest < 2500 {
		t.Errorf("only %d rows were sent", n.highest)
	}
	before := n.highest
	n.crash()
	n.start(9)
	w.members()
	for range 3 {
		w.now += 200
		n.r.Tick(n.clock())
		n.batch(commit, nil)
	}
	if n.highest <= before {
		t.Error("nothing was sent after the restart")
	}
}

// TestRolledBackDirectory: a node whose directory is an older copy is told by its peers and acts no more.
func TestRolledBackDirectory(t *testing.T) {
	w := scripted(t, 2, 2, one(Spec{Kind: Grant, Amount: 1000}))
	w.opened()
	n := w.nodes[0]
	copied := map[string][]byte{}
	for k, v := range n.disk {
		copied[k] = v
	}
	for n.highest < 1100 { // through a chunk of versions
		n.reserve(w.ids, []Tokens{20}, false, false)
		if len(n.open) == 2 {
			n.settle(0, 0)
			n.settle(0, 0)
		}
		w.now += 100
		n.r.Tick(n.clock())
		n.batch(commit, nil)
	}
	w.round(10)
	n.crash()
	n.disk = copied
	n.start(1)
	w.members()
	n.batch(commit, nil)
	err := n.r.Receive(n.clock(), w.nodes[1].r.Digest())
	if !errors.Is(err, ErrFenced) || !n.r.Fenced() {
		t.Fatalf("not fenced: %v", err)
	}
	takes := []Take{{Account: n.r.Account(w.ids[0]), Amount: 1}}
	if why, _ := Reserve(n.clock(), n.clock()+1000, takes, true); why == Enough {
		t.Error("a fenced node admits")
	}
	if _, err := n.r.Open(n.clock(), w.ids[0]); !errors.Is(err, ErrFenced) {
		t.Errorf("a fenced node opens accounts: %v", err)
	}
	if n.r.GiveRights(n.clock(), w.ids[0], w.nodes[1].self, 1, 0) > 0 || n.r.GiveShares(n.clock(), w.ids[0], w.nodes[1].self, 1) > 0 {
		t.Error("a fenced node gives")
	}
	if err := n.r.Leave(n.clock(), w.nodes[1].self); !errors.Is(err, ErrFenced) {
		t.Errorf("a fenced node hands on: %v", err)
	}
	n.r.Tick(n.clock())
}

// TestLoadRefusesDamage: every record of a disk, cut short or with bits turned, is either refused by name or
// leaves a replica whose equations close.
func TestLoadRefusesDamage(t *testing.T) {
	w := scripted(t, 2, 2, map[string][]Spec{"g": {{Kind: Grant, Amount: 1000}}, "w": {window(1000, 20_000)}})
	w.opened()
	n := w.nodes[0]
	n.r.Mint(n.clock(), w.ids[0], 5, "x")
	n.r.GiveRights(n.clock(), w.ids[0], w.nodes[1].self, 10, 0)
	n.batch(commit, nil)
	n.r.Vote(n.r.Charter())
	n.r.Leave(n.clock(), w.nodes[1].self)
	n.batch(commit, nil)
	refused, loaded := 0, 0
	for key, v := range n.disk {
		for cut := range v {
			for _, bad := range [][]byte{v[:cut], append(append(append([]byte{}, v[:cut]...), v[cut]^0x55), v[cut+1:]...)} {
				func() {
					defer func() {
						if x := recover(); x != nil {
							t.Fatalf("record %q as %x: %v", key, bad, x)
						}
					}()
					r := NewReplica(n.config(1))
					var ws []Write
					for k, v := range n.disk {
						if k == key {
							v = bad
						}
						ws = append(ws, Write{k, v})
					}
					if err := r.Load(n.clock(), ws); err != nil {
						refused++
						if !strings.Contains(err.Error(), "record") {
							t.Fatalf("an error that names no record: %v", err)
						}
						return
					}
					loaded++
					r.Tick(n.clock())
					r.Writes(n.clock())
					r.Commit(n.clock())
				}()
			}
		}
	}
	if refused == 0 || loaded == 0 {
		t.Errorf("%d refused, %d loaded", refused, loaded)
	}
}
