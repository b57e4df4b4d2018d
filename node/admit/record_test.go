package admit

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const plenty = preamble + `
budgets:
  - {name: day, token: compute, supply: {window: 24h, amount: 1G}}
rules:
  - {when: 'model == "day"', draw: [day]}
default: deny
`

// When all records hold open reservations, a call gets its tokens back and an answer that says so; one
// settlement later there is room.
func TestTooManyReservations(t *testing.T) {
	n := newSwarm(t, 1, plenty, Config{MaxRecords: 4 * numShards}).nodes[0]
	n.w.pass(50 * time.Millisecond)
	const most = 3 * numShards // a part of each shard is kept for refusals
	var ids []ID
	for range most {
		ids = append(ids, n.must(on("day", 10), Admit, CodeOK))
	}
	n.checkShards()
	left := n.account("day").Rights(n.w.now)
	if _, ok := n.e.Try(n.w.now, on("day", 10)); ok {
		t.Fatal("one too many")
	}
	for range 10 * numShards { // refusals always find room, and do not displace open reservations
		a := n.answer(n.must(on("day", 10), Defer, CodeBusy))
		if a.RetryAfter < time.Second {
			t.Fatalf("%+v", a)
		}
		n.w.now++
	}
	n.checkShards()
	if got := n.account("day").Rights(n.w.now); got != left || got != 1e9-10*most {
		t.Errorf("%d left, want %d", got, left)
	}
	n.settle(ids[17], forTokens(4))
	n.must(on("day", 10), Admit, CodeOK)
	for i, id := range ids {
		if i != 17 && n.state(id) != Reserved {
			t.Fatalf("reservation %d: %v", i, n.state(id))
		}
	}
}

// The oldest decisions are forgotten, and a storm of refusals forgets at most a quarter of the settlements.
func TestForgetting(t *testing.T) {
	n := newSwarm(t, 1, plenty, Config{MaxRecords: 8 * numShards}).nodes[0]
	var ids []ID
	for range 8 * numShards {
		id := n.must(on("day", 10), Admit, CodeOK)
		n.settle(id, forTokens(1))
		ids = append(ids, id)
		n.w.now++
	}
	for range 100 * numShards {
		n.must(on("unknown", 1), Deny, CodeNoRule)
		n.w.now++
	}
	n.checkShards()
	known := 0
	for i, id := range ids {
		if d, err := n.e.Lookup(id); err == nil {
			known++
			if d.State != Settled || d.Charged[0].Amount != 1 {
				t.Errorf("%+v", d)
			}
		} else if !errors.Is(err, ErrUnknownID) || i > len(ids)/2 {
			t.Fatalf("settlement %d is forgotten: %v", i, err)
		}
	}
	if known < 5*numShards || known > 7*numShards {
		t.Errorf("%d of %d settlements are known", known, len(ids))
	}
	for range 8 * numShards { // and new calls find room among the refusals' records and the settled ones
		n.settle(n.must(on("day", 10), Admit, CodeOK), forTokens(1))
	}
	n.checkShards()
}

// What is decided at one time is written to one shard, and over time to all.
func TestShardsTakeTurns(t *testing.T) {
	a, b := &bound{hash: 7}, &bound{hash: 2654435761}
	seen := map[uint32]bool{}
	for ms := range ledger.Instant(numShards) {
		at := a.turn(begin+ms, 3)
		if seen[at] = true; at != b.turn(begin+ms, 3) {
			t.Fatal("two plans that never met another core write to two shards")
		}
	}
	if len(seen) != numShards {
		t.Errorf("%d shards are used", len(seen))
	}
}

