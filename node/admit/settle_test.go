package admit

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

func (n *node) settle(id ID, s Settlement) Receipt {
	n.w.t.Helper()
	rc, err := n.e.Settle(n.w.now, id, s)
	if err != nil {
		n.w.t.Fatalf("settle: %v", err)
	}
	n.checkShards()
	return rc
}

func (n *node) release(id ID) Receipt {
	n.w.t.Helper()
	rc, err := n.e.Release(n.w.now, id)
	if err != nil {
		n.w.t.Fatalf("release: %v", err)
	}
	n.checkShards()
	return rc
}

func (n *node) state(id ID) State {
	n.w.t.Helper()
	d, err := n.e.Lookup(id)
	if err != nil {
		n.w.t.Fatalf("%v", err)
	}
	return d.State
}

// A reservation of 600 on a budget of 1,000 ends in each way. left is what the budget has then.
func TestEndings(t *testing.T) {
	settle := func(tokens ledger.Tokens) func(*node, ID) Receipt {
		return func(n *node, id ID) Receipt { return n.settle(id, forTokens(tokens)) }
	}
	usage := func(n *node, id ID) Receipt {
		return n.settle(id, Settlement{Usage: &Usage{PromptTokens: 300, CompletionTokens: 50}})
	}
	estimate := func(n *node, id ID) Receipt {
		return n.settle(id, Settlement{Estimate: &Usage{PromptTokens: 300, CompletionTokens: 50}})
	}
	after := func(d time.Duration, end func(*node, ID) Receipt) func(*node, ID) Receipt {
		return func(n *node, id ID) Receipt { n.w.pass(d); return end(n, id) }
	}
	const ttl, grace = 3 * time.Second, 3*time.Second + Grace + 3*time.Second
	for _, c := range []struct {
		name    string
		model   string
		end     func(*node, ID) Receipt
		charged ledger.Tokens
		overrun ledger.Tokens
		late    bool
		left    ledger.Tokens
	}{
		{"settled with less", "day", settle(410), 410, 0, false, 590},
		{"settled with nothing", "day", settle(0), 0, 0, false, 1000},
		{"settled with as much", "day", settle(600), 600, 0, false, 400},
		{"settled with more", "day", settle(650), 650, 50, false, 350},
		{"settled with far more", "day", settle(1300), 1300, 700, false, 0},
		{"settled by usage", "day", usage, 350, 0, false, 650},
		{"settled without a word", "day", func(n *node, id ID) Receipt { return n.settle(id, Settlement{}) }, 600, 0, false, 400},
		{"cut: an estimate does not count on a hard ceiling", "day", estimate, 600, 0, false, 400},
		{"cut: it does elsewhere", "seen", estimate, 350, 0, false, 650},
		{"released", "day", (*node).release, 0, 0, false, 1000},
		{"observed", "seen", settle(700), 700, 100, false, 300},

		{"late on a hard ceiling", "day", after(ttl+2*time.Second, settle(410)), 410, 0, true, 590},
		{"released late on a hard ceiling", "day", after(ttl+2*time.Second, (*node).release), 0, 0, true, 1000},
		{"late on a soft ceiling", "soft", after(ttl+2*time.Second, settle(410)), 600, 0, true, 400},
		{"late on a soft ceiling with more", "soft", after(ttl+2*time.Second, settle(700)), 700, 100, true, 300},
		{"late and observed", "seen", after(ttl+2*time.Second, settle(410)), 600, 0, true, 400},
		{"after the grace", "day", after(grace, settle(410)), 600, 0, true, 400},
		{"after the grace with more", "day", after(grace, settle(700)), 700, 100, true, 300},
		{"released after the grace", "day", after(grace, (*node).release), 600, 0, true, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := one(t, oneOfEach)
			id := n.must(on(c.model, 600).live(ttl), Admit, CodeOK)
			rc := c.end(n, id)
			if rc.Charged[0].Amount != c.charged || rc.Overrun != c.overrun || rc.Charged[0].Overrun != c.overrun || rc.Late != c.late || rc.Repeated {
				t.Errorf("receipt %+v", rc)
			}
			n.w.pass(50 * time.Millisecond)
			if left := n.account(c.model).Rights(n.w.now); left != c.left {
				t.Errorf("%d left, want %d", left, c.left)
			}
			// Any other ending changes nothing and says the same.
			for _, again := range []Receipt{n.settle(id, forTokens(1)), n.release(id), n.settle(id, Settlement{Usage: &Usage{}})} {
				if !again.Repeated || again.Charged[0] != rc.Charged[0] || again.Late != rc.Late || again.Overrun != rc.Overrun || again.ID != rc.ID {
					t.Errorf("again %+v, first %+v", again, rc)
				}
			}
			n.w.pass(grace)
			if left := n.account(c.model).Rights(n.w.now); left != c.left {
				t.Errorf("%d left later, want %d", left, c.left)
			}
			if _, active := n.e.Counts(); active != 0 || n.r.Conservation() != 0 {
				t.Errorf("%d open, conservation %d", active, n.r.Conservation())
			}
		})
	}
}

