package admit

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// A call that lacks rights here waits until they come from another node, in no time on this network.
func TestRightsComeFromPeers(t *testing.T) {
	w := newSwarm(t, 3, oneOfEach, Config{})
	n := w.nodes[0]
	for _, n := range w.nodes { // all know what there is
		n.must(on("day", 1), Admit, CodeOK)
	}
	w.pass(2 * time.Second)
	id := n.must(on("day", 900).wait(UseClassDefault), Admit, CodeOK) // a third of 1,000 is here
	if a := n.answer(id); a.Reserved[0].Amount != 900 {
		t.Errorf("%+v", a)
	}
	total := ledger.Tokens(0)
	for _, n := range w.nodes {
		total += n.account("day").Rights(w.now)
	}
	if total != 1000-903 {
		t.Errorf("%d left in all, want 97", total)
	}
}

// A call that may not wait is told to come back, and when it does the rights are here.
func TestRightsAreFetchedForThoseWhoComeBack(t *testing.T) {
	w := newSwarm(t, 3, oneOfEach, Config{})
	n := w.nodes[0]
	for _, n := range w.nodes {
		n.must(on("pot", 1), Admit, CodeOK)
	}
	w.pass(2 * time.Second)
	a := n.answer(n.must(on("pot", 800).wait(0), Defer, CodeNoRights))
	if a.RetryAfter < 500*time.Millisecond || a.RetryAfter > time.Second || !strings.Contains(a.Reason, "with other nodes") {
		t.Errorf("%+v", a)
	}
	w.sync()
	if len(n.e.queue.busy) > 0 {
		t.Error("the asking goes on though nobody waits")
	}
	w.pass(a.RetryAfter)
	n.must(on("pot", 800).wait(0), Admit, CodeOK)
}

// A node that is cut off says what it knows, and does not make its callers wait for what cannot come.
func TestCutOff(t *testing.T) {
	w := newSwarm(t, 2, oneOfEach, Config{})
	n := w.nodes[0]
	for _, n := range w.nodes {
		n.settle(n.must(on("pot", 1), Admit, CodeOK), Settlement{})
	}
	w.pass(2 * time.Second)
	w.cut = true
	w.members()
	n.settle(n.must(on("pot", 400), Admit, CodeOK), Settlement{}) // what it holds is at hand
	a := n.answer(n.must(on("pot", 300).wait(0), Defer, CodeNoRights))
	if !strings.Contains(a.Reason, "99 left in reach, 499 with nodes that cannot be reached") || a.RetryAfter < 5*time.Second {
		t.Errorf("%+v", a)
	}
	w.cut = false
	w.members()
	w.pass(5 * time.Second)
	n.must(on("pot", 300).wait(UseClassDefault), Admit, CodeOK)
}

// rolls carries up to half of a day's 1,000 into the next.
var rolls = strings.Replace(oneOfEach, "{name: day, token: compute, supply: {window: 24h, amount: 1000}}",
	"{name: day, token: compute, supply: {window: 24h, amount: 1000, rollover: 50%}}", 1)

// nextDay goes to the next window of a day, in which what was left rolls over.
func (w *swarm) nextDay() {
	w.t.Helper()
	const day = ledger.Instant(24 * 3600 * 1000)
	w.now += day - w.now%day
	w.tick()
	w.pass(2 * time.Second)
}

// What rolled over counts as room: a call above the limit is not too large for it.
func TestRolledOverRightsServeACallAboveTheLimit(t *testing.T) {
	w := newSwarm(t, 3, rolls, Config{})
	for _, n := range w.nodes { // all know what there is: 334 and 2 × 333, of which 167 and 2 × 166 roll over
		n.must(on("day", 0), Admit, CodeOK)
	}
	w.pass(2 * time.Second)
	n := w.nodes[0]
	n.must(on("day", 1501), Deny, CodeTooLarge)
	// No such call has room today, but it may have tomorrow.
	a := n.answer(n.must(on("day", 1200).wait(0), Defer, CodeExhausted))
	if !strings.Contains(a.Reason, "1000 left until the window ends") || a.Short.Limit != 1500 {
		t.Errorf("%+v", a)
	}
	w.nextDay()
	a = n.answer(n.must(on("day", 1200).wait(0), Defer, CodeNoRights))
	if !strings.Contains(a.Reason, "501 here and 998 with other nodes") || a.Short.Remaining != 1499 {
		t.Errorf("%+v", a)
	}
	w.pass(a.RetryAfter)
	n.must(on("day", 1200).wait(UseClassDefault), Admit, CodeOK)
	a = n.answer(n.must(on("day", 1501), Deny, CodeTooLarge))
	if !strings.Contains(a.Reason, "it never holds more than 1500") {
		t.Errorf("%+v", a)
	}
}

