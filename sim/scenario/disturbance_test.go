package scenario

import (
	"fmt"
	"testing"
)

func TestDisturbances(t *testing.T) {
	spot := Stream{Kind: HotSpot, Period: 20 * sec}
	for name, c := range map[string]struct {
		faults []Fault
		stream Stream
		want   string
	}{
		"a fault":              {[]Fault{{Kind: Partition, At: 10 * sec, For: 5 * sec, Zone: "a"}}, Stream{}, "[{10s 15s}]"},
		"one after the other":  {[]Fault{{Kind: Crash, At: 10 * sec, For: 3 * sec, Stagger: 4 * sec, Nodes: []int{0, 1}}}, Stream{}, "[{10s 13s} {14s 17s}]"},
		"what does not end":    {[]Fault{{Kind: Join, At: 10 * sec}}, Stream{}, "[{10s 10s}]"},
		"a spot moves":         {nil, spot, "[{20s 20s} {40s 40s}]"},
		"it came later":        {nil, Stream{Kind: HotSpot, Period: 20 * sec, From: 20 * sec}, "[{40s 40s}]"},
		"it was over before":   {nil, Stream{Kind: HotSpot, Period: 20 * sec, Until: 40 * sec}, "[{20s 20s}]"},
		"it stays":             {nil, Stream{Kind: HotSpot}, "[]"},
		"it is not there":      {nil, Stream{Kind: HotSpot, Period: 20 * sec, Skip: true}, "[]"},
		"a day is no movement": {nil, Stream{Kind: Diurnal, Period: 20 * sec}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := &Scenario{Nodes: 4, Zones: []Zone{{"a", 1}, {"b", 1}}, Duration: 60 * sec, Faults: c.faults, Workload: []Stream{c.stream}}
			if got := fmt.Sprint(Disturbances(sc, Timeline(sc))); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	restless := &Scenario{Duration: 3600 * sec, Workload: []Stream{{Kind: HotSpot, Period: 1}}}
	if n := len(Disturbances(restless, nil)); n != MaxEvents {
		t.Errorf("%d moves are looked at, want %d", n, MaxEvents)
	}
}
