package chaos

import (
	"strings"
	"testing"
)

func TestReportSaysWhatFailed(t *testing.T) {
	r := &Report{
		Seed: 7, Rerun: "make chaos SEED=7 DURATION=1m0s", Agreed: -1, Crashes: 2,
		Findings: []Finding{{Instance: "jobs/job0", Budget: Jobs, Limit: 1000, Over: 1}, {Instance: Pool, Budget: Pool, Limit: 99, Reported: 12345}},
		Heals:    []Heal{{"isolate n1", 3, 1.5}, {"slow", 1, -1}},
		Losses:   []LossShown{{"n3", 11}},
		Versions: map[string][]string{"old": {"n1"}, "new": {"n2", "n3"}},
	}
	r.fail("OVERSPENT: %d tokens", 1)
	for ok, want := range map[bool][]string{
		false: {"1 PROBLEMS\n  OVERSPENT: 1 tokens\n", "Again: make chaos SEED=7", "never agreed", "jobs/job0", "1 of 2 could be measured, 1.50 s at most",
			"n3 lost its directory at 11.0 s", "new: n2 n3\n  old: n1\n"},
		true: {"No hard budget was exceeded", "Again: make chaos SEED=7"},
	} {
		r.OK = ok
		var b strings.Builder
		r.Print(&b)
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("it does not say %q:\n%s", w, b.String())
			}
		}
		if strings.Contains(b.String(), "12345") {
			t.Error("totals of a rate are shown, which no crash leaves whole")
		}
	}
}
