package core

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestClock(t *testing.T) {
	const start = ledger.Instant(1_700_000_000_000)
	for _, tt := range []struct {
		name    string
		wall    []ledger.Instant // what the wall clock says beyond the start, every 50 ms of real time
		want    []ledger.Instant // what the clock then says beyond it
		stepped int              // how many of them were reported as steps
	}{
		{"in step", []ledger.Instant{50, 100, 150}, []ledger.Instant{50, 100, 150}, 0},
		{"jitter is left alone", []ledger.Instant{60, 95, 150}, []ledger.Instant{50, 100, 150}, 0},
		{"a small step forward is taken", []ledger.Instant{50, 400, 450}, []ledger.Instant{50, 400, 450}, 0},
		{"a sleeping machine wakes", []ledger.Instant{50, 60_100, 60_150}, []ledger.Instant{50, 60_100, 60_150}, 1},
		{"a step back is worked off, a tenth slower", []ledger.Instant{50, -900, -850}, []ledger.Instant{50, 95, 140}, 0},
		{"worked off to the end", []ledger.Instant{0, 50, 100, 150, 200, 250, 300}, []ledger.Instant{45, 90, 135, 180, 225, 270, 320}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := NewClock(start)
			stepped := 0
			for i, w := range tt.wall {
				elapsed := ledger.Millis(i+1) * 50
				if c.Follow(start+w, elapsed, 50) > 0 {
					stepped++
				}
				if got := c.At(elapsed) - start; got != tt.want[i] {
					t.Errorf("look %d: the clock says %d ms, want %d", i, got, tt.want[i])
				}
			}
			if stepped != tt.stepped {
				t.Errorf("%d steps were reported, want %d", stepped, tt.stepped)
			}
		})
	}
}
