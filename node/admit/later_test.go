package admit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// shut is a ledger whose batch is on its way to the disk: it opens nothing.
type shut struct{ *ledger.Replica }

func (l shut) Open(now ledger.Instant, id ledger.InstanceID) (*ledger.Account, error) {
	if a := l.Account(id); a != nil {
		return a, nil
	}
	return nil, ErrLater
}

func (n *node) offerShut(r *Request) (ID, *Waiter) {
	n.w.t.Helper()
	id, w, err := n.e.Offer(n.w.now, shut{n.r}, r)
	if err != nil {
		n.w.t.Fatalf("offer: %v", err)
	}
	n.check()
	return id, w
}

func (n *node) pumpShut() {
	n.done = append(n.done, n.e.Pump(n.w.now, shut{n.r})...)
	n.check()
}

// While a batch is written, calls on open instances are decided, refusals above all; those that need one opened wait,
// in their order, and cannot wait for longer than for any other write.
func TestOfferWhileNothingCanBeOpened(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("day", 400), Admit, CodeOK)
	n.w.pass(time.Second) // its mark is ahead of what comes
	for _, c := range []struct {
		r    *Request
		v    Verdict
		code string
	}{
		{on("day", 100).wait(0), Admit, CodeOK},
		{on("day", 5000).wait(0), Deny, CodeTooLarge},
		{on("day", 900).wait(0), Defer, CodeExhausted},
	} {
		id, w := n.offerShut(c.r)
		if w != nil {
			t.Fatalf("%v waits for a disk that it does not need", c.r)
		}
		if a := n.answer(id); a.Verdict != c.v || a.Code != c.code {
			t.Errorf("got %v %s %q, want %v %s", a.Verdict, a.Code, a.Reason, c.v, c.code)
		}
	}
	_, first := n.offerShut(on("soft", 10).wait(0))
	_, gone := n.offerShut(on("soft", 10).wait(0))
	_, second := n.offerShut(on("calls", 1).wait(0))
	if first == nil || gone == nil || second == nil || !n.e.Waits() {
		t.Fatal("a call on an instance that is not open must wait until it can be opened")
	}
	if !n.e.Cancel(gone) || n.e.Cancel(gone) {
		t.Error("a caller that goes away takes its call along, once")
	}
	n.w.now += 900
	if n.pumpShut(); len(n.decided()) > 0 {
		t.Fatal("decided though the disk may yet answer")
	}
	n.w.sync()
	if d := n.decided(); len(d) != 2 {
		t.Fatalf("%d calls decided", len(d))
	}
	for _, w := range []*Waiter{first, second} {
		if a := n.answer(w.ID); a.Verdict != Admit || a.Waited != 900*time.Millisecond {
			t.Errorf("%+v", a)
		}
	}
}

func TestOpeningWaitsNoLongerThanForAnyWrite(t *testing.T) {
	n := one(t, oneOfEach)
	_, w := n.offerShut(on("day", 10).wait(0))
	n.w.now += 600
	_, behind := n.offerShut(on("calls", 10).wait(0))
	n.w.now += 450
	if n.pumpShut(); w.ID == 0 || behind.ID != 0 {
		t.Fatalf("want the first refused and the second to wait: %v, %v", w.ID, behind.ID)
	}
	if a := n.answer(w.ID); a.Verdict != Defer || a.Code != CodeDisk || !strings.HasPrefix(a.Reason, "this node's disk has not confirmed a write in 1s") {
		t.Errorf("%+v", a)
	}
	n.slow = true // it can be opened now, but is not durable before its second is over
	n.w.tick()
	n.w.now += 550
	n.pump()
	if behind.ID == 0 {
		t.Fatal("it waits for the disk for more than a second in all")
	}
	if a := n.answer(behind.ID); a.Code != CodeDisk || a.Waited > time.Second {
		t.Errorf("%+v", a)
	}
}

// What turns out to be wrong with a call that has waited is told to its caller.
func TestOpeningThatFails(t *testing.T) {
	n := one(t, oneOfEach)
	_, w := n.offerShut(on("day", 10))
	n.e.SetPolicy(parse(t, lawful)) // of whose budgets the ledger knows nothing
	n.pump()
	if w.ID != 0 || !errors.Is(w.Err, ErrNotReady) || n.e.Waits() {
		t.Fatalf("%v, %v", w.ID, w.Err)
	}
}

// A storm of calls on new instances fills no more memory than the queue may take.
func TestUnopenedCallsAreBounded(t *testing.T) {
	w := newSwarm(t, 1, oneOfEach, Config{MaxQueue: 3})
	n := w.nodes[0]
	for range 3 {
		if _, w := n.offerShut(on("day", 10)); w == nil {
			t.Fatal("it does not wait")
		}
	}
	id, _ := n.offerShut(on("day", 10))
	if a := n.answer(id); a.Verdict != Defer || a.Code != CodeQueueFull {
		t.Errorf("%+v", a)
	}
}
