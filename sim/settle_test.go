package sim

import (
	"strings"
	"testing"
	"time"
)

// TestSettle: a run that is given less time than its swarm needs to come to rest ends after that, says what was not so yet, and
// judges nothing of it; one with enough is judged as any other, to the same events.
func TestSettle(t *testing.T) {
	run := func(settle string) (events uint64, unsettled string) {
		sets := [][2]string{{"nodes", "6"}, {"duration", "5s"}, {"warmup", "0s"}, {"rest", "1s"}}
		if settle != "" {
			sets = append(sets, [2]string{"settle", settle})
		}
		r, err := Swarm(t.Context(), shipped(t, "steady", sets...), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Fatalf("%+v", r.Violation)
		}
		return r.Events, r.Unsettled
	}
	whole, said := run("")
	if said != "" {
		t.Errorf("as long as it may take: %s", said)
	}
	if events, said := run((time.Hour).String()); events != whole || said != "" {
		t.Errorf("an hour: %d events, not %d; %s", events, whole, said)
	}
	events, said := run("1s")
	if events >= whole || !strings.Contains(said, "not after 1s") {
		t.Errorf("a second: %d events of %d; %q", events, whole, said)
	}
}