func TestExpiryOnSlots(t *testing.T) {
	n := one(t, oneOfEach)
	id := n.must(on("both", 600).live(3*time.Second), Admit, CodeOK)
	n.must(on("calls", 1).live(time.Minute), Admit, CodeOK)
	if got := n.account("calls").Rights(n.w.now); got != 1 {
		t.Fatalf("%d slots left", got)
	}
	n.w.pass(5 * time.Second)
	d, err := n.e.Lookup(id)
	if err != nil || d.State != Expired {
		t.Fatalf("%+v, %v", d, err)
	}
	if got := n.account("calls").Rights(n.w.now); got != 2 {
		t.Errorf("%d slots left after the TTL, want 2", got)
	}
	if got := n.account("day").Rights(n.w.now); got != 400 {
		t.Errorf("%d tokens left after the TTL, want 400", got)
	}
	// It stays charged until a settlement corrects it.
	for _, c := range d.Charged {
		if want := map[string]ledger.Tokens{"calls": 0, "day": 600}[c.Budget]; c.Amount != want {
			t.Errorf("%+v", c)
		}
	}
	rc := n.settle(id, Settlement{Used: []policy.Amount{{Token: "compute", Amount: 100}}})
	for _, c := range rc.Charged {
		if want := map[string]ledger.Tokens{"calls": 0, "day": 100}[c.Budget]; c.Amount != want {
			t.Errorf("%+v", c)
		}
	}
	slot := n.must(on("calls", 1).live(time.Second), Admit, CodeOK)
	n.w.pass(3 * time.Second)
	rc = n.settle(slot, Settlement{Used: []policy.Amount{{Token: "concurrency", Amount: 5}}})
	if !rc.Late || rc.Charged[0].Amount != 0 || rc.Overrun != 0 {
		t.Errorf("a slot that came back is charged: %+v", rc)
	}
	n.w.pass(Grace + 2*time.Minute)
	if got := n.account("calls").Rights(n.w.now); got != 3 {
		t.Errorf("%d slots at the end, want 3", got)
	}
	if got := n.account("day").Rights(n.w.now); got != 900 {
		t.Errorf("%d tokens at the end, want 900", got)
	}
}

// A clock that is put forward makes no call older: the slot is not given to the next one, and comes back when the rest of
// its time is over, be the step a second or some days.
func TestClockThatStepsEndsNoReservation(t *testing.T) {
	for _, step := range []time.Duration{2 * time.Second, time.Minute, time.Hour, 100 * time.Hour} {
		n := one(t, oneOfEach)
		brief := n.must(on("calls", 1).live(10*time.Second), Admit, CodeOK)
		long := n.must(on("calls", 1).live(10*time.Minute), Admit, CodeOK)
		n.w.pass(5 * time.Second)
		n.w.now += ledger.Instant(step.Milliseconds())
		n.e.Stepped(n.w.now, ledger.Millis(step.Milliseconds()))
		n.w.pass(3 * time.Second)
		n.checkShards()
		if a, b := n.state(brief), n.state(long); a != Reserved || b != Reserved {
			t.Errorf("a step of %v: after 8 s of 10 s and of 10 min a reservation is %v and %v", step, a, b)
		}
		n.w.pass(4 * time.Second)
		if a, b := n.state(brief), n.state(long); a != Booked || b != Reserved {
			t.Errorf("a step of %v: after 12 s of 10 s and of 10 min a reservation is %v and %v", step, a, b)
		}
		n.w.pass(9*time.Minute + 50*time.Second)
		if b := n.state(long); b != Booked {
			t.Errorf("a step of %v: after 10 min and 2 s of 10 min a reservation is %v", step, b)
		}
		n.checkShards()
	}
}

