package sim

import (
	"testing"
	"time"
)

// TestBytesPerSecond: nodes that send 1,000 bytes a second are said to, though samples are not taken when the warmup and arrivals end.
func TestBytesPerSecond(t *testing.T) {
	w := &world{nodes: []*node{{}, {}}}
	m := &measure{w: w}
	for _, at := range []time.Duration{19_900, 20_190, 20_600, 64_900, 65_310, 65_700} { // ms
		w.now = span(at * time.Millisecond)
		for _, n := range w.nodes {
			n.out.sent = uint64(w.now / milli)
		}
		m.snap(&m.warm, 20*second)
		m.snap(&m.cooled, 65*second)
	}
	for _, rate := range perSecond(&m.warm, &m.cooled) {
		if rate != 1000 {
			t.Errorf("%v bytes a second", rate)
		}
	}
	if len(perSecond(&m.warm, &m.cooled)) != 2 {
		t.Error("a node is missing")
	}
}
