package events

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// publish says n things, no faster than the bound allows. It needs a bubble.
func publish(h *Hub, from, n int) {
	for i := range n {
		if h.Wants("x") {
			h.Publish("x", from+i)
		}
		time.Sleep(time.Second / perSecond)
	}
}

func take(t *testing.T, f *Follower) (said []string) {
	t.Helper()
	list, ok := f.Take()
	if !ok {
		t.Fatal("lost its place")
	}
	for _, e := range list {
		said = append(said, string(e.Data))
	}
	return said
}

func follow(t *testing.T, h *Hub, after string, misses bool) *Follower {
	t.Helper()
	f, missed, err := h.Follow(after)
	if err != nil || missed != misses {
		t.Fatalf("after %q: missed %v, %v; want %v", after, missed, err, misses)
	}
	return f
}

// TestFollow: who comes again finds its place while that is kept, and is told when it is not.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New("a", "x")
		if h.Wants("x") {
			t.Fatal("nobody listens")
		}
		f := follow(t, h, "", false)
		publish(h, 1, 3)
		<-f.Wake()
		if got := take(t, f); fmt.Sprint(got) != "[1 2 3]" {
			t.Fatalf("got %v", got)
		}
		f.Close()
		publish(h, 4, 2) // still kept for a while
		f = follow(t, h, h.ID(3), false)
		if got := take(t, f); fmt.Sprint(got) != "[4 5]" {
			t.Fatalf("after a break: %v", got)
		}
		f.Close()
		f.Close() // does nothing
		if h.Followers() != 0 {
			t.Errorf("%d follow", h.Followers())
		}
		time.Sleep(linger + time.Second)
		synctest.Wait()
		if h.Wants("x") {
			t.Fatal("nobody listens any more")
		}
		f = follow(t, h, h.ID(5), true)
		f.Close()
		for _, id := range []string{"b-5", "a-99", "a-", "nonsense", "a-5x"} {
			follow(t, h, id, true).Close()
		}
		// A new reader gets the last ones, not all.
		f = follow(t, h, "", false)
		publish(h, 1000, 2*backlog)
		late := follow(t, h, "", false)
		if got := take(t, late); len(got) != backlog || got[0] != fmt.Sprint(1000+backlog) {
			t.Errorf("a late one gets %d, from %s", len(got), got[0])
		}
		f.Close()
		late.Close()
		time.Sleep(linger + time.Second) // the bubble ends with no timer left
	})
}

// TestSlowFollowerLosesItsPlace: nobody waits for it, it is counted, and hears of it when it comes again.
func TestSlowFollowerLosesItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New("a", "x")
		quick, slow := follow(t, h, "", false), follow(t, h, "", false)
		for range keep/100 + 1 {
			publish(h, 0, 100)
			take(t, quick)
		}
		if _, ok := slow.Take(); ok || h.Slow() != 1 {
			t.Fatalf("ok %v, %d slow", ok, h.Slow())
		}
		slow.Close()
		again := follow(t, h, h.ID(1), true)
		if n := len(take(t, again)); n != keep {
			t.Errorf("%d events, want all %d that are kept", n, keep)
		}
		h.End()
		<-h.Ended()
		if _, _, err := h.Follow(""); err != ErrEnded {
			t.Errorf("after the end: %v", err)
		}
		if h.Wants("x") {
			t.Error("after the end it wants more")
		}
		quick.Close()
		again.Close()
	})
}

// TestBounds: of followers, of events a second, and of an event.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New("a", "x", "y")
		var all []*Follower
		for range MaxFollowers {
			all = append(all, follow(t, h, "", false))
		}
		if _, _, err := h.Follow(""); err != ErrFull {
			t.Errorf("one more: %v", err)
		}
		for range 10 * burst {
			if h.Wants("x") {
				h.Publish("x", 1)
			}
		}
		if !h.Wants("y") {
			t.Error("one kind leaves no room for another")
		}
		h.Publish("y", strings.Repeat("é", maxData))
		if n := len(take(t, all[0])); n != burst {
			t.Errorf("%d events, want %d", n, burst)
		}
		if got := h.LeftOut(); got["x"] != 9*burst || got["y"] != 1 {
			t.Errorf("left out: %v", got)
		}
		if h.Wants("z") {
			t.Error("an unknown kind")
		}
		h.End()
		for _, f := range all {
			f.Close()
		}
	})
	var none *Hub
	none.End()
	if none.Wants("x") || len(none.LeftOut()) != 0 {
		t.Error("no hub")
	}
}

func BenchmarkWantsWhenNobodyFollows(b *testing.B) {
	h := New("a", "x")
	b.ReportAllocs()
	for b.Loop() {
		if h.Wants("x") {
			b.Fatal("nobody follows")
		}
	}
}