// A plan whose shard another core is at leaves it to that, and its lane too: once a millisecond.
func TestPlansLeaveALane(t *testing.T) {
	for hash := range uint32(2 * lanes) {
		b := &bound{hash: hash}
		for ms := range ledger.Instant(3 * lanes) {
			before := b.turn(begin+ms, 0)
			b.move(begin + ms)
			after := b.turn(begin+ms, 0)
			if d := (after - before) % numShards; d == 0 || d%laneStep != 0 {
				t.Fatalf("plan %d moves from shard %d to %d", hash, before, after)
			}
			if b.move(begin + ms); b.turn(begin+ms, 0) != after {
				t.Fatal("it moves twice in a millisecond")
			}
		}
	}

	n := one(t, plenty)
	n.must(on("day", 1), Admit, CodeOK)
	n.w.pass(time.Second)
	call := on("day", 1)
	rev := n.e.rev.Load()
	key, _ := rev.policy.Key(&call.Call)
	b := rev.get(&key)
	first := b.turn(n.w.now, n.e.cursor.Load()) % numShards
	n.e.shards[first].mu.Lock() // another core
	id, ok := n.e.Try(n.w.now, call)
	n.e.shards[first].mu.Unlock()
	if sh, _, _ := id.split(); !ok || sh != (first+1)%numShards {
		t.Errorf("decided %v, in shard %d: want the one after %d", ok, sh, first)
	}
	id, ok = n.e.Try(n.w.now, call)
	if sh, _, _ := id.split(); !ok || sh != b.turn(n.w.now, n.e.cursor.Load())%numShards || sh == first || (sh-first)%laneStep != 0 {
		t.Errorf("decided %v, in shard %d: want another lane than %d", ok, sh, first)
	}
}

func TestIDs(t *testing.T) {
	n := newSwarm(t, 1, plenty, Config{MaxRecords: 2 * numShards}).nodes[0]
	seen := map[ID]bool{}
	for i := range 20_000 {
		id := n.must(on("day", 1), Admit, CodeOK)
		if seen[id] {
			t.Fatal("an id came twice")
		}
		seen[id] = true
		n.release(id)
		if i%1000 == 0 {
			n.w.now -= 700 // the clock steps back
		}
	}
	id := n.must(on("day", 1), Admit, CodeOK)
	s := n.e.Format(id)
	if got, err := n.e.Parse(s); got != id || err != nil {
		t.Errorf("%q: %v, %v", s, got, err)
	}
	// The next run of this node draws other ids, at the same time and with the same generation.
	same := 0
	for seed := range uint64(100) {
		next := New(begin, Config{Node: "n1", Gen: 7, Rand: rand.New(rand.NewPCG(seed, 9))}, n.w.policy)
		if _, err := next.Parse(s); err == nil {
			same++
		} else if !errors.Is(err, ErrUnknownID) {
			t.Fatal(err)
		}
	}
	if same > 1 {
		t.Errorf("%d of 100 later runs take an earlier id for theirs", same)
	}
}

