package admit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// order waits for calls that need 10 of a rate of 100/s each, and returns the classes of those that were
// admitted, in their order.
func order(n *node, d time.Duration) (classes []string) {
	for range int(d / (100 * time.Millisecond)) {
		n.w.pass(100 * time.Millisecond)
		for _, w := range n.decided() {
			if a := n.answer(w.ID); a.Verdict == Admit {
				classes = append(classes, a.Class)
			}
		}
	}
	return classes
}

// line has a rate for one call of 10 tokens in 100 ms; its burst is used up.
const line = preamble + `
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 100}}
  - {name: side, token: compute, supply: {rate: 100/s, burst: 100}}
rules:
  - {when: 'model in ["pool", "both"]', draw: [pool]}
  - {when: 'model in ["side", "both"]', draw: [side]}
`

// long has classes that wait long enough to see their order.
var long = strings.NewReplacer("300ms", "5m", "2s", "5m").Replace(line)

func emptied(t *testing.T, doc string) *node {
	t.Helper()
	n := one(t, doc)
	n.must(on("pool", 100), Admit, CodeOK)
	n.must(on("side", 100), Admit, CodeOK)
	return n
}

// Classes are served by their weights: 16, 4 and 1 in 21.
func TestOrderByWeight(t *testing.T) {
	n := emptied(t, long)
	for range 60 { // the better class comes last
		n.waits(on("pool", 10).of("batch").wait(UseClassDefault))
	}
	for range 60 {
		n.waits(on("pool", 10).of("standard").wait(UseClassDefault))
	}
	for range 60 {
		n.waits(on("pool", 10).of("critical").wait(UseClassDefault))
	}
	got := map[string]int{}
	for i, c := range order(n, 7*time.Second) {
		got[c]++
		if i < 42 || i >= 63 {
			continue
		}
		// After some rounds, all of them are still there.
		for class, weight := range map[string]float64{"critical": 16, "standard": 4, "batch": 1} {
			if want := float64(i+1) * weight / 21; float64(got[class]) < want-1.5 || float64(got[class]) > want+1.5 {
				t.Errorf("after %d calls %s has %d, want %.1f", i+1, class, got[class], want)
			}
		}
	}
}

// A class that comes late has no claim on what was served before it came.
func TestLateClass(t *testing.T) {
	n := emptied(t, long)
	for range 40 {
		n.waits(on("pool", 10).wait(UseClassDefault))
	}
	if got := order(n, 2100*time.Millisecond); len(got) < 20 {
		t.Fatal(got)
	}
	w := n.waits(on("pool", 10).of("batch").wait(UseClassDefault))
	if got := order(n, 300*time.Millisecond); w.ID != 0 {
		t.Errorf("served among the next three: %v", got)
	}
	if got := order(n, 300*time.Millisecond); w.ID == 0 {
		t.Errorf("not served among the next six: %v", got)
	}
}

// A call that finds another instance short than before keeps its lead there.
func TestMovingKeepsTheLead(t *testing.T) {
	n := one(t, long)
	n.must(on("both", 1), Admit, CodeOK)
	w := n.waits2(on("both", 50).of("batch"), "pool")
	q := &n.e.queue
	to := w.bound.takes[1-w.at(w.gate)].gate
	w.gate.virtual, to.virtual = 49.75, 100 // 50 tokens at weight 1: it is due soon
	q.move(w, w.at(to))
	if w.gate != to || w.line.tag(to) != 100.25 {
		t.Errorf("tag %v", w.line.tag(to))
	}
	n.check()
	n.e.Cancel(w)
	n.check()
}

// waits2 has a call wait at the instance of a budget.
func (n *node) waits2(r *Request, budget string) *Waiter {
	n.w.t.Helper()
	n.must(on(budget, int64(n.account(budget).Rights(n.w.now))), Admit, CodeOK)
	w := n.waits(r.wait(UseClassDefault))
	if w.gate.id.Name() != budget {
		n.w.t.Fatalf("waits at %s", w.gate.id)
	}
	return w
}

