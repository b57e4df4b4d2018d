package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestScheduleOfASeed(t *testing.T) {
	const want = `   4.7 to    8.0 s  isolate    n6 | n1 n2 n3 n4 n5 n7
   5.6 to    9.2 s  pause      n5
   6.2 to   14.4 s  disk-full  n5
   9.2 to   11.6 s  slow       links of all by 112ms to 201ms
  11.8 to   15.5 s  kill       n4
  13.7 to   16.6 s  one-way    n1 n3 n4 n6 cannot send to n2 n5 n7
  17.4 to   23.6 s  clock      n1 is -66.0 s off
  18.0 to   21.6 s  wipe       n2
  18.2 to   21.0 s  lossy      links of n4 lose 44 %
  22.7 to   25.5 s  no-route   n4 cannot send to n2 n3 n5 n7
  27.2 to   29.6 s  partition  n1 n2 n3 | n4 n5 | n6 n7
  32.0 to   40.0 s  nothing is broken any more
`
	s := Draw(1, 7, 40*time.Second)
	if got := s.String(); got != Draw(1, 7, 40*time.Second).String() {
		t.Error("one seed draws two timelines")
	} else if got != want {
		t.Errorf("the timeline of seed 1 is\n%s", got)
	}
	if Draw(2, 7, 40*time.Second).String() == s.String() {
		t.Error("two seeds draw the same timeline")
	}
}

// Whatever the seed: faults lie before the calm, those of a track one after the other, each strikes nodes that
// there are, and no more than two of them lose their data.
func TestScheduleLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(minNodes, maxNodes).Draw(t, "nodes")
		length := time.Duration(rapid.Int64Range(int64(minDuration), int64(30*time.Minute)).Draw(t, "length"))
		s := Draw(rapid.Uint64().Draw(t, "seed"), n, length)
		var last [len(tracks)]time.Duration
		wiped := map[int]bool{}
		for i, e := range s.Events {
			if i > 0 && e.From < s.Events[i-1].From {
				t.Fatalf("not by time:\n%s", s)
			}
			if tr := e.Kind.track(); e.From < last[tr] || e.To <= e.From || e.To > s.Calm {
				t.Fatalf("%s lies wrong in\n%s", &e, s)
			} else {
				last[tr] = e.To
			}
			nodes := slices.Clone(e.Nodes)
			for _, side := range e.Sides {
				if len(side) == 0 {
					t.Fatalf("%s has an empty side", &e)
				}
				nodes = append(nodes, side...)
			}
			slices.Sort(nodes)
			if slices.ContainsFunc(nodes, func(i int) bool { return i < 0 || i >= n }) || len(slices.Compact(slices.Clone(nodes))) != len(nodes) {
				t.Fatalf("%s strikes wrong nodes", &e)
			}
			if needsNode := e.Kind >= Kill; needsNode && len(e.Nodes) == 0 {
				t.Fatalf("%s strikes nobody", &e)
			}
			if e.Kind == Wipe {
				wiped[e.Nodes[0]] = true
			}
		}
		if len(wiped) > maxWiped {
			t.Fatalf("%d nodes lose their data", len(wiped))
		}
	})
}

// A run of the default length has every kind of fault.
func TestFiveMinutesHaveEveryKind(t *testing.T) {
	for seed := range uint64(50) {
		s := Draw(seed, 7, 5*time.Minute)
		if got := s.Kinds(); len(got) != len(kindNames) {
			t.Errorf("seed %d has only %v\n%s", seed, got, s)
		}
		for i := range s.Events {
			if e := &s.Events[i]; e.Kind == Roll && len(e.Nodes) != 7 {
				t.Errorf("seed %d: %s", seed, e)
			}
		}
	}
}

func TestScheduleWithout(t *testing.T) {
	for seed := range uint64(20) {
		if got := Draw(seed, 7, 5*time.Minute, Step, Full, NoRoute).Kinds(); slices.Contains(got, Step) || slices.Contains(got, Full) || slices.Contains(got, NoRoute) || len(got) != len(kindNames)-3 {
			t.Errorf("seed %d: %v", seed, got)
		}
	}
}

func TestLinks(t *testing.T) {
	part := &Event{Kind: Partition, Sides: [][]int{{0, 1}, {2}, {3}}}
	oneWay := &Event{Kind: OneWay, Sides: [][]int{{0}, {1, 2}}}
	slow := &Event{Kind: Slow, Nodes: []int{1}, Delay: time.Second, Jitter: time.Millisecond}
	lossy := &Event{Kind: Lossy, Loss: 0.5}
	for _, c := range []struct {
		events   []*Event
		from, to int
		want     Link
	}{
		{nil, 0, 1, Link{}},
		{[]*Event{part}, 0, 1, Link{}},
		{[]*Event{part}, 1, 2, Link{Cut: true}},
		{[]*Event{part}, 3, 2, Link{Cut: true}},
		{[]*Event{oneWay}, 0, 2, Link{Cut: true}},
		{[]*Event{oneWay}, 2, 0, Link{}},
		{[]*Event{slow}, 0, 1, Link{Delay: time.Second, Jitter: time.Millisecond}},
		{[]*Event{slow}, 0, 2, Link{}},
		{[]*Event{lossy}, 0, 2, Link{Loss: 0.5}},
		{[]*Event{lossy, slow, oneWay, lossy}, 0, 1, Link{true, 0.75, time.Second, time.Millisecond}},
		{[]*Event{{Kind: NoRoute, Sides: [][]int{{0}, {1}}}}, 0, 1, Link{}},
	} {
		t.Run(fmt.Sprint(c.from, c.to, c.want), func(t *testing.T) {
			if got := linkUnder(c.events, c.from, c.to); got != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
