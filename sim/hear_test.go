package sim

import (
	"fmt"
	"testing"
)

// TestHeardBeside: what nodes hear beside the run leaves all events and figures as they are. (TestIdleTicks has more scenarios; the race detector sees this one.)
func TestHeardBeside(t *testing.T) {
	run := func(o Options) (string, *world) {
		w, err := newWorld(t.Context(), steady(t, 12, 20e9), o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.run(o)
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Fatalf("%+v", r.Violation)
		}
		r.Wall = 0
		return fmt.Sprintf("%+v", *r), w
	}
	want, alone := run(Options{})
	got, w := run(Options{Helper: helper, helped: true})
	if got != want {
		t.Errorf("with a helper the run is another:\n%.200s\n%.200s", got, want)
	}
	if w.later < 1000 || alone.later > 0 {
		t.Errorf("%d packets were heard later, %d without a helper: the test shows little", w.later, alone.later)
	}
	if _, few := run(Options{Helper: helper}); few.later > 0 {
		t.Error("a run of twelve nodes has a helper")
	}
}