// Two calls that keep rights from each other, more than there can ever be: the first to come goes first.
func TestKeepersDoNotBlockEachOther(t *testing.T) {
	n := one(t, long)
	n.must(on("both", 1), Admit, CodeOK)
	first, second := n.waits2(on("both", 60), "pool"), n.waits(on("both", 60).wait(UseClassDefault))
	n.e.queue.move(second, second.at(first.bound.takes[1-first.at(first.gate)].gate))
	n.e.queue.keep(first)
	n.e.queue.keep(second)
	n.check()
	n.w.pass(3 * time.Second)
	if d := n.decided(); len(d) != 2 || d[0] != first || d[1] != second {
		t.Errorf("%d decided", len(d))
	}
}

// Whoever waits behind another is answered in time, too.
func TestDeadlineBehindOthers(t *testing.T) {
	n := one(t, oneOfEach)
	for range 3 {
		n.must(on("calls", 1), Admit, CodeOK)
	}
	first := n.waits(on("calls", 1).wait(UseClassDefault))
	second := n.waits(on("calls", 1).wait(300 * time.Millisecond))
	n.w.pass(300 * time.Millisecond)
	if first.ID != 0 || second.ID == 0 {
		t.Fatal("the second call is not answered at its deadline")
	}
	if a := n.answer(second.ID); a.Verdict != Defer || a.Waited != 300*time.Millisecond {
		t.Errorf("%+v", a)
	}
}

// A soft ceiling may be overdrawn by whoever cannot wait, while others wait for what may come back.
func TestOverdraftBehindOthers(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("soft", 950), Admit, CodeOK)
	n.waits(on("soft", 200).wait(UseClassDefault))
	n.must(on("soft", 100).wait(0), Admit, CodeOK)
	n.must(on("soft", 100).wait(0), Defer, CodeExhausted)
}

// The ledger hears what the first call needs, again with each Pump, and once when nobody waits any more.
func TestLedgerIsTold(t *testing.T) {
	n := emptied(t, long)
	var told []string
	l := listener{n.r, &told}
	expect := func(when, want string) {
		t.Helper()
		if got := strings.Join(told, " "); got != want {
			t.Errorf("%s: told %q, want %q", when, got, want)
		}
		told = nil
	}
	offer := func(r *Request) *Waiter {
		_, w, err := n.e.Offer(n.w.now, l, r.wait(UseClassDefault))
		if err != nil || w == nil {
			t.Fatal("does not wait")
		}
		return w
	}
	first := offer(on("pool", 30))
	expect("the first waits", "pool=30")
	second := offer(on("pool", 20))
	expect("the second waits behind it", "")
	n.e.Pump(n.w.now, l)
	expect("a tick", "pool=30")
	n.e.Cancel(first)
	n.e.Pump(n.w.now, l)
	expect("the first is gone", "pool=20")
	n.e.Cancel(second)
	n.e.Pump(n.w.now, l)
	expect("nobody waits", "pool=0")
	n.e.Pump(n.w.now, l)
	expect("at rest", "")
}

type listener struct {
	Ledger
	told *[]string
}

func (l listener) Waiting(now ledger.Instant, id ledger.InstanceID, need ledger.Need) {
	*l.told = append(*l.told, fmt.Sprintf("%s=%d", id.Name(), need.First))
	l.Ledger.Waiting(now, id, need)
}

// A call of the lightest class gets through however many of the heaviest keep coming.
func TestNoStarvation(t *testing.T) {
	n := emptied(t, long)
	w := n.waits(on("pool", 10).of("batch").wait(UseClassDefault))
	for range 30 {
		n.waits(on("pool", 10).of("critical").wait(UseClassDefault))
	}
	for i := range 40 {
		n.w.pass(100 * time.Millisecond)
		n.waits(on("pool", 10).of("critical").wait(UseClassDefault))
		if w.ID != 0 {
			if i < 10 || i > 18 {
				t.Errorf("served after %d calls of weight 16", i)
			}
			return
		}
	}
	t.Error("starved")
}

