package main

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// TestTrialNamesWhatIsNotCompared: a candidate whose calls nobody can compare does not look like one that changes nothing.
func TestTrialNamesWhatIsNotCompared(t *testing.T) {
	var w strings.Builder
	printTrial(&w, &api.Trial{Revision: 2, Candidate: api.Arm{Calls: 9}, NoPast: []api.NoPast{{Model: "fresh\x1b[2J", Calls: 3}}})
	if got := w.String(); !strings.Contains(got, "\nno past: 3 of the candidate's calls with model fresh") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	w.Reset()
	if printTrial(&w, &api.Trial{Revision: 2}); strings.Contains(w.String(), "no past") {
		t.Errorf("%q", w.String())
	}
}

// TestTrialSaysWhatItsTimeIs: a canary is promoted when its time is over, a shadow is looked at no more.
func TestTrialSaysWhatItsTimeIs(t *testing.T) {
	until := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for want, trial := range map[string]*api.Trial{
		" promotes 2027-01-02T03:04:05Z":        {Revision: 2, Until: &until, On: "10%"},
		" looked at until 2027-01-02T03:04:05Z": {Revision: 2, Until: &until, On: "shadow", Shadow: &api.Shadow{}},
	} {
		var w strings.Builder
		if printTrial(&w, trial); !strings.Contains(strings.Join(strings.Fields(w.String()), " "), want) {
			t.Errorf("%q does not say %q", w.String(), want)
		}
	}
}
