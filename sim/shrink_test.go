package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// edits makes the random scenario of a seed with changes, as the command line does.
func edits(seed uint64) func([]string) (*scenario.Scenario, error) {
	return func(sets []string) (*scenario.Scenario, error) {
		src := scenario.RandomSource(seed)
		for _, s := range sets {
			path, value, _ := strings.Cut(s, "=")
			var err error
			if src, err = scenario.Set(src, path, value); err != nil {
				return nil, err
			}
		}
		return scenario.Parse("random.yaml", src)
	}
}

// TestShrink: what a planted bug breaks is found again in a much smaller run, which its changes make again, and the
// search is the same each time.
func TestShrink(t *testing.T) {
	for _, c := range []struct {
		name string
		bug  bug
		seed uint64
	}{
		{"at any settlement", bugSettleTwice, 2},
		{"at a restart", bugLoseWrites, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{bug: c.bug}
			whole, err := Swarm(t.Context(), scenario.Random(c.seed), o)
			if err != nil {
				t.Fatal(err)
			}
			if whole.Violation == nil {
				t.Fatal("the planted bug was not found")
			}
			small, err := Shrink(t.Context(), edits(c.seed), whole, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d tries: %s", small.Tries, small.Result.Violation.Prefix)
			if small.Tries > shrinkTries || len(small.Sets) == 0 || small.Result.Events > whole.Events/10 {
				t.Errorf("%d of %d events after %d tries: %q", small.Result.Events, whole.Events, small.Tries, small.Sets)
			}
			sc, err := edits(c.seed)(small.Sets)
			if err != nil {
				t.Fatal(err)
			}
			again, err := Swarm(t.Context(), sc, o)
			if err != nil {
				t.Fatal(err)
			}
			if v := again.Violation; v == nil || v.Event != small.Result.Violation.Event || again.TraceHash != small.Result.TraceHash {
				t.Errorf("the changes make another run: %+v", again.Violation)
			}
			second, err := Shrink(t.Context(), edits(c.seed), whole, o)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(second.Sets, small.Sets) || second.Tries != small.Tries {
				t.Errorf("another search: %d tries, %q", second.Tries, second.Sets)
			}
		})
	}
}

// TestShrinkStops: a search that is broken off has what it found; a run that violated nothing has nothing to shrink.
func TestShrinkStops(t *testing.T) {
	o := Options{bug: bugSettleTwice}
	whole, err := Swarm(t.Context(), scenario.Random(2), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	small, err := Shrink(ctx, edits(2), whole, o)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s of %[1]s events", humanize.Comma(int64(whole.Events))); small.Tries != 0 || !strings.HasPrefix(small.Result.Violation.Prefix, want) {
		t.Errorf("%+v", small)
	}
	sound, err := Swarm(t.Context(), scenario.Random(2), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Shrink(t.Context(), edits(2), sound, Options{}); err == nil {
		t.Error("a sound run was shrunk")
	}
	broken := errors.New("cannot be read")
	if _, err := Shrink(t.Context(), func([]string) (*scenario.Scenario, error) { return nil, broken }, whole, o); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