// A call that needs more than others is not passed by small ones of its class for ever, nor at their deadlines.
func TestLargeCallsAreServed(t *testing.T) {
	n := emptied(t, long)
	big := n.waits(on("pool", 90).wait(UseClassDefault))
	for i := 0; big.ID == 0; i++ {
		if i == 30 {
			t.Fatal("a large call waits for ever")
		}
		if id, ok := n.e.Try(n.w.now, on("pool", 5)); ok {
			t.Fatalf("a newcomer passes: %+v", n.answer(id))
		}
		n.must(on("pool", 5).wait(0), Defer, CodeExhausted)
		_, _ = n.admit(on("pool", 5).wait(time.Duration(i) * 100 * time.Millisecond))
		n.w.pass(100 * time.Millisecond)
	}
	if a := n.answer(big.ID); a.Verdict != Admit || a.Waited < 850*time.Millisecond || a.Waited > 1050*time.Millisecond {
		t.Errorf("%+v", a)
	}
}

// A newcomer of a better class that can be served now does not wait for those behind it. But not without end: passing is
// counted, in tokens by weight.
func TestBetterClassPasses(t *testing.T) {
	n := emptied(t, long)
	batch := n.waits(on("pool", 90).of("batch").wait(UseClassDefault))
	n.w.pass(50 * time.Millisecond) // accrual is rounded down
	passed := 0
	for ; ; passed++ {
		n.w.pass(100 * time.Millisecond)
		if id, w, _ := n.offer(on("pool", 10).wait(0)); w != nil || n.answer(id).Verdict != Admit {
			break
		}
	}
	if passed != 35 {
		t.Errorf("%d passed, want 35: 4 times 90 tokens in all for 90 of batch, less the tie", passed)
	}
	n.w.pass(time.Second)
	if batch.ID == 0 || n.answer(batch.ID).Verdict != Admit {
		t.Error("the call that was passed is not served")
	}
}

// A call that waits at one instance does not keep others from what else it draws on.
func TestWaitingIsPerInstance(t *testing.T) {
	n := emptied(t, long)
	n.w.pass(time.Second)                 // both are full
	n.must(on("pool", 99), Admit, CodeOK) // accrual is rounded down
	w := n.waits(on("both", 50).wait(UseClassDefault))
	if _, ok := n.e.Try(n.w.now, on("side", 10)); !ok {
		t.Error("a call is held up by one that waits elsewhere")
	}
	n.w.pass(550 * time.Millisecond)
	if w.ID == 0 || n.answer(w.ID).Verdict != Admit {
		t.Error("not served")
	}
}

// A call that needs two instances, each of which others use up while it waits for the other, gets them.
func TestNoStarvationBetweenInstances(t *testing.T) {
	n := emptied(t, long)
	w, second := n.waits(on("both", 60).wait(UseClassDefault)), n.waits(on("both", 50).wait(UseClassDefault))
	for i := 0; w.ID == 0 || second.ID == 0; i++ {
		if i == 1000 {
			t.Fatal("starved")
		}
		// Whatever can be had at either is taken at once.
		for _, model := range []string{"pool", "side"} {
			for range 20 {
				if _, w, _ := n.offer(on(model, 5).wait(0)); w != nil {
					t.Fatal("waits in spite of all")
				}
			}
		}
		n.w.pass(100 * time.Millisecond)
	}
	for _, w := range []*Waiter{w, second} {
		if a := n.answer(w.ID); a.Verdict != Admit || a.Waited > 10*time.Second {
			t.Errorf("%+v", a)
		}
	}
	n.check()
	if !slices.Equal(n.e.queue.busy, nil) {
		t.Errorf("%d gates are busy", len(n.e.queue.busy))
	}
}

