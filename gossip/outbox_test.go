package gossip

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// bare is a pool without a network, for its outbox.
func bare(alive ...string) *Pool {
	p := &Pool{opts: Options{Name: "me", Rand: rand.New(rand.NewPCG(1, 2))}.withDefaults(), room: packetRoom("test", true)}
	p.view.Store(&view{alive: alive})
	p.outbox = newOutbox(p)
	return p
}

func keys(w *wave) string {
	if w == nil {
		return ""
	}
	var ks []string
	for _, it := range w.items {
		ks = append(ks, it.key)
	}
	return strings.Join(ks, " ")
}

func TestOutboxOrder(t *testing.T) {
	p := bare("a")
	for _, it := range []struct {
		key     string
		weight  float64
		payload string
	}{
		{"light", 1, "l"}, {"heavy", 9, "h"}, {"old", 5, "o"}, {"young", 5, "y"},
		{"changed", 1, "before"}, {"changed", 7, "after"},
	} {
		p.Spread(it.key, it.weight, []byte(it.payload))
	}
	later := time.Now().Add(time.Second) // after lingering
	w, _ := p.outbox.pack(later)
	if got := keys(w); got != "heavy changed old young light" {
		t.Errorf("packed %q", got)
	}
	if string(w.items[1].payload) != "after" {
		t.Errorf("the key's older payload %q was sent", w.items[1].payload)
	}
	if n, size, age := p.outbox.size(); n != 0 || size != 0 || age != 0 {
		t.Errorf("left: %d items, %d bytes, age %v", n, size, age)
	}
}

// An item waits a little for company; a packet's worth of them does not.
func TestOutboxLinger(t *testing.T) {
	p := bare("a")
	p.Spread("k", 1, []byte("x"))
	now := p.outbox.order[0].since
	if w, wait := p.outbox.pack(now); w != nil || wait != p.opts.Linger {
		t.Errorf("packed %q, wait %v", keys(w), wait)
	}
	for i := range 10 {
		p.Spread(fmt.Sprint(i), 1, make([]byte, 200))
	}
	if w, _ := p.outbox.pack(now); w == nil || len(w.items) < 5 || len(w.items) > 7 {
		t.Errorf("packed %q", keys(w))
	}
}

// What found no room in the bucket goes back, and is replaced there by what came meanwhile; its age stays.
func TestOutboxUnpack(t *testing.T) {
	p := bare("a")
	p.Spread("k", 1, []byte("first"))
	p.Spread("other", 1, []byte("x"))
	since := p.outbox.order[0].since
	w, _ := p.outbox.pack(since.Add(time.Second))
	p.Spread("k", 1, []byte("second"))
	p.outbox.unpack(w.items)
	if n, size, _ := p.outbox.size(); n != 2 || size != len("second")+1 {
		t.Errorf("%d items, %d bytes", n, size)
	}
	if it := p.outbox.items["k"]; string(it.payload) != "second" || it.since != since {
		t.Errorf("%q since %v, want since %v", it.payload, it.since, since)
	}
}

// Once a key has newer news, the later waves of the older are not sent.
func TestOutboxStaleWaves(t *testing.T) {
	p := bare("a")
	for _, when := range []string{"while the wave waits", "before the packet was sent"} {
		p.Spread("k", 1, []byte("old"))
		p.Spread("j", 1, []byte("same"))
		w, _ := p.outbox.pack(time.Now().Add(time.Second))
		if when == "before the packet was sent" {
			p.Spread("k", 1, []byte("new"))
			p.outbox.remember(w.items)
		} else {
			p.outbox.remember(w.items)
			p.Spread("k", 1, []byte("new"))
		}
		w.items = p.outbox.fresh(w.items)
		if got := keys(w); got != "j" {
			t.Errorf("%s: still tells %q", when, got)
		}
		p.outbox.forget(w.items)
		if len(p.outbox.waving) != 0 {
			t.Errorf("%s: %d keys remembered for nothing", when, len(p.outbox.waving))
		}
		p.outbox.pack(time.Now().Add(time.Second))
	}
}

