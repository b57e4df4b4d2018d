package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sec = time.Second

func text(list []Event) string {
	var b strings.Builder
	for _, e := range list {
		until := fmt.Sprint(e.Until)
		if e.Until == Never {
			until = "never"
		}
		fmt.Fprintf(&b, "%s %v-%s %v\n", e.Kind, e.At, until, e.Nodes)
	}
	return strings.TrimSpace(b.String())
}

func TestTimeline(t *testing.T) {
	two := []Zone{{"a", 1}, {"b", 1}} // nodes 0, 2, 4, … are of zone a
	for name, c := range map[string]struct {
		faults []Fault
		want   string
	}{
		"a zone is cut off":             {[]Fault{{Kind: Partition, At: 10 * sec, For: 5 * sec, Zone: "b"}}, "partition 10s-15s [1 3 5]"},
		"until the end":                 {[]Fault{{Kind: Partition, At: 10 * sec, Zone: "b"}}, "partition 10s-1m0s [1 3 5]"},
		"not beyond it":                 {[]Fault{{Kind: Crash, At: 50 * sec, For: time.Hour, Nodes: []int{2}}}, "crash 50s-1m0s [2]"},
		"nothing begins at the end":     {[]Fault{{Kind: Crash, At: 60 * sec, For: sec, Nodes: []int{2}}}, ""},
		"a crash for good":              {[]Fault{{Kind: Crash, At: 10 * sec, Nodes: []int{2}}}, "crash 10s-never [2]"},
		"everywhere":                    {[]Fault{{Kind: DiskSlow, At: sec, For: sec}}, "disk_slow 1s-2s [0 1 2 3 4 5]"},
		"by index, in order":            {[]Fault{{Kind: Pause, At: sec, For: sec, Nodes: []int{4, 1}}}, "pause 1s-2s [1 4]"},
		"no such node":                  {[]Fault{{Kind: Pause, At: sec, For: sec, Nodes: []int{6}}}, ""},
		"one node after the other":      {[]Fault{{Kind: Crash, At: 10 * sec, For: 3 * sec, Stagger: 4 * sec, Nodes: []int{5, 0}}}, "crash 10s-13s [5]\ncrash 14s-17s [0]"},
		"again and again":               {[]Fault{{Kind: Partition, At: 10 * sec, For: sec, Every: 5 * sec, Until: 20 * sec, Nodes: []int{0}}}, "partition 10s-11s [0]\npartition 15s-16s [0]"},
		"new nodes":                     {[]Fault{{Kind: Join, At: sec, Count: 2, Stagger: sec}, {Kind: Join, At: 30 * sec}}, "join 1s-never [6]\njoin 2s-never [7]\njoin 30s-never [8]"},
		"nobody is stopped twice":       {[]Fault{{Kind: Crash, At: 10 * sec, For: 5 * sec, Nodes: []int{1}}, {Kind: Pause, At: 12 * sec, For: sec, Nodes: []int{1, 2}}}, "crash 10s-15s [1]\npause 12s-13s [2]"},
		"who has left is gone":          {[]Fault{{Kind: Leave, At: 10 * sec, Nodes: []int{1, 3, 5}}, {Kind: Partition, At: 11 * sec, For: sec, Zone: "b"}, {Kind: Clock, At: 11 * sec, For: sec, Nodes: []int{5, 4}}}, "leave 10s-never [1 3 5]\nclock 11s-12s [4]"},
		"who has not joined is not met": {[]Fault{{Kind: Join, At: 20 * sec}, {Kind: Pause, At: 10 * sec, For: sec, Nodes: []int{6}}, {Kind: Pause, At: 20 * sec, For: sec, Nodes: []int{6}}}, "join 20s-never [6]\npause 20s-21s [6]"},
		"a crashed node is cut off too": {[]Fault{{Kind: Crash, At: 10 * sec, For: 5 * sec, Nodes: []int{1}}, {Kind: Partition, At: 11 * sec, For: sec, Nodes: []int{1}}}, "crash 10s-15s [1]\npartition 11s-12s [1]"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := &Scenario{Nodes: 6, Zones: two, Duration: time.Minute, Rest: time.Minute, Faults: c.faults}
			if got := text(Timeline(sc)); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestDraws(t *testing.T) {
	sc := &Scenario{Seed: 1, Nodes: 100, Zones: []Zone{{"a", 1}, {"b", 1}}, Duration: time.Minute, Faults: []Fault{
		{Kind: Crash, At: sec, For: sec, Every: 2 * sec, Until: 6 * sec, Fraction: 0.1, Zone: "b"},
		{Kind: Revise, At: 10 * sec},
	}}
	events := Timeline(sc)
	if len(events) != 4 || len(events[3].Nodes) != 1 {
		t.Fatalf("got\n%s", text(events))
	}
	for _, e := range events[:3] {
		if len(e.Nodes) != 5 || slices.ContainsFunc(e.Nodes, func(n int) bool { return sc.ZoneOf(n) != "b" }) {
			t.Errorf("not a tenth of zone b: %v", e.Nodes)
		}
	}
	if reflect.DeepEqual(events[0].Nodes, events[1].Nodes) {
		t.Error("a repetition draws the same nodes")
	}
	more := *sc
	more.Faults = append(slices.Clone(sc.Faults), Fault{Kind: DiskSlow, At: sec, Count: 7})
	for _, e := range Timeline(&more) {
		if e.Kind == Crash && !slices.ContainsFunc(events, func(o Event) bool { return reflect.DeepEqual(o, e) }) {
			t.Error("another fault more changes what this one draws")
		}
	}
}

func TestTimelineIsBounded(t *testing.T) {
	sc := &Scenario{Nodes: 3, Duration: 1000 * time.Hour, Faults: []Fault{{Kind: Link, Every: time.Millisecond, For: 1}}}
	if n := len(Timeline(sc)); n != MaxEvents {
		t.Errorf("%d events", n)
	}
}

func TestDowntime(t *testing.T) {
	sc := &Scenario{Nodes: 3, Duration: time.Minute, Faults: []Fault{
		{Kind: Crash, At: 10 * sec, For: 5 * sec, Nodes: []int{1}},
		{Kind: Pause, At: 20 * sec, For: 5 * sec, Nodes: []int{1}},
		{Kind: Leave, At: 30 * sec, Nodes: []int{1}},
		{Kind: Join, At: 40 * sec},
	}}
	d := NewDowntime(sc, Timeline(sc))
	for _, c := range []struct {
		node int
		at   time.Duration
		want bool
	}{
		{0, 10 * sec, false},
		{1, 10*sec - 1, false}, {1, 10 * sec, true}, {1, 15*sec - 1, true}, {1, 15 * sec, false},
		{1, 20 * sec, false}, {1, 30 * sec, true}, {1, time.Hour, true},
		{3, 0, true}, {3, 40*sec - 1, true}, {3, 40 * sec, false},
		{4, 50 * sec, true}, {-1, 0, true}, // there is no such node
	} {
		if got := d.Down(c.node, c.at); got != c.want {
			t.Errorf("node %d at %v: down is %v", c.node, c.at, got)
		}
	}
	for at, want := range map[time.Duration]bool{20*sec - 1: false, 20 * sec: true, 25*sec - 1: true, 25 * sec: false, 10 * sec: false} {
		if until, got := d.Paused(1, at); got != want || got && until != 25*sec {
			t.Errorf("at %v: paused is %v, until %v", at, got, until)
		}
	}
	if !d.Crashed(1, 9*sec, 10*sec) || d.Crashed(1, 10*sec, 50*sec) || d.Crashed(1, 0, 9*sec) || d.Nodes() != 4 {
		t.Errorf("crashes or nodes are wrong: %+v", d)
	}
}

// TestTimelineLaws: for any faults the timeline is in order, within the run, the same each time, and stops no node
// twice.
func TestTimelineLaws(t *testing.T) {
	kinds := []FaultKind{Partition, Crash, Pause, Clock, Link, DiskSlow, Join, Leave, Revise}
	second := func(t *rapid.T, name string) time.Duration {
		return time.Duration(rapid.IntRange(0, 20).Draw(t, name)) * sec
	}
	rapid.Check(t, func(t *rapid.T) {
		sc := &Scenario{Seed: rapid.Uint64().Draw(t, "seed"), Nodes: rapid.IntRange(1, 6).Draw(t, "nodes"), Duration: 20 * sec}
		for range rapid.IntRange(1, 6).Draw(t, "faults") {
			f := Fault{
				Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), At: second(t, "at"), For: second(t, "for"),
				Every: second(t, "every"), Stagger: second(t, "stagger"), Count: rapid.IntRange(0, 4).Draw(t, "count"),
			}
			sc.Faults = append(sc.Faults, f)
		}
		events := Timeline(sc)
		if !reflect.DeepEqual(events, Timeline(sc)) {
			t.Fatal("not the same twice")
		}
		stopped := map[int][]Event{}
		for i, e := range events {
			if i > 0 && e.At < events[i-1].At {
				t.Fatalf("out of order:\n%s", text(events))
			}
			if e.At >= sc.Duration || e.Until < e.At || e.Until > sc.Duration && e.Until != Never || len(e.Nodes) == 0 || !slices.IsSorted(e.Nodes) {
				t.Fatalf("not a good event: %+v", e)
			}
			for _, n := range e.Nodes {
				if !e.Kind.stops() {
					continue
				}
				for _, o := range stopped[n] {
					if e.At < o.Until && o.At < e.Until {
						t.Fatalf("node %d is stopped twice:\n%s", n, text(events))
					}
				}
				stopped[n] = append(stopped[n], e)
			}
		}
		d := NewDowntime(sc, events)
		for n, list := range stopped {
			for _, e := range list {
				if _, paused := d.Paused(n, e.At); e.At < e.Until && (paused != (e.Kind == Pause) || d.Down(n, e.At) != (e.Kind != Pause)) {
					t.Fatalf("node %d is not stopped at %v:\n%s", n, e.At, text(events))
				}
			}
		}
	})
}

// TestSkippedFault: what is skipped does not happen, wherever it stands, and changes nothing of the others.
func TestSkippedFault(t *testing.T) {
	parse := func(skip string) *Scenario {
		s, err := Parse("skip.yaml", []byte("apiVersion: swarmpurse/v1\nname: skip\nnodes: 20\nduration: 20s\npolicy:\n  apiVersion: swarmpurse/v1\n  revision: 1\n"+
			"workload:\n  - {kind: poisson, rate: 1/s, prompt: {median: 1, p99: 1}, output: {median: 1, p99: 1}}\n"+
			"  - {kind: poisson, name: late, from: 30s, rate: 1/s, prompt: {median: 1, p99: 1}, output: {median: 1, p99: 1}, skip: true}\n"+
			"faults:\n  - {kind: pause, at: 1s, for: 1s, fraction: 20%, skip: "+skip+"}\n  - {kind: crash, at: 5s, for: 1s, count: 3}\n"+
			"  - {kind: crash, at: 50s, every: 1s, until: 60s, for: 1s, skip: true}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all, less := Timeline(parse("false")), Timeline(parse("true"))
	if len(all) != 2 || len(less) != 1 || all[0].Kind != Pause || !reflect.DeepEqual(all[1:], less) {
		t.Errorf("all %+v\nless %+v", all, less)
	}
}

// TestTooManyEvents: faults that could make a longer timeline than there is room for are refused, with what to do.
func TestTooManyEvents(t *testing.T) {
	for fault, refused := range map[string]bool{
		"{kind: crash, at: 1s, for: 1ms, count: 1, every: 10ms}":               false, // 11,900
		"{kind: crash, at: 1s, for: 1ms, count: 1, every: 2ms}":                true,
		"{kind: crash, at: 1s, for: 1ms, count: 1, every: 2ms, until: 3s}":     false,
		"{kind: crash, at: 1s, for: 1ms, count: 3, every: 10ms, stagger: 1ms}": true,
		"{kind: crash, at: 1s, for: 1ms, count: 1, every: 2ms, skip: true}":    false,
		"{kind: partition, at: 1s, for: 1ms, every: 10ms}":                     false, // of all nodes at once
	} {
		_, err := Parse("x.yaml", []byte(strings.Replace(goodHead, "duration: 1m", "duration: 2m", 1)+goodPolicy+goodLoad+"faults: ["+fault+"]\n"))
		if got := err != nil && strings.Contains(err.Error(), "at most 32768 can"); got != refused || err != nil && !got {
			t.Errorf("%s: %v", fault, err)
		}
	}
}

// TestEventsAtMost: no timeline is longer than was foreseen.
func TestEventsAtMost(t *testing.T) {
	for seed := range uint64(300) {
		sc := Random(seed)
		if got, most := len(Timeline(sc)), eventsAtMost(sc); got > most {
			t.Errorf("seed %d: %d events, foreseen are %d", seed, got, most)
		}
	}
	for _, f := range Shipped() {
		sc, err := Parse(f.Name, f.Source)
		if err != nil {
			t.Fatal(err)
		}
		if got, most := len(Timeline(sc)), eventsAtMost(sc); got > most {
			t.Errorf("%s: %d events, foreseen are %d", f.Name, got, most)
		}
	}
}