func TestQueueIsBounded(t *testing.T) {
	n := newSwarm(t, 1, long, Config{MaxQueue: 40}).nodes[0]
	n.must(on("pool", 100), Admit, CodeOK)
	n.must(on("side", 50), Admit, CodeOK)
	for range 30 {
		n.waits(on("pool", 1).of("batch").wait(UseClassDefault))
	}
	a := n.answer(n.must(on("pool", 1).of("batch").wait(UseClassDefault), Defer, CodeQueueFull))
	if a.RetryAfter < time.Second {
		t.Errorf("%+v", a)
	}
	n.must(on("pool", 1).of("standard").wait(UseClassDefault), Defer, CodeQueueFull)
	// The last quarter is for the best class.
	for range 10 {
		n.waits(on("pool", 1).of("critical").wait(UseClassDefault))
	}
	n.must(on("pool", 1).of("critical").wait(UseClassDefault), Defer, CodeQueueFull)
	// What need not wait is not held up.
	n.must(on("side", 50).of("batch").wait(UseClassDefault), Admit, CodeOK)
	if got := fmt.Sprint(n.e.Queued()); got != "map[batch:30 critical:10]" {
		t.Error(got)
	}
	n.w.pass(500 * time.Millisecond)
	if len(n.e.queue.busy) > 0 || len(n.e.Queued()) > 0 {
		t.Error("the queue is not empty")
	}
}

func TestCancel(t *testing.T) {
	n := emptied(t, long)
	var ws []*Waiter
	for range 5 {
		ws = append(ws, n.waits(on("pool", 10).wait(UseClassDefault)))
	}
	for _, i := range []int{2, 0, 4} {
		if !n.e.Cancel(ws[i]) {
			t.Fatal("not cancelled")
		}
		n.check()
		if n.e.Cancel(ws[i]) {
			t.Fatal("cancelled twice")
		}
	}
	if n.e.Queued()["standard"] != 2 {
		t.Error(n.e.Queued())
	}
	n.w.pass(300 * time.Millisecond)
	if d := n.decided(); len(d) != 2 || d[0] != ws[1] || d[1] != ws[3] {
		t.Errorf("%v", d)
	}
	if n.e.Cancel(ws[1]) || ws[1].ID == 0 {
		t.Error("a decided call was cancelled")
	}
	last := n.waits(on("pool", 90).wait(UseClassDefault))
	n.e.Cancel(last)
	n.w.pass(time.Second)
	if _, ok := n.e.Try(n.w.now, on("pool", 50)); !ok {
		t.Error("the gate stays closed after its only call was cancelled")
	}
}

func TestFencedEndsTheWait(t *testing.T) {
	n := emptied(t, long)
	ws := []*Waiter{n.waits(on("pool", 10).wait(UseClassDefault)), n.waits(on("side", 10).wait(UseClassDefault)), n.waits(on("pool", 10).wait(UseClassDefault))}
	done := n.e.Pump(n.w.now, fenced{n.r})
	n.check()
	if len(done) != len(ws) {
		t.Fatalf("%d decided", len(done))
	}
	for _, w := range ws {
		if a := n.answer(w.ID); a.Verdict != Deny || a.Code != CodeFenced {
			t.Errorf("%+v", a)
		}
	}
	if _, ok := n.e.Try(n.w.now, on("pool", 0)); ok {
		t.Error("a fenced node admits")
	}
	id, _, _ := n.e.Offer(n.w.now, fenced{n.r}, on("pool", 0))
	if a := n.answer(id); a.Code != CodeFenced {
		t.Errorf("%+v", a)
	}
}

type fenced struct{ Ledger }

func (fenced) Fenced() bool { return true }