func TestOutboxBounds(t *testing.T) {
	p := bare("a")
	for i := range outboxKeys + 100 {
		p.Spread(fmt.Sprint(i), float64(i), []byte("x"))
	}
	if n, _, _ := p.outbox.size(); n != outboxKeys {
		t.Errorf("%d keys", n)
	}
	for i := range 100 {
		if p.outbox.items[fmt.Sprint(i)] != nil {
			t.Fatalf("key %d of weight %d is there, heavier ones are not", i, i)
		}
	}
	if n := p.count.dropped[dropOutbox].Load(); n != 100 {
		t.Errorf("counted %d", n)
	}
	for i := range 20 {
		p.Spread(fmt.Sprint("big", i), 1e9, make([]byte, MaxPayload))
	}
	if _, size, _ := p.outbox.size(); size > outboxBytes {
		t.Errorf("%d bytes", size)
	}
	p.Spread("too large", 1, make([]byte, MaxPayload+1))
	if p.outbox.items["too large"] != nil || p.count.dropped[dropTooLarge].Load() != 1 {
		t.Error("took a payload above MaxPayload")
	}
}

// Whatever is spread: the books agree with what waits, and each packet fits and is the heaviest there is.
func TestOutboxLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := bare("a")
		at := time.Now().Add(time.Hour)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			default:
				key := fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "key"))
				p.Spread(key, float64(rapid.IntRange(0, 5).Draw(t, "weight")), make([]byte, rapid.IntRange(0, 1500).Draw(t, "size")))
			case 3:
				w, _ := p.outbox.pack(at)
				if w == nil {
					continue
				}
				var payloads [][]byte
				for _, it := range w.items {
					payloads = append(payloads, it.payload)
					for _, waiting := range p.outbox.order {
						if waiting.weight > it.weight {
							t.Fatalf("sends weight %v while %v waits", it.weight, waiting.weight)
						}
					}
				}
				if n := len(appendMessages(nil, "me", payloads...)); n > p.room && len(w.items) > 1 {
					t.Fatalf("packet of %d bytes, room %d", n, p.room)
				}
				if rapid.Bool().Draw(t, "back") {
					p.outbox.unpack(w.items)
				}
			}
			size := 0
			for i, it := range p.outbox.order {
				size += len(it.payload)
				if it.at != i || p.outbox.items[it.key] != it {
					t.Fatalf("item %q is lost", it.key)
				}
			}
			if size != p.outbox.bytes || len(p.outbox.items) != len(p.outbox.order) {
				t.Fatalf("books say %d bytes, there are %d", p.outbox.bytes, size)
			}
		}
	})
}

func TestBucket(t *testing.T) {
	start := time.Unix(1000, 0)
	b := newBucket(1000, 500, start)
	for _, tc := range []struct {
		after time.Duration
		n     int
		free  bool
	}{
		{0, 400, true},
		{0, 200, false},                     // 100 left
		{100 * time.Millisecond, 190, true}, // of 196: a 32nd is kept back
		{90 * time.Millisecond, 7, false},   // the clock stepped back: mint nothing
		{time.Hour, 500, true},              // no more than the burst
		{time.Hour, 1, false},
	} {
		if d := b.take(tc.n, start.Add(tc.after)); (d == 0) != tc.free {
			t.Errorf("at %v, %d: wait %v", tc.after, tc.n, d)
		}
	}
	b = newBucket(1000, 500, start)
	if d := b.take(5000, start); d != 0 {
		t.Errorf("a full bucket stops what is larger than it: %v", d)
	}
	if d := b.take(1, start); d < 4500*time.Millisecond {
		t.Errorf("no debt after 5000 of 500: wait %v", d)
	}
}