func TestSlowDisk(t *testing.T) {
	n := one(t, oneOfEach)
	n.slow = true
	w := n.waits(on("day", 10).wait(0)) // the first use of an instance takes a write
	behind := n.waits(on("day", 20).wait(0))
	n.w.pass(900 * time.Millisecond)
	if len(n.decided()) > 0 {
		t.Fatal("refused though the disk may yet answer")
	}
	n.w.pass(150 * time.Millisecond)
	if d := n.decided(); len(d) != 2 {
		t.Fatalf("%d decided", len(d))
	}
	for _, w := range []*Waiter{w, behind} {
		if a := n.answer(w.ID); a.Verdict != Defer || a.Code != CodeDisk || !strings.Contains(a.Reason, "disk has not confirmed a write in 1s") || a.RetryAfter < time.Second {
			t.Errorf("%+v", a)
		}
	}
	n.e.SetDisk("no space left on device")
	w = n.waits(on("day", 10).wait(0))
	n.w.pass(1050 * time.Millisecond)
	n.decided()
	if a := n.answer(w.ID); a.Code != CodeDisk || !strings.Contains(a.Reason, "this node cannot write to its disk (no space left on device), and") {
		t.Errorf("%+v", a)
	}
	n.e.SetDisk("")
	n.slow = false
	n.w.sync()
	n.must(on("day", 10).wait(0), Admit, CodeOK)
}

// A call that stood behind others while they waited for the disk is refused at its own deadline once those wait for rights: found by TestLaws, which had it wait on for
// the rest of the disk's second.
func TestDiskIsWaitedForNoLongerThanTheDiskTakes(t *testing.T) {
	n := one(t, oneOfEach)
	n.slow = true
	first := n.waits(on("day", 1000).wait(UseClassDefault))
	second := n.waits(on("day", 600).wait(UseClassDefault))
	third := n.waits(on("day", 250).wait(100 * time.Millisecond))
	n.w.pass(50 * time.Millisecond)
	n.slow = false
	n.w.pass(50 * time.Millisecond)
	if first.ID == 0 || second.ID != 0 || third.ID == 0 {
		t.Fatalf("want the first admitted, the second to wait and the third refused: %v, %v, %v", first.ID, second.ID, third.ID)
	}
	if a := n.answer(third.ID); a.Verdict != Defer || a.Code == CodeDisk {
		t.Errorf("%+v", a)
	}
}

// The overdraft of a soft ceiling needs a mark of its own, for which a call waits although its time is over.
func TestOverdraftWaitsForTheDisk(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("soft", 1000), Admit, CodeOK)
	n.slow = true
	w := n.waits(on("soft", 80).wait(100 * time.Millisecond))
	n.w.pass(500 * time.Millisecond)
	if w.ID != 0 {
		t.Fatalf("%+v", n.answer(w.ID))
	}
	n.slow = false
	n.w.pass(50 * time.Millisecond)
	if a := n.answer(w.ID); a.Verdict != Admit {
		t.Errorf("%+v", a)
	}
	n.must(on("soft", 21).wait(0), Defer, CodeExhausted)
}

// A write that fails leaves accounts half opened. The calls that wait for them are served by the next write.
func TestFailedWrite(t *testing.T) {
	n := one(t, oneOfEach)
	id, w, err := n.offer(on("all", 100).wait(UseClassDefault))
	if err != nil || w == nil {
		t.Fatal(id, w, err)
	}
	n.r.Writes(n.w.now)
	n.r.Abort()
	n.w.sync()
	n.w.pass(50 * time.Millisecond)
	if w.ID == 0 || n.answer(w.ID).Verdict != Admit {
		t.Fatalf("the call does not get over it")
	}
	for range 4 { // and those that come later
		n.must(on("all", 100), Admit, CodeOK)
	}
	if got := n.account("day").Rights(n.w.now); got != 500 {
		t.Errorf("%d left", got)
	}
}

// More instances than gates are kept: those of waiting calls stay, and no instance ever has two.
func TestGatesAreBounded(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("calls", 1), Admit, CodeOK)
	n.must(on("calls", 1), Admit, CodeOK)
	n.must(on("calls", 1), Admit, CodeOK)
	w := n.waits(on("both", 1).wait(UseClassDefault))
	n.e.forgetGates()
	n.check()
	if len(n.e.gates) != 2 {
		t.Errorf("%d gates are kept, want the two of the waiting call", len(n.e.gates))
	}
	other := n.waits(on("both", 1).wait(UseClassDefault))
	if other.gate != w.gate {
		t.Error("one instance has two gates")
	}
	n.w.pass(3 * time.Second)
	if len(n.e.queue.busy) > 0 {
		t.Error("a gate stays busy")
	}
}

// Plans are found again, whatever their number, and the oldest are forgotten first.
func TestPlansAreBounded(t *testing.T) {
	rev := newRevision(parse(t, lawful))
	keys := func(i int) policy.Key {
		return policy.Key{Tenant: string(rune('a' + i%7)), Agent: strings.Repeat("x", i%5), Model: strconv.Itoa(i), Class: []string{"critical", "batch"}[i%2]}
	}
	const many = MaxPlans + MaxPlans/2
	for i := range many {
		rev.put(&bound{key: keys(i)})
		if k := keys(i); rev.get(&k) == nil {
			t.Fatalf("plan %d is lost", i)
		}
	}
	for _, c := range []struct {
		i    int
		kept bool
	}{{0, false}, {MaxPlans/2 - 1, false}, {MaxPlans, true}, {many - 1, true}, {many, false}} {
		k := keys(c.i)
		if b := rev.get(&k); (b != nil) != c.kept || b != nil && b.key != k {
			t.Errorf("plan %d: %v, want kept %v", c.i, b, c.kept)
		}
	}
	if len(rev.order) > MaxPlans || len(rev.table.Load().entries) > 4*MaxPlans {
		t.Errorf("%d plans in %d slots", len(rev.order), len(rev.table.Load().entries))
	}
}