// The clock is put back by a day while calls wait: what is left of their waits stays.
func TestWaitsWhenTheClockIsPutBack(t *testing.T) {
	n := one(t, oneOfEach)
	for range 3 {
		n.must(on("calls", 1), Admit, CodeOK)
	}
	w := n.waits(on("calls", 1).wait(UseClassDefault))
	n.w.pass(time.Second)
	n.w.now -= ledger.Instant((24 * time.Hour).Milliseconds())
	n.w.tick()
	n.w.pass(950 * time.Millisecond)
	if w.ID != 0 {
		t.Fatal("decided too early")
	}
	n.w.pass(100 * time.Millisecond)
	if w.ID == 0 {
		t.Fatal("not decided at its deadline")
	}
	if a := n.answer(w.ID); a.Verdict != Defer || a.Waited < 2*time.Second || a.Waited > 2100*time.Millisecond {
		t.Errorf("%+v", a)
	}
}

// However many calls are refused at one moment at one instance, each answer is there when its caller is told: a node
// that was suspended finds the time of all that wait over at once.
func TestRefusedTogetherAreAllRemembered(t *testing.T) {
	n := emptied(t, long)
	waiting := []*Waiter{n.waits(on("pool", 10).of("batch").wait(UseClassDefault))}
	for range 2500 {
		_, w, err := n.e.Offer(n.w.now, n.r, on("pool", 10).of("batch").wait(UseClassDefault))
		if err != nil || w == nil {
			t.Fatalf("call %d does not wait: %v", len(waiting), err)
		}
		waiting = append(waiting, w)
	}
	n.w.now = waiting[len(waiting)-1].deadline
	told := n.e.Pump(n.w.now, n.r)
	for _, w := range told {
		if _, err := n.e.Lookup(w.ID); err != nil {
			t.Fatalf("the answer of a refused call is lost: %v", err)
		}
	}
	if len(told) != len(waiting) {
		t.Fatalf("%d of %d calls were told when their time was over", len(told), len(waiting))
	}
}

// A tenant whose calls fill the queue of its class makes room for others, call by call, until they have as many.
func TestNoTenantFillsTheQueue(t *testing.T) {
	for _, c := range []struct {
		name, classes string
		queue, room   int // of the node, and for calls of batch
	}{
		{"the node's bound", "", 40, 30},
		{"the class's bound", "queue: 12, ", 40, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.Replace(long, "{name: batch, ", "{name: batch, "+c.classes, 1)
			n := newSwarm(t, 1, doc, Config{MaxQueue: c.queue}).nodes[0]
			n.must(on("pool", 100), Admit, CodeOK)
			n.must(on("side", 100), Admit, CodeOK)
			var greedy []*Waiter
			for i := range c.room {
				greedy = append(greedy, n.waits(on([]string{"pool", "side"}[i%2], 1).of("batch").by("greedy").wait(UseClassDefault)))
			}
			a := n.answer(n.must(on("pool", 1).of("batch").by("greedy").wait(UseClassDefault), Defer, CodeQueueFull))
			if !strings.Contains(a.Reason, fmt.Sprintf("%d of them this tenant's", c.room)) {
				t.Error(a.Reason)
			}
			for i := range c.room / 2 {
				_, w, err := n.offer(on("pool", 1).of("batch").by("meek").wait(UseClassDefault))
				if err != nil || w == nil {
					t.Fatalf("call %d of another tenant does not wait", i)
				}
				last := greedy[len(greedy)-1]
				greedy = greedy[:len(greedy)-1]
				if a := n.answer(last.ID); a.Verdict != Defer || a.Code != CodeQueueFull || a.RetryAfter < time.Second || !strings.Contains(a.Reason, "made room") {
					t.Errorf("%+v", a)
				}
			}
			n.must(on("pool", 1).of("batch").by("meek").wait(UseClassDefault), Defer, CodeQueueFull)
			told := n.e.Pump(n.w.now, n.r)
			if len(told) != c.room/2 {
				t.Errorf("%d calls hear that they made room, want %d", len(told), c.room/2)
			}
			n.check()
		})
	}
}