func TestParse(t *testing.T) {
	n := newSwarm(t, 1, plenty, Config{}).nodes[0]
	good := n.e.Format(123456789)
	if id, err := n.e.Parse(good); err != nil || id != 123456789 {
		t.Fatal(id, err)
	}
	for _, bad := range []string{"", ".", "n1", "n1.", good + "0", good[:len(good)-1], "n2" + good[2:], "N1" + good[2:], good[:3] + "i" + good[4:], good[3:], "n1." + good[3:] + "=", " " + good} {
		if id, err := n.e.Parse(bad); !errors.Is(err, ErrUnknownID) || id != 0 {
			t.Errorf("%q: %v, %v", bad, id, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	e := New(begin, Config{Node: "node.a", Rand: rand.New(rand.NewPCG(1, 2))}, parse(f, plenty))
	f.Add("")
	f.Add("node.a.")
	f.Add(e.Format(0))
	f.Add(e.Format(1<<63 | 12345))
	f.Add("node.a." + e.Format(7))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := e.Parse(s)
		if err == nil && e.Format(id) != s {
			t.Errorf("%q is read as %x, which is written %q", s, uint64(id), e.Format(id))
		}
		if err != nil && (!errors.Is(err, ErrUnknownID) || len(err.Error()) > 1024) {
			t.Errorf("%q: %v", s, err)
		}
		_, _ = e.Lookup(id) // any id may come
	})
}

// The wheel brings each record once, not before its time, and within a second and a bit of it.
func TestWheel(t *testing.T) {
	var s shard
	s.init(begin, maxPerShard)
	r := rand.New(rand.NewPCG(3, 4))
	now := begin
	open := map[int32]ledger.Instant{}
	look := func() {
		s.advance(now, func(i int32) {
			due, ok := open[i]
			if !ok || due > now {
				t.Fatalf("record %d at %d: due %d, known %v", i, now, due, ok)
			}
			delete(open, i)
			s.unschedule(i)
			s.active--
			rec := s.rec(i)
			rec.state = Booked
			s.push(&s.done, i)
		})
		for i, due := range open {
			if due+1000 < now {
				t.Fatalf("record %d was due at %d, it is %d", i, due, now)
			}
		}
	}
	for range 20_000 {
		if i := s.alloc(false); i >= 0 {
			rec := s.rec(i)
			*rec = record{state: Reserved, at: now}
			ttl := ledger.Instant(r.Int64N(MaxTTL.Milliseconds()))
			if r.IntN(2) == 0 {
				ttl %= 130_000
			}
			rec.ttl = uint32(ttl)
			s.active++
			s.schedule(i, now+ttl)
			open[i] = now + ttl
		}
		switch r.IntN(100) {
		case 0:
			now += ledger.Instant(r.Int64N(10_000_000)) // a long sleep
		case 1, 2, 3:
			now += ledger.Instant(r.Int64N(200_000))
		default:
			now += ledger.Instant(r.Int64N(3000))
		}
		look()
		if r.IntN(4) == 0 && len(open) > 0 { // some end before their time
			for i := range s.len {
				if _, ok := open[i]; ok {
					delete(open, i)
					s.unschedule(i)
					s.active--
					s.rec(i).state = Settled
					s.push(&s.done, i)
					break
				}
			}
		}
	}
	now += 2 * ledger.Instant(MaxTTL.Milliseconds())
	look()
	if len(open) > 0 || s.active != 0 {
		t.Errorf("%d are forgotten", len(open))
	}
}

// A clock that is put back, by seconds or by a year, makes no reservation live longer than it was given.
func TestClockPutBack(t *testing.T) {
	for _, back := range []time.Duration{500 * time.Millisecond, 5 * time.Second, 90 * time.Second, time.Hour, 366 * 24 * time.Hour} {
		for _, first := range []time.Duration{0, 400 * 24 * time.Hour} { // after it had gone forward
			t.Run(back.String()+" after "+first.String(), func(t *testing.T) {
				n := one(t, oneOfEach)
				n.w.now += ledger.Instant(first.Milliseconds())
				n.w.tick()
				old := n.must(on("calls", 1).live(30*time.Second), Admit, CodeOK)
				n.w.pass(2 * time.Second)
				n.w.now -= ledger.Instant(back.Milliseconds())
				young := n.must(on("calls", 1).live(10*time.Second), Admit, CodeOK)
				n.w.tick()
				n.checkShards()
				n.w.pass(8 * time.Second)
				if n.state(young) != Reserved || n.state(old) != Reserved {
					t.Fatalf("ended too early: %v, %v", n.state(old), n.state(young))
				}
				n.w.pass(5 * time.Second)
				if n.state(young) != Booked {
					t.Errorf("13 s later a reservation for 10 s is %v", n.state(young))
				}
				n.w.pass(25 * time.Second)
				if n.state(old) != Booked {
					t.Errorf("38 s later a reservation for 30 s is %v", n.state(old))
				}
				if got := n.account("calls").Rights(n.w.now); got != 3 {
					t.Errorf("%d slots are back", got)
				}
			})
		}
	}
}

// A suspended node hears of its calls' ends after it wakes: the grace counts from then.
func TestLongPause(t *testing.T) {
	n := one(t, oneOfEach)
	id := n.must(on("pot", 600).live(time.Minute), Admit, CodeOK)
	n.w.now += ledger.Instant((5 * time.Hour).Milliseconds())
	n.w.tick()
	if got := n.state(id); got != Expired {
		t.Fatalf("%v", got)
	}
	n.w.pass(Grace - 10*time.Second)
	n.settle(id, forTokens(100))
	if got := n.account("pot").Rights(n.w.now); got != 900 {
		t.Errorf("%d left", got)
	}
}

// Records keep small engines small.
func TestQuietEnginesAreSmall(t *testing.T) {
	if s := unsafe.Sizeof(Engine{}); s > 64<<10 {
		t.Errorf("an engine takes %d bytes before its first call", s)
	}
}