// TestBucketLeavesRoomForOthers: items get what membership and Send leave of the rate, a fifth at least.
func TestBucketLeavesRoomForOthers(t *testing.T) {
	for _, tc := range []struct {
		others   int // bytes a second that others send
		min, max int // bytes that items may send in 100 s, at 1000 a second
	}{
		{0, 96_000, 97_000}, // all but a 32nd
		{400, 56_000, 57_000},
		{5000, 19_000, 20_000},
	} {
		now := time.Unix(1000, 0)
		b := newBucket(1000, 0, now)
		b.tokens = 0
		sent, total := 0, uint64(0)
		b.charge(total, now)
		for range 10_000 {
			now = now.Add(10 * time.Millisecond)
			total += uint64(tc.others / 100)
			b.charge(total, now)
			if b.take(50, now) == 0 {
				sent += 50
				total += 50 // it is on the wire by the next charge
			}
		}
		if sent < tc.min || sent > tc.max {
			t.Errorf("others send %d a second: items sent %d in 100 s, want %d to %d", tc.others, sent, tc.min, tc.max)
		}
	}
}

// TestCeilingOfSomeSeconds: in no ten seconds does all that is sent pass the ceiling, though the bucket is full at first
// and others send all they have of a second at once.
func TestCeilingOfSomeSeconds(t *testing.T) {
	const ceiling, step = 25_000, 10 * time.Millisecond
	now := time.Unix(1000, 0)
	b := newBucket(ceiling, 3*wirePacket, now)
	total := uint64(0)
	var at []uint64 // what was sent, by steps
	for i := range 6000 {
		if i%100 == 50 {
			total += ceiling * 2 / 5
		}
		b.charge(total, now)
		if b.take(3*wirePacket, now) == 0 {
			total += 3 * wirePacket
		}
		at = append(at, total)
		now = now.Add(step)
	}
	most := uint64(0)
	for i := range at[1000:] {
		most = max(most, at[i+1000]-at[i])
	}
	if most > 10*ceiling+ceiling*2/5 || most < 9*ceiling { // a burst of the others' that is not paid yet
		t.Errorf("%d bytes were sent in ten seconds", most)
	}
}

func TestPick(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("n", i))
	}
	rapid.Check(t, func(t *rapid.T) {
		alive := many[:rapid.IntRange(0, 100).Draw(t, "alive")]
		p := bare(alive...)
		n := rapid.IntRange(1, 12).Draw(t, "n")
		from := ""
		if len(alive) > 0 && rapid.Bool().Draw(t, "relay") {
			from = alive[0]
		}
		got := p.pick([]*item{{from: from}, {from: from}}, n)
		others := len(alive)
		if from != "" {
			others--
		}
		seen := map[string]bool{from: true}
		for _, name := range got {
			if seen[name] && name != "" {
				t.Fatalf("%v: %s twice, or the one it came from", got, name)
			}
			seen[name] = true
		}
		if len(got) != min(n, others) {
			t.Fatalf("%d of %d others, want %d", len(got), others, n)
		}
	})
}

// The ceiling holds, the rest waits and is seen to wait, and the heaviest does not wait behind it.
func TestBytesPerSecond(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2, func(o *Options) { o.BytesPerSecond, o.Fanout = 2000, 1 })
	a, b := nodes[0], nodes[1]
	start := time.Now()
	for i := range 300 {
		a.Spread(fmt.Sprint(i), 1, random(200))
	}
	a.Spread("late but heavy", 100, []byte("urgent"))
	eventually(t, func() error { return want(b.rec.has("urgent"), "the heavy item waits") })
	s := a.Stats()
	if s.OutboxItems < 200 || s.OutboxBytes < 200*200 || s.OutboxAge <= 0 {
		t.Errorf("waiting: %d items, %d bytes, %v", s.OutboxItems, s.OutboxBytes, s.OutboxAge)
	}
	eventually(t, func() error { return want(a.Stats().Sent.MessageBytes > 4000, "nothing more is sent") })
	sent := a.Stats().Sent.MessageBytes
	if most := 1400 + 2000*time.Since(start).Seconds(); float64(sent) > most {
		t.Errorf("sent %d bytes, at most %.0f", sent, most)
	}
	for i := range 300 { // newer payloads do not make the queue longer
		a.Spread(fmt.Sprint(i), 1, bytes.Repeat([]byte("n"), 200))
	}
	if n := a.Stats().OutboxItems; n > 300 {
		t.Errorf("%d items for 300 keys", n)
	}
}
