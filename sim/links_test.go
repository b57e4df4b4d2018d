package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// wired is a history whose network is so.
func wired(t *testing.T, change func(*scenario.Network)) *history {
	h := newHistory(t)
	h.sc.Network = scenario.Network{
		SameZone:  scenario.Delay{Median: 10 * time.Millisecond, P99: 10 * time.Millisecond},
		OtherZone: scenario.Delay{Median: 30 * time.Millisecond, P99: 30 * time.Millisecond},
		ReorderBy: 100 * time.Millisecond,
	}
	if change != nil {
		change(&h.sc.Network)
	}
	h.links.init(h.world)
	return h
}

// sent has node a send b so many messages of a size, and says after how long each arrives, in order of sending.
// A message that arrives twice is there twice, one that does not is not there.
func (h *history) sent(n, size int) (took []micros) {
	for i := range n {
		h.a.send(h.b, size, evMessage, i)
	}
	type arrival struct {
		i    int
		took micros
	}
	var all []arrival
	for {
		e, ok := h.queue.pop(h.now + 1000*second)
		if !ok {
			break
		}
		if i, ours := e.p.(int); ours && e.kind == evMessage {
			all = append(all, arrival{i, e.at - h.now})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return a.i - b.i })
	for _, a := range all {
		took = append(took, a.took)
	}
	return took
}

// near demands a figure within a part of what is stated.
func near(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if math.Abs(got-want) > part*want {
		t.Errorf("%s: %g, stated is %g", what, got, want)
	}
}

const many = 40_000 // messages, so that what chance makes of them is within a few percent

// TestLatency: half of the messages take no longer than the median, one in a hundred longer than the 99th percentile.
func TestLatency(t *testing.T) {
	for _, c := range []struct {
		name        string
		zone        int
		median, p99 time.Duration
	}{
		{"in one zone", 0, 2 * time.Millisecond, 9 * time.Millisecond},
		{"between zones", 1, 20 * time.Millisecond, 300 * time.Millisecond},
		{"always the same", 0, 5 * time.Millisecond, 5 * time.Millisecond},
	} {
		h := wired(t, func(n *scenario.Network) {
			n.SameZone = scenario.Delay{Median: c.median, P99: c.p99}
			if c.zone > 0 {
				n.SameZone, n.OtherZone = scenario.Delay{Median: time.Hour, P99: time.Hour}, n.SameZone
			}
		})
		h.b.zone = c.zone
		took := h.sent(many, 100)
		slices.Sort(took)
		if len(took) != many {
			t.Errorf("%s: %d of %d arrive", c.name, len(took), many)
		}
		near(t, c.name+": median in µs", float64(took[many/2]), float64(c.median.Microseconds()), 0.03)
		near(t, c.name+": 99th percentile in µs", float64(took[many*99/100]), float64(c.p99.Microseconds()), 0.1)
	}
}

// TestLoss: as many messages are lost, doubled and late as is stated.
func TestLoss(t *testing.T) {
	const usual = 10 * milli
	lateBy := func(took []micros) (late int) {
		for _, d := range took {
			if d > usual {
				late++
			}
		}
		return late
	}
	for _, c := range []struct {
		name       string
		network    func(*scenario.Network)
		faults     func(*history)
		come, late float64 // of what was sent
	}{
		{"nothing is wrong", nil, nil, 1, 0},
		{"loss", func(n *scenario.Network) { n.Loss = 0.1 }, nil, 0.9, 0},
		{"duplicates", func(n *scenario.Network) { n.Duplicate = 0.1 }, nil, 1.1, 0},
		{"reorder", func(n *scenario.Network) { n.Reorder = 0.1 }, nil, 1, 0.1},
		{"loss, also at both ends", func(n *scenario.Network) { n.Loss = 0.1 }, func(h *history) { h.a.linkLoss, h.b.linkLoss = 0.2, 0.3 }, 0.9 * 0.8 * 0.7, 0},
		{"a slow end", nil, func(h *history) { h.b.linkMore = 5 * milli }, 1, 1},
	} {
		h := wired(t, c.network)
		if c.faults != nil {
			c.faults(h)
		}
		took := h.sent(many, 100)
		near(t, c.name+": come", float64(len(took))/many, c.come, 0.02)
		near(t, c.name+": late", float64(lateBy(took))/many, c.late, 0.1)
	}
}

// TestStreams: what does not fit in a packet is never lost or doubled, but late: by a handshake, and by 200 ms for each
// loss on the way.
func TestStreams(t *testing.T) {
	h := wired(t, func(n *scenario.Network) { n.Loss, n.Duplicate, n.Reorder = 0.2, 0.5, 0.5 })
	took := h.sent(many, promise.PacketRoom+1)
	if len(took) != many {
		t.Errorf("%d of %d arrive", len(took), many)
	}
	again := map[micros]float64{} // by how many losses
	for _, d := range took {
		again[(d-30*milli)/streamAgain]++
		if (d-30*milli)%streamAgain != 0 {
			t.Fatalf("one takes %d µs", d)
		}
	}
	for losses, part := range []float64{0.8, 0.16, 0.032} {
		near(t, "streams that lose packets", again[micros(losses)]/many, part, 0.1)
	}
}

// TestBandwidth: a link that is busy makes messages wait, as long as their bytes take.
func TestBandwidth(t *testing.T) {
	const size, bytesPerSecond = 941, 1_000_000
	h := wired(t, func(n *scenario.Network) { n.Bandwidth = bytesPerSecond })
	const each = micros(size+promise.PacketHead+promise.PayloadHead) * second / bytesPerSecond
	for i, d := range h.sent(100, size) {
		if want := 10*milli + micros(i+1)*each; d != want {
			t.Fatalf("message %d takes %d µs, its bytes and those before it take %d", i, d, want)
		}
	}
}

// TestCut: what is on one side of a cut does not reach the other; a cut of one way loses only what leaves.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		name         string
		oneWay       bool
		aIn, bIn     bool
		there, back_ bool // arrives
	}{
		{"both outside", false, false, false, true, true},
		{"both inside", false, true, true, true, true},
		{"one inside", false, true, false, false, false},
		{"the other inside", false, false, true, false, false},
		{"one way, sender inside", true, true, false, false, true},
		{"one way, sender outside", true, false, true, true, false},
	} {
		h := wired(t, nil)
		const bit = 4
		h.links.cuts = []cut{{bit: bit, oneWay: c.oneWay}}
		if c.aIn {
			h.a.side |= bit
		}
		if c.bIn {
			h.b.side |= bit
		}
		there := len(h.sent(1, 100)) == 1
		h.a, h.b = h.b, h.a
		back := len(h.sent(1, 100)) == 1
		if there != c.there || back != c.back_ {
			t.Errorf("%s: arrives %v, back %v", c.name, there, back)
		}
	}
}
