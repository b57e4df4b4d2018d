package sim

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestCalendar: whatever is planned, also while events are taken out, comes in order of time and then of planning.
func TestCalendar(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		var c calendar
		var plain []event // the simple judge: a sorted list
		seq, now := uint64(0), micros(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				ahead := rapid.SampledFrom([]micros{0, 1, 999, milli, 5 * milli, second, 7 * second, 9 * second, 40 * second}).Draw(t, "ahead")
				e := event{at: now + ahead + micros(rapid.IntRange(0, 3).Draw(t, "more")), seq: seq}
				seq++
				c.push(e)
				plain = append(plain, e)
			},
			"pop": func(t *rapid.T) {
				until := now + rapid.SampledFrom([]micros{1, milli, second, 60 * second}).Draw(t, "until")
				slices.SortFunc(plain, func(a, b event) int { return a.when().compare(b.when()) })
				e, ok := c.pop(until)
				if want := len(plain) > 0 && plain[0].at < until; ok != want {
					t.Fatalf("an event before %d: %v, want %v", until, ok, want)
				}
				if !ok {
					now = until
					return
				}
				if e != plain[0] {
					t.Fatalf("got %+v, want %+v", e, plain[0])
				}
				plain = plain[1:]
				now = e.at
			},
		})
	})
}
