package chaos

import (
	"testing"
	"time"
)

func TestHeard(t *testing.T) {
	kill, cut := &Event{Kind: Wipe}, &Event{Kind: Isolate}
	second := func(s int) time.Time { return at(1000 * s) }
	const open = -1 // it lasts
	for _, c := range []struct {
		name  string
		mutes [][2]int // seconds, of node 1
		want  int      // at 100 s
	}{
		{"it was never mute", nil, 90},
		{"long ago", [][2]int{{20, 30}}, 90},
		{"just long enough ago", [][2]int{{20, 90}}, 90},
		{"a moment ago", [][2]int{{20, 95}}, 10},
		{"until now", [][2]int{{60, open}}, 50},
		{"again and again", [][2]int{{20, 30}, {50, 60}, {65, 75}, {80, 95}}, 40},
		{"two at once", [][2]int{{50, open}, {70, 80}}, 40},
		{"one in the other, over long ago", [][2]int{{50, 99}, {60, 70}}, 40},
	} {
		var mutes []mute
		for _, m := range c.mutes {
			x := mute{1, second(m[0]), second(m[1]), cut}
			if m[1] == open {
				x.to = time.Time{}
			}
			mutes = append(mutes, x)
		}
		mutes = append(mutes, mute{2, second(10), time.Time{}, cut}, mute{1, second(100), time.Time{}, kill})
		if got := heard(second(100), mutes, 1, kill); !got.Equal(second(c.want)) {
			t.Errorf("%s: until %v s, want %d s", c.name, got.Sub(second(0)).Seconds(), c.want)
		}
	}
}

func TestWhatKeepsANodeFromTelling(t *testing.T) {
	for _, c := range []struct {
		e    Event
		node int
		want bool
	}{
		{Event{Kind: Partition, Sides: [][]int{{0, 1}, {2, 3}}}, 0, false}, // its zone hears it
		{Event{Kind: Partition, Sides: [][]int{{0}, {1, 2, 3}}}, 0, true},
		{Event{Kind: Isolate, Sides: [][]int{{0}, {1, 2, 3}}}, 1, false},
		{Event{Kind: OneWay, Sides: [][]int{{0}, {1, 2, 3}}}, 0, true},
		{Event{Kind: OneWay, Sides: [][]int{{1, 2, 3}, {0}}}, 0, false}, // it hears nothing, but is heard
		{Event{Kind: OneWay, Sides: [][]int{{0, 1}, {2, 3}}}, 0, false},
		{Event{Kind: NoRoute, Sides: [][]int{{0, 1}, {2, 3}}}, 0, false},
		{Event{Kind: NoRoute, Sides: [][]int{{0}, {1, 2, 3}}}, 0, true},
		{Event{Kind: Slow}, 0, false},
		{Event{Kind: Kill, Nodes: []int{0, 2}}, 0, true},
		{Event{Kind: Kill, Nodes: []int{0, 2}}, 1, false},
		{Event{Kind: Full, Nodes: []int{1}}, 1, true},
		{Event{Kind: Step, Nodes: []int{1}}, 1, false},
	} {
		if got := c.e.mutes(c.node, 4); got != c.want {
			t.Errorf("%s keeps node %d from telling: %v", &c.e, c.node, got)
		}
	}
}
