package node

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		name    string
		wall    []time.Duration // what the wall clock says beyond the start, every 50 ms of real time
		want    []int64         // ms beyond the start that the clock then says
		stepped int             // how many of them were reported as steps
	}{
		{"in step", ms(50, 100, 150), []int64{50, 100, 150}, 0},
		{"jitter is left alone", ms(60, 95, 150), []int64{50, 100, 150}, 0},
		{"a small step forward is taken", ms(50, 400, 450), []int64{50, 400, 450}, 0},
		{"a sleeping machine wakes", ms(50, 60_100, 60_150), []int64{50, 60_100, 60_150}, 1},
		{"a step back is worked off, a tenth slower", ms(50, -900, -850), []int64{50, 95, 140}, 0},
		{"worked off to the end", ms(0, 50, 100, 150, 200, 250, 300), []int64{45, 90, 135, 180, 225, 270, 320}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock(start)
			stepped := 0
			for i, w := range tt.wall {
				now := start.Add(time.Duration(i+1) * 50 * time.Millisecond)
				if c.steer(start.Add(w).UnixMilli(), now, 50*time.Millisecond) > 0 {
					stepped++
				}
				if got := int64(c.at(now)) - start.UnixMilli(); got != tt.want[i] {
					t.Errorf("look %d: the clock says %d ms, want %d", i, got, tt.want[i])
				}
			}
			if stepped != tt.stepped {
				t.Errorf("%d steps were reported, want %d", stepped, tt.stepped)
			}
		})
	}
}

func ms(ns ...int) (ds []time.Duration) {
	for _, n := range ns {
		ds = append(ds, time.Duration(n)*time.Millisecond)
	}
	return ds
}
