package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/promise"
)

// sender is a node of twelve whose outbox alone is at work.
type sender struct {
	*world
	n    *node
	sent []delivery
}

// delivery is a packet as it leaves.
type delivery struct {
	at   micros
	to   int32
	rows []*news
}

func newSender(t *testing.T, bytesPerSecond int64) *sender {
	sc := steady(t, 12, time.Minute)
	sc.Network.Loss = 0
	sc.Gossip.BytesPerSecond = bytesPerSecond
	w, err := newWorld(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.until(second, Options{}) // whatever nodes have to do at their start
	s := &sender{world: w, n: w.nodes[0]}
	s.n.out.init(s.n)
	s.work(0)
	return s
}

// row makes a row of an instance of this node's.
func (s *sender) row(instance string, version uint64) *news {
	x := s.pool.intern(&ledger.Row{Holder: s.n.self, Instance: ledger.InstanceID(instance), Version: version})
	s.n.fresh(x)
	return x
}

// relayed makes a row of node 5's, which came from there.
func (s *sender) relayed(instance string, version uint64) *news {
	x := s.pool.intern(&ledger.Row{Holder: s.nodes[5].self, Instance: ledger.InstanceID(instance), Version: version})
	s.n.fresh(x)
	return x
}

// work lets the outbox work for a time, and nothing else.
func (s *sender) work(d micros) {
	s.n.out.added() // as after every batch
	until := s.now + d
	for {
		e, ok := s.queue.pop(until)
		if !ok {
			break
		}
		s.now = e.at
		switch {
		case e.kind == evSpread && e.node == int32(s.n.i):
			s.n.out.run()
		case e.kind == evRows:
			s.sent = append(s.sent, delivery{e.at, e.node, e.p.(*packet).news})
		}
	}
	s.now = until
}

// versions lists what was sent to the first peer of each packet, packet by packet.
func (s *sender) versions() (out [][]uint64) {
	var seen []*news
	for _, d := range s.sent {
		if !slices.Contains(seen, d.rows[0]) {
			seen = append(seen, d.rows[0])
			var vs []uint64
			for _, x := range d.rows {
				vs = append(vs, x.row.Version)
			}
			out = append(out, vs)
		}
	}
	return out
}

// TestOutboxWaves: a row goes to three peers, and to three others 100 ms later.
func TestOutboxWaves(t *testing.T) {
	s := newSender(t, 25_000)
	began := s.now
	s.n.out.put(s.row("a", 1), 1)
	s.work(second)
	if len(s.sent) != promise.Fanout*promise.Waves {
		t.Fatalf("%d packets", len(s.sent))
	}
	var to []int32
	for i, d := range s.sent {
		early := began + linger
		if i >= promise.Fanout {
			early += waveGap
		}
		if d.at < early || d.at > early+60*milli {
			t.Errorf("packet %d comes after %d µs", i, d.at-began)
		}
		to = append(to, d.to)
	}
	slices.Sort(to)
	if n := len(slices.Compact(to)); n != promise.Fanout*promise.Waves || slices.Contains(to, int32(s.n.i)) {
		t.Errorf("it goes to %v", to)
	}
}

// TestOutboxNewest: of one account only the newest row leaves, in the first wave and in later ones.
func TestOutboxNewest(t *testing.T) {
	s := newSender(t, 25_000)
	s.n.out.put(s.row("a", 1), 1)
	s.n.out.put(s.row("a", 2), 1)
	s.work(20 * milli)
	s.n.out.put(s.row("a", 3), 1)
	s.work(second)
	counts := map[uint64]int{}
	for _, d := range s.sent {
		for _, x := range d.rows {
			counts[x.row.Version]++
		}
	}
	if counts[1] != 0 || counts[2] != promise.Fanout || counts[3] != promise.Fanout*promise.Waves {
		t.Errorf("copies by version: %v", counts)
	}
}

// TestOutboxRelays: what came from a node does not go back there.
func TestOutboxRelays(t *testing.T) {
	s := newSender(t, 250_000)
	for v := range uint64(20) {
		s.n.out.relay(s.n.w.now, s.relayed("a", v+1), 1)
		s.work(second)
	}
	if len(s.sent) != 20*promise.Fanout*promise.Waves {
		t.Errorf("%d packets", len(s.sent))
	}
	for _, d := range s.sent {
		if d.to == 5 {
			t.Error("a row goes back to where it came from")
		}
	}
}

// TestOutboxCompany: rows that come within 2 ms share a packet, which never holds more than it may.
func TestOutboxCompany(t *testing.T) {
	s := newSender(t, 1_000_000)
	s.n.out.put(s.row("a", 1), 1)
	s.work(milli)
	s.n.out.put(s.row("b", 2), 1)
	s.work(second)
	if got := s.versions(); len(got) != 1 || !slices.Equal(got[0], []uint64{1, 2}) {
		t.Errorf("packets of %v", got)
	}
	s.sent = nil
	for v := range uint64(100) {
		s.n.out.put(s.row(string(rune('A'+v)), 10+v), 1)
	}
	s.work(second)
	packets := 0
	for _, d := range s.sent {
		room := 0
		for _, x := range d.rows {
			room += x.size + promise.PayloadHead
		}
		if packets++; room > promise.PacketRoom+promise.PayloadHead {
			t.Errorf("a packet of %d rows takes %d bytes", len(d.rows), room)
		}
	}
	if least := 100 * s.row("A", 10).size / promise.PacketRoom; packets < least*6 || packets > 2*least*6+6 {
		t.Errorf("%d packets", packets)
	}
}

// TestOutboxOrder: where the ceiling binds, heavy rows leave before light ones, and of equals the oldest.
func TestOutboxOrder(t *testing.T) {
	s := newSender(t, 2000)
	s.n.out.tokens = 0
	for i, weight := range []float64{1, 3, 2, 3, 1} {
		s.n.out.put(s.row(string(rune('a'+i)), uint64(i+1)), weight)
		s.work(milli)
	}
	s.work(20 * second)
	var order []uint64
	for _, p := range s.versions() {
		order = append(order, p...)
	}
	if want := []uint64{2, 4, 3, 1, 5}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
}

// TestOutboxCeiling: rows, membership and messages together stay below the ceiling, but rows always have a fifth.
func TestOutboxCeiling(t *testing.T) {
	const rate, seconds = 25_000, 20
	for _, c := range []struct {
		name        string
		others      int // bytes a second
		least, most float64
	}{
		{"rows alone", 0, 0.95, 1},
		{"and messages that take half", rate / 2, 0.45, 0.5},
		{"and messages that take all", rate, 0.19, 0.2},
	} {
		s := newSender(t, rate)
		s.n.out.tokens = 0
		sent := s.n.out.sent
		version := uint64(0)
		for range seconds * 10 {
			for i := range 100 {
				version++
				s.n.out.put(s.row(string(rune('A'+i)), version), 1)
			}
			s.n.out.charge(c.others / 10)
			s.work(100 * milli)
		}
		mine := float64(s.n.out.sent-sent) - float64(c.others*seconds)
		if c.others < rate {
			mine += s.pool.idle() * seconds // is taken out as well
		}
		if part := mine / (rate * seconds); part < c.least || part > c.most+0.02 {
			t.Errorf("%s: rows take %.1f %% of the ceiling, stated are %.0f to %.0f %%", c.name, 100*part, 100*c.least, 100*c.most)
		}
	}
}
