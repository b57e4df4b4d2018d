package admit

import (
	"errors"
	"fmt"
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

// A call that one of its instances refuses whatever happens does not wait for the disk that another one needs: neither
// while that is opened, nor while nothing can be opened.
func TestRefusalsDoNotWaitForTheDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		used int64 // of the pot's 1,000
		r    *Request
		code string // "" if the call waits
	}{
		{"nothing is left", 1000, on("all", 1), CodeExhausted},
		{"too little is left", 900, on("all", 101), CodeExhausted},
		{"more than it ever holds", 0, on("all", 1001), CodeTooLarge},
		{"enough is left", 900, on("all", 100), ""},
		{"calls that run may give back", -900, on("all", 200), ""},
	} {
		for _, shut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shut %v", c.name, shut), func(t *testing.T) {
				n := one(t, oneOfEach)
				n.must(on("pot", 0), Admit, CodeOK)
				if c.used > 0 {
					n.settle(n.must(on("pot", c.used), Admit, CodeOK), Settlement{})
				} else if c.used < 0 { // reserved, not used
					id := n.must(on("pot", -c.used), Admit, CodeOK)
					defer n.settle(id, Settlement{})
				}
				n.slow = true
				var id ID
				var w *Waiter
				if r := *c.r; shut {
					id, w = n.offerShut(r.wait(UseClassDefault))
				} else {
					id, w = n.admit(r.wait(UseClassDefault))
				}
				if c.code == "" {
					if w == nil {
						t.Fatalf("it does not wait: %+v", n.answer(id))
					}
					n.slow = false
					n.w.pass(100 * time.Millisecond)
					if c.used > 0 && n.answer(w.ID).Verdict != Admit {
						t.Errorf("%+v", n.answer(w.ID))
					}
					return
				}
				if w != nil {
					t.Fatal("a refusal waits for the disk")
				}
				if a := n.answer(id); a.Code != c.code || a.Class != "standard" || a.Short == nil || a.Short.Instance.Name() != "pot" {
					t.Errorf("%+v", a)
				}
				if d, err := n.e.Lookup(id); err != nil || d.Revision != 1 || len(d.Rules) == 0 {
					t.Errorf("%+v, %v", d, err)
				}
			})
		}
	}
}

// The same where the disk is waited for at an instance that comes before the one that has nothing: the first call is
// small, so that the mark of the pot does not cover the second.
func TestRefusalsDoNotWaitForAMark(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("pot", 1), Admit, CodeOK)
	n.must(on("all", 1), Admit, CodeOK)
	n.settle(n.must(on("day", 999), Admit, CodeOK), Settlement{})
	n.slow = true
	id, w := n.admit(on("all", 900).wait(UseClassDefault))
	if w != nil {
		t.Fatal("a refusal waits for the disk")
	}
	if a := n.answer(id); a.Code != CodeExhausted || a.Short.Instance.Name() != "day" {
		t.Errorf("%+v", a)
	}
}
