package ledger_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"pgregory.net/rapid"
)

const tickEvery = Millis(50)

// unhurried lets a row wait for a second, as in a swarm of many.
type unhurried struct{ placement.Strategy }

func (unhurried) Weight(_ *View, last, _ *Row, age Millis) float64 {
	if last.Version > 0 && age < 1000 {
		return float64(age - 1000)
	}
	return 1
}

// sleeper drives one replica, with every tick or without those that Due says are in vain.
type sleeper struct {
	*wnode
	lazy   bool
	until  Instant
	hears  bool // until then
	ticked Instant
	missed int
	passed int // ticks, in all
}

// wake comes before every input.
func (s *sleeper) wake() {
	if s.missed > 0 {
		s.ticked += Instant(s.missed) * Instant(tickEvery)
		s.r.Idle(s.ticked, s.missed, tickEvery)
	}
	s.missed, s.until = 0, 0
}

func (s *sleeper) tick() {
	now := s.clock()
	if s.lazy && now < s.until {
		s.missed++
		s.passed++
		return
	}
	s.wake()
	s.r.Tick(now)
	s.ticked = now
	s.done()
}

// done completes what an input leaves to do, and asks for how long there is nothing more.
func (s *sleeper) done() {
	for range 8 {
		if s.r.Pending() {
			s.batch(commit, nil)
		}
	}
	s.until = s.r.Due(s.ticked)
	s.hears = s.r.Hears()
}

func (s *sleeper) receive(p packet) {
	m, err := Decode(p.bytes)
	if err != nil {
		s.w.fatalf("%v", err)
	}
	if _, rows := m.([]Row); rows && s.lazy && s.clock() < s.until {
		_ = s.r.Receive(s.clock(), m)
		if fx, ok := s.r.Heard(); ok {
			s.say(fx)
			return
		}
		if s.hears {
			s.w.fatalf("%s has more to do than to pass on what it heard", s.r.Self().Node)
		}
		s.wake()
	} else {
		s.wake()
		_ = s.r.Receive(s.clock(), m)
	}
	s.done()
}

// A replica that is left alone until Due says so, and hears of the ticks that it has not had by Idle, says and writes the same at the
// same time as one that has every tick.
func TestTicksInVain(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.IntRange(1, 5).Draw(t, "nodes")
		spec := rapid.SampledFrom([]Spec{
			{Kind: Rate, Amount: 20_000, Per: 5_000, PerMillis: 1000, Lend: 3000},
			{Kind: Rate, Amount: 4_000, Per: 500, PerMillis: 1000, Lend: 2000, Feedback: Feedback{Recover: 10_000, CutPPM: 300_000, LeastPPM: 100_000, RetryAfter: 1000}},
			{Kind: Windowed, Amount: 50_000, Calendar: Calendar{Length: 10_000}},
			{Kind: Grant, Amount: 100_000, HalfLife: 20_000},
			{Kind: Slots, Amount: 12},
			{Kind: Windowed, Amount: 50_000, Ceiling: Soft, Calendar: Calendar{Length: 30_000}},
		}).Draw(t, "spec")
		guarded := rapid.Bool().Draw(t, "guarded")
		var worlds [2]*world
		var swarms [2][]*sleeper
		for k := range worlds {
			w := newWorld(nodes, min(nodes, 2), 1, one(spec))
			w.fatalf, w.logf = t.Fatalf, func(string, ...any) {}
			w.strategy = unhurried{}
			if guarded {
				w.guards = Guards{Guardians: 3, Lease: 4_000, Autonomy: 2_000}
			}
			for i, n := range w.nodes {
				n.disk = map[string][]byte{}
				n.start(uint64(i))
				if err := n.r.Found(w.charter); err != nil {
					t.Fatal(err)
				}
				swarms[k] = append(swarms[k], &sleeper{wnode: n, lazy: k == 1})
			}
			w.members()
			worlds[k] = w
		}
		both := func(f func(*world, []*sleeper)) {
			for k, w := range worlds {
				f(w, swarms[k])
			}
		}
		id := worlds[0].ids[0]
		for range rapid.IntRange(1, 40).Draw(t, "moves") {
			i := rapid.IntRange(0, nodes-1).Draw(t, "node")
			amount := Tokens(rapid.IntRange(1, 3_000).Draw(t, "amount"))
			if spec.Kind == Slots {
				amount = 1 + amount%3
			}
			move := rapid.SampledFrom([]string{"call", "call", "end", "refused", "twice", "digest", "nothing", "nothing"}).Draw(t, "move")
			lose := rapid.IntRange(0, 9).Draw(t, "loses") // every so many-th packet
			steps := rapid.IntRange(1, 60).Draw(t, "ticks")
			both(func(w *world, ss []*sleeper) {
				s := ss[i]
				if move != "nothing" {
					s.wake()
				}
				switch move {
				case "call":
					s.reserve(w.ids, []Tokens{amount}, false, true)
				case "end":
					if len(s.open) > 0 {
						s.settle(0, int64(amount%100))
					}
				case "refused":
					if a := s.r.Account(id); a != nil {
						a.Refused(s.clock(), s.clock(), 500)
					}
				case "twice": // two ticks of one moment, as while calls wait: what was asked for between them is for the next one
					s.r.Tick(s.clock())
					s.reserve(w.ids, []Tokens{amount}, false, false)
					s.r.Tick(s.clock())
				case "digest":
					s.digest(ss[(i+1)%nodes].wnode)
				}
				s.done()
			})
			for step := range steps {
				both(func(w *world, ss []*sleeper) {
					w.now += 17
					for len(w.net) > 0 && step > 0 {
						ps := w.net
						w.net = nil
						for k, p := range ps {
							if lose == 0 || k%10 != lose {
								ss[p.to].receive(p)
							}
						}
					}
					w.now += Instant(tickEvery) - 17
					for _, s := range ss {
						s.tick()
					}
				})
				if !slices.EqualFunc(worlds[0].net, worlds[1].net, func(a, b packet) bool {
					return a.from == b.from && a.to == b.to && bytes.Equal(a.bytes, b.bytes)
				}) {
					t.Fatalf("at %d: %d packets with every tick, %d without those in vain, or not the same", worlds[0].now-testStart, len(worlds[0].net), len(worlds[1].net))
				}
			}
			for i := range nodes {
				a, b := swarms[0][i], swarms[1][i]
				b.wake()
				if !maps.EqualFunc(a.disk, b.disk, bytes.Equal) {
					t.Fatalf("node %d has other records on its disk", i)
				}
				if x, y := a.shows(id), b.shows(id); x != y {
					t.Fatalf("node %d shows\n%s, with every tick\n%s", i, y, x)
				}
				passed += b.passed
				b.passed = 0
			}
		}
	})
	if passed == 0 {
		t.Error("no tick was passed over: the test shows nothing")
	}
}

// shows is what can be seen of the replica from outside.
func (s *sleeper) shows(id InstanceID) string {
	now := s.clock()
	a := s.r.Account(id)
	if a == nil {
		return "no account"
	}
	return fmt.Sprintf("%+v %+v %+v %+v", a.State(now), s.r.Outlook(now, id, 100), s.r.Market(now, id), s.r.Guarding())
}
