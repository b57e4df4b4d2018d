package beside

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHelper: whoever does them, all jobs of a place are done in their order, and by the time it is finished.
func TestHelper(t *testing.T) {
	const places, jobs = 8, 20_000
	dice := rand.New(rand.NewPCG(1, 2))
	var want, got [places][]int
	aside := 0 // of the second goroutine, until Stop
	h := New[int]()
	for round := range 2 { // it may be started again
		h.Start(places/2, func(place, job int, beside bool) {
			got[place] = append(got[place], job)
			if beside {
				aside++
			}
		})
		for i := range jobs {
			p := dice.IntN(places)
			if dice.IntN(100) > 0 {
				want[p] = append(want[p], i)
				h.Add(p, i)
				continue
			}
			if h.Finish(p); !slices.Equal(got[p], want[p]) {
				t.Fatalf("round %d, job %d: place %d has done %v, not %v", round, i, p, got[p], want[p])
			}
		}
		h.Stop()
		for p := range places {
			if !slices.Equal(got[p], want[p]) {
				t.Errorf("round %d: in the end place %d has done %d jobs, not %d, or others", round, p, len(got[p]), len(want[p]))
			}
		}
	}
	t.Logf("%d of %d jobs were done beside", aside, 2*jobs)
}