// What a caller gets wrong changes nothing, and can be said right afterwards.
func TestBadSettlements(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Settlement
		want string
	}{
		{"negative", forTokens(-1), "used.compute is -1"},
		{"overflow", forTokens(math.MaxInt64), "used.compute"},
		{"negative of something not drawn", Settlement{Used: []policy.Amount{{Token: "compute", Amount: 1}, {Token: "data", Amount: -1}}}, "used.data"},
		{"unknown token type", Settlement{Used: []policy.Amount{{Token: "comput", Amount: 1}}}, `"comput"`},
		{"twice", Settlement{Used: []policy.Amount{{Token: "compute", Amount: 1}, {Token: "compute", Amount: 2}}}, "twice"},
		{"too many", Settlement{Used: make([]policy.Amount, policy.MaxStatedTokens+1)}, "17"},
		{"negative usage", Settlement{Usage: &Usage{PromptTokens: -1}}, "usage"},
		{"usage overflow", Settlement{Usage: &Usage{CompletionTokens: math.MaxInt64}}, "usage"},
		{"outcome too long", Settlement{Outcome: strings.Repeat("x", MaxOutcomeLen+1)}, "outcome has 65 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := one(t, oneOfEach)
			id := n.must(on("all", 400), Admit, CodeOK)
			before, _ := n.e.Lookup(id)
			if _, err := n.e.Settle(n.w.now, id, c.s); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want something about %q", err, c.want)
			}
			if after, _ := n.e.Lookup(id); after.State != Reserved || len(after.Reserved) != len(before.Reserved) {
				t.Errorf("%+v", after)
			}
			if got := n.account("day").Rights(n.w.now); got != 600 {
				t.Errorf("%d left", got)
			}
			n.settle(id, forTokens(100))
			if got := n.account("day").Rights(n.w.now); got != 900 {
				t.Errorf("%d left after the right settlement", got)
			}
		})
	}
	t.Run("what is not drawn is ignored", func(t *testing.T) {
		n := one(t, oneOfEach)
		id := n.must(on("day", 400), Admit, CodeOK)
		rc := n.settle(id, Settlement{Used: []policy.Amount{{Token: "data", Amount: 7}, {Token: "compute", Amount: 5}}})
		if len(rc.Charged) != 1 || rc.Charged[0].Amount != 5 {
			t.Errorf("%+v", rc)
		}
	})
}

func TestUnknownIDs(t *testing.T) {
	n := one(t, oneOfEach)
	refused := n.must(on("unknown", 1), Deny, CodeNoRule)
	id := n.must(on("day", 1), Admit, CodeOK)
	for _, bad := range []ID{0, id + 1, id - 1, id + 1<<seqBits, id ^ 1<<63, math.MaxUint64, refused} {
		if _, err := n.e.Settle(n.w.now, bad, forTokens(1)); !errors.Is(err, ErrUnknownID) {
			t.Errorf("settle %x: %v", bad, err)
		}
		if _, err := n.e.Release(n.w.now, bad); !errors.Is(err, ErrUnknownID) {
			t.Errorf("release %x: %v", bad, err)
		}
		if _, err := n.e.Lookup(bad); bad != refused && !errors.Is(err, ErrUnknownID) {
			t.Errorf("lookup %x: %v", bad, err)
		}
	}
	if n.state(id) != Reserved {
		t.Error("a wrong id ended a reservation")
	}
}

// More draws than a record keeps inline.
func TestManyDraws(t *testing.T) {
	doc := preamble + "budgets:\n"
	var names []string
	for i := range policy.MaxDraws {
		name := "b" + string(rune('a'+i))
		names = append(names, name)
		doc += "  - {name: " + name + ", token: compute, supply: {grant: 1000}}\n"
	}
	doc += "rules:\n  - {draw: [" + strings.Join(names, ", ") + "]}\n"
	n := one(t, doc)
	id := n.must(call("x", 100), Admit, CodeOK)
	if _, ok := n.e.Try(n.w.now, call("x", 100)); ok {
		t.Error("Try takes a call that it would have to allocate for")
	}
	second := n.must(call("x", 100), Admit, CodeOK)
	rc := n.settle(id, forTokens(30))
	n.release(second)
	if len(rc.Charged) != policy.MaxDraws {
		t.Fatalf("%+v", rc)
	}
	for _, name := range names {
		if got := n.account(name).Rights(n.w.now); got != 970 {
			t.Errorf("%s has %d", name, got)
		}
	}
	third := n.must(call("x", 100).live(time.Second), Admit, CodeOK)
	n.w.pass(Grace + 5*time.Second)
	if n.state(third) != Booked {
		t.Errorf("%v", n.state(third))
	}
	if got := n.account(names[15]).Rights(n.w.now); got != 870 {
		t.Errorf("%d left", got)
	}
}
