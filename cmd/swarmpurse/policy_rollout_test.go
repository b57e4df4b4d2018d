package main

import (
	"strings"
	"testing"

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
