package ledger_test

import (
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

func tenASecond(burst Tokens, lend Millis) Spec {
	return Spec{Kind: Rate, Amount: burst, Per: 10, PerMillis: 1000, Lend: lend}
}

// drain reserves all that a node has, and returns how much.
func (n *wnode) drain() (got Tokens) {
	a := n.r.Account(n.w.ids[0])
	for range 20 {
		if left := a.Rights(n.clock()); left > 0 {
			before := len(n.open)
			n.admitOnly(a, left)
			if len(n.open) > before {
				got += left
			}
		}
		n.r.Tick(n.clock())
		n.batch(commit, nil)
	}
	return got
}

// TestRefundsAddToARate is the counterexample to "over any time T at most rate × (T + L) + burst is admitted":
// refunds of what was reserved before come on top. In the instant of this test that would be 110 tokens.
func TestRefundsAddToARate(t *testing.T) {
	w := scripted(t, 1, 1, one(tenASecond(100, 1000)))
	w.opened()
	n := w.nodes[0]
	n.drain()
	held := len(n.open)
	w.now += 10_001 // what accrues is rounded down
	at := w.now
	got := n.drain()
	for range held {
		n.settle(0, 0)
	}
	got += n.drain()
	expect(t, "time passed", w.now-at, 0)
	expect(t, "admitted in an instant", got, 200)
	expect(t, "a refund lifts no balance above its part of the burst", n.r.Account(w.ids[0]).Audit(), 0)
}

// TestBorrowedRightsLapse: lent rate rights live L from the ask, by the asker's clock, also when their telling
// is late; the borrower's own are not touched.
func TestBorrowedRightsLapse(t *testing.T) {
	w := scripted(t, 2, 2, one(tenASecond(100, 2000)))
	w.nodes[1].off = -40_000 // skew does not matter: only the asker's clock counts
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	b.drain()
	rights := func(n *wnode) Tokens { return n.r.Account(w.ids[0]).Rights(n.clock()) }
	expect(t, "given", a.r.GiveRights(a.clock(), w.ids[0], b.self, 40, b.clock()), 40)
	w.round(1)
	own := rights(b) - 40
	if own < 0 || own > 1 {
		t.Fatalf("b has %d", rights(b))
	}
	w.now += 1900
	if got := rights(b); got < 40 {
		t.Errorf("%d left before the loan ends", got)
	}
	w.now += 100
	if got := rights(b); got > 11 {
		t.Errorf("%d left after the loan ended; b itself accrued 10", got)
	}
	// A transfer that comes after the end of the loan brings nothing that can be spent.
	a.r.GiveRights(a.clock(), w.ids[0], b.self, 20, b.clock())
	a.batch(commit, nil)
	late := w.net
	w.net = nil
	w.now += 2001
	before := rights(b)
	for _, p := range late {
		w.receive(p)
	}
	b.batch(commit, nil)
	expect(t, "a late loan", rights(b)-before, 0)
	w.check()
}

// TestLentOnRightsKeepTheirAge: borrowed rights may be given on, but lapse no later for it. Else two nodes could keep
// rights alive by lending them to and fro while their shares accrue new ones.
func TestLentOnRightsKeepTheirAge(t *testing.T) {
	w := scripted(t, 3, 1, one(tenASecond(100, 4000)))
	w.nodes[1].off, w.nodes[2].off = -40_000, 15_000 // skew does not matter: durations are compared on one machine
	w.opened()
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	id := w.ids[0]
	rights := func(n *wnode) Tokens { return n.r.Account(id).Rights(n.clock()) }
	expect(t, "given", a.r.GiveRights(a.clock(), id, b.self, 40, b.clock()), 40)
	w.round(1)
	w.now += 1999
	expect(t, "lent on", b.r.GiveRights(b.clock(), id, c.self, 40, c.clock()), 40)
	w.round(1)
	expect(t, "at the next", rights(c), 40)
	w.now += 1990
	expect(t, "just before the first loan ends", rights(c), 40)
	w.now += 10
	expect(t, "when it ends", rights(c), 0)
	w.check()
}

// TestARefundBeyondTheSharesLivesAsALoan: what a call gives back where shares have no room for it can be spent, or
// offered to who has room, as long as a loan lives.
func TestARefundBeyondTheSharesLivesAsALoan(t *testing.T) {
	w := scripted(t, 2, 1, one(tenASecond(100, 4000)))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	id := w.ids[0]
	rights := func(n *wnode) Tokens { return n.r.Account(id).Rights(n.clock()) }
	a.r.GiveRights(a.clock(), id, b.self, 100, b.clock())
	w.round(1)
	b.reserve([]InstanceID{id}, []Tokens{100}, false, false)
	w.round(1) // the mark
	if !b.reserve([]InstanceID{id}, []Tokens{100}, false, false) {
		t.Fatal("b cannot spend what it borrowed")
	}
	w.now += 5000 // longer than the loan
	b.settle(0, 40)
	expect(t, "refunded to b, which has no shares", rights(b), 60)
	a.drain()
	w.round(1000) // a's row says that there is room
	w.round(1000) // b offers, a asks
	w.round(1)
	if got := rights(a); got < 60 || rights(b) != 0 {
		t.Fatalf("a has %d and b %d: b should have returned 60", got, rights(b))
	}
	w.check()
}

// TestOverdraftOfACutOffNode: a node's part of an overdraft is that among all members it knows, the dead and
// the unreachable too, so a partition does not multiply it.
func TestOverdraftOfACutOffNode(t *testing.T) {
	w := scripted(t, 4, 2, one(Spec{Kind: Grant, Amount: 1000, Ceiling: Soft, OverdraftPPM: 400_000}))
	w.opened()
	for i, n := range w.nodes {
		n.side = i
	}
	w.members()
	over := Tokens(0)
	for i, n := range w.nodes {
		for range 60 {
			n.reserve(w.ids, []Tokens{20}, true, false)
			n.r.Tick(n.clock())
			n.batch(commit, nil)
		}
		over += w.state(i).Overdrawn
	}
	expect(t, "overdrawn in four pieces", over, 400)
	expect(t, "without overdraw nothing more", w.nodes[0].reserve(w.ids, []Tokens{1}, false, false), false)
	w.check()
}

// TestRepeatedAsk: an ask that comes twice is granted once.
func TestRepeatedAsk(t *testing.T) {
	w := scripted(t, 2, 1, one(Spec{Kind: Grant, Amount: 1000}))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	ask := &Ask{ID: 7, From: b.self, Instance: w.ids[0], Need: 100, Want: 100, At: w.now}
	for range 3 {
		a.r.Receive(w.now, ask)
		w.round(10)
	}
	expect(t, "given", w.state(0).Out, 100)
	ask.ID++
	a.r.Receive(w.now, ask)
	w.round(10)
	expect(t, "given for another ask", w.state(0).Out, 200)
	w.check()
}

// TestAskOpensAnInstance: a seat holder that has not used an instance opens it for the first ask and answers
// that very ask, also when the asker's own account is not durable yet.
func TestAskOpensAnInstance(t *testing.T) {
	for what, s := range map[string]Spec{
		"grant": {Kind: Grant, Amount: 1000}, "window": window(1000, 20_000),
		"grant, early": {Kind: Grant, Amount: 1000}, "window, early": window(1000, 20_000),
	} {
		w := scripted(t, 2, 1, one(s))
		b := w.nodes[1]
		if b.reserve(w.ids, []Tokens{100}, false, true) {
			t.Fatal("reserved before the account was open")
		}
		if strings.HasSuffix(what, "early") {
			b.r.Waiting(b.clock(), w.ids[0], need(b.clock(), 100))
		}
		b.batch(commit, nil)
		if b.reserve(w.ids, []Tokens{100}, false, true) {
			t.Fatal("reserved without rights")
		}
		start := w.now
		for !b.reserve(w.ids, []Tokens{100}, false, true) {
			if w.round(20); w.now > start+200 {
				t.Fatalf("%s: the first call waited for 200 ms: %+v", what, w.state(1))
			}
		}
		for _, p := range w.old {
			if m, _ := Decode(p.bytes); p.to == 1 {
				if _, refused := m.(*Refuse); refused {
					t.Errorf("%s: the first ask was refused", what)
				}
			}
		}
		w.check()
	}
}

// TestSoftDebt: an overrun on a soft instance whose rights are used up is overdraft, and blocks nobody who may
// overdraw.
func TestSoftDebt(t *testing.T) {
	w := scripted(t, 1, 1, one(Spec{Kind: Grant, Amount: 100, Ceiling: Soft, OverdraftPPM: 500_000}))
	w.opened()
	n := w.nodes[0]
	n.drain()
	for len(n.open) > 1 {
		n.settle(0, 100)
	}
	n.settle(0, 120)
	w.round(10)
	w.round(10)
	s := w.state(0)
	expect(t, "debt", s.Debt, 0)
	if s.Overdrawn <= 0 || s.Spent != 100+s.Overdrawn {
		t.Errorf("spent %d, overdrawn %d", s.Spent, s.Overdrawn)
	}
	for range 5 {
		if n.reserve(w.ids, []Tokens{10}, true, false) {
			break
		}
		w.round(10)
	}
	expect(t, "calls after it", len(n.open), 1)
	w.check()
}

// TestDebtIssuesWhatItPays: of an overrun that is beyond the mark only what can be paid is issued as overdraft. More was left as
// rights that no loan and no shares accounted for, and that a peer could have been given.
func TestDebtIssuesWhatItPays(t *testing.T) {
	for _, c := range []struct {
		ceiling   Ceiling
		overdrawn Tokens // for the call itself
	}{{Soft, 0}, {Observe, 40}} {
		spec := tenASecond(100, 10_000)
		spec.Ceiling, spec.OverdraftPPM = c.ceiling, 500_000
		w := scripted(t, 2, 1, one(spec))
		w.opened()
		a, b := w.nodes[0], w.nodes[1] // b has no shares
		a.r.GiveRights(a.clock(), w.ids[0], b.self, 40-c.overdrawn, b.clock())
		w.round(1)
		for !b.reserve(w.ids, []Tokens{40}, false, false) {
			w.round(1)
		}
		b.settle(0, 120)
		s := w.state(1)
		expect(t, "the mark", s.Mark, 41)
		expect(t, "debt", s.Debt, 7)
		expect(t, "overdrawn", s.Overdrawn, c.overdrawn+1)
		expect(t, "what the account is off by", b.r.Account(w.ids[0]).Audit(), 0)
		w.round(1)
		w.round(1)
		s = w.state(1)
		expect(t, "debt, when the mark is there", s.Debt, 0)
		expect(t, "overdrawn then", s.Overdrawn, c.overdrawn+8)
		expect(t, "spent", s.Spent, 48)
		w.check()
	}
}

// TestSharesAccrueFromTheCredit: shares accrue here from when they are durable here, not for the time that the disk
// took.
func TestSharesAccrueFromTheCredit(t *testing.T) {
	w := scripted(t, 2, 2, one(tenASecond(1000, 1000)))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	b.drain()
	a.r.GiveShares(a.clock(), w.ids[0], b.self, TotalShares)
	a.batch(commit, nil)
	for len(w.net) > 0 {
		w.deliver(0, false)
	}
	w.now += 10_000 // a slow disk
	b.batch(commit, nil)
	if got := b.r.Account(w.ids[0]).Rights(b.clock()); got < 49 || got > 51 {
		t.Errorf("%d rights accrued in 10 s with half of 10 a second", got)
	}
	w.check()
}
