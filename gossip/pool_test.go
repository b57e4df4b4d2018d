package gossip

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestTwoNodesTalk(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2)
	a, b := nodes[0], nodes[1]

	small := "hello"
	large := strings.Repeat("x", 200_000)
	edge := strings.Repeat("e", a.PacketRoom())
	for _, payload := range []string{small, large, edge, edge + "e"} {
		if err := a.Send("n1", []byte(payload)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return want(b.rec.has(payload), "a payload of %d bytes did not arrive", len(payload)) })
	}
	if got := b.rec.messages()[0]; got != "n0: hello" {
		t.Errorf("first message is %q", got)
	}
	s := a.Stats()
	if s.Sent.Messages != 4 || s.Sent.MessageBytes == 0 || s.Sent.Bytes == 0 || s.Sent.Streams < 2 || s.Sent.Packets == 0 {
		t.Errorf("sent %+v", s.Sent)
	}
	if s := b.Stats(); s.Received.Messages != 4 || s.Received.Streams < 2 || s.Received.Bytes == 0 {
		t.Errorf("received %+v", s.Received)
	}

	for _, tc := range []struct {
		to   string
		size int
		want error
		text string
	}{
		{"nobody", 1, ErrUnknownPeer, `"nobody" among 2 members`},
		{"n0", 1, ErrUnknownPeer, `"n0"`}, // ourselves
		{"n1", MaxPayload + 1, ErrTooLarge, "at most 1048576"},
	} {
		err := a.Send(tc.to, make([]byte, tc.size))
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("Send to %s of %d bytes: %v, want %v with %q", tc.to, tc.size, err, tc.want, tc.text)
		}
	}
}

func TestLeaveAndClose(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 3)
	if err := nodes[2].Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[:2] {
		eventually(t, func() error { return sees(n, "n2", Left) })
	}
	if err := nodes[0].Send("n2", []byte("late")); !errors.Is(err, ErrPeerGone) {
		t.Errorf("Send to one that left: %v", err)
	}
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return sees(nodes[0], "n1", Failed) })
	if err := nodes[1].Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := nodes[1].Leave(context.Background()); err != nil {
		t.Errorf("Leave after Close: %v", err)
	}
	nodes[0].rec.mu.Lock()
	defer nodes[0].rec.mu.Unlock()
	if nodes[0].rec.changes == 0 {
		t.Error("MembersChanged was never called")
	}
}

// A leave that nobody waits for still ends in a closed pool.
func TestLeaveInNoTime(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := nodes[1].Leave(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := nodes[1].Send("n0", []byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after the end: %v", err)
	}
	nodes[1].Spread("k", 1, []byte("x")) // no effect, no panic
}

// A peer that takes nothing costs Send a bounded queue.
func TestQueueFull(t *testing.T) {
	t.Parallel()
	l := newLane(1000)
	for range peerQueue {
		if err := l.put("a", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.put("a", []byte("x")); !errors.Is(err, ErrQueueFull) || !strings.Contains(err.Error(), "256 messages") {
		t.Errorf("%v", err)
	}
	if err := l.put("b", make([]byte, MaxPayload)); err != nil { // others are not concerned
		t.Errorf("%v", err)
	}
	to, msgs, size, ok := l.take()
	if to != "a" || !ok || len(msgs) != peerQueue || size != peerQueue {
		t.Errorf("took %d messages, %d bytes for %s", len(msgs), size, to)
	}
	if err := l.put("a", []byte("meanwhile")); err != nil { // a is with a worker
		t.Fatal(err)
	}
	if to, _, _, _ := l.take(); to != "b" {
		t.Errorf("took %s twice at a time", to)
	}
	if n := l.done("a", true); n != 1 {
		t.Errorf("discarded %d", n)
	}
	l.done("b", false)
	if l.len() != 0 || l.bytes != 0 || len(l.queues) != 0 || len(l.ready) != 0 {
		t.Errorf("left: %+v", l)
	}
	l.close()
	if _, _, _, ok := l.take(); ok {
		t.Error("took from a closed lane")
	}
}
