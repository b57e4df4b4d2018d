package main

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

func TestStanding(t *testing.T) {
	for _, c := range []struct {
		of   api.Standing
		want string
	}{
		{api.Standing{Instance: "pool", Asked: 59.6, Share: 300, Small: true, Under: true}, "pool: its tenant asked for less than its share in the swarm (60/s here) and went first"},
		{api.Standing{Instance: "pool", Asked: 900, Share: 300, Under: true}, "pool: its tenant asked for 900/s here, its share was 300/s, of which it had had less: it went before those that had had theirs"},
		{api.Standing{Instance: "pool", Asked: 900, Share: 300}, "pool: its tenant asked for 900/s here, its share was 300/s, which it had had: it went after those that had had less"},
	} {
		if got := standing([]api.Standing{c.of}); got != c.want {
			t.Errorf("%+v: %q", c.of, got)
		}
	}
	if got := standing(nil); got != "" {
		t.Errorf("where there is enough: %q", got)
	}
}

func TestObjectiveAndDrift(t *testing.T) {
	burn := []api.BurnRate{{Window: "5m", Rate: 14.4}, {Window: "1h", Rate: 0.25}}
	for _, c := range []struct {
		of   *api.Service
		want string
	}{
		{nil, ""},
		{&api.Service{Result: "met", LatencyBudgetMS: 300}, "met, as it waited no longer than 300 ms"},
		{&api.Service{Result: "missed", LatencyBudgetMS: 300, Objective: 0.995, Burn: burn},
			"missed: calls of class chat should run within 300 ms; 99.5% of class chat should be met within 300 ms; at this node it burns 14.4 in 5m, 0.2 in 1h"},
		{&api.Service{LatencyBudgetMS: 300, Objective: 0.9}, "90.0% of class chat should be met within 300 ms"},
	} {
		if got := objective("chat", c.of); got != c.want {
			t.Errorf("%+v: %q", c.of, got)
		}
	}
	got := drift([]api.Drift{{Rule: "all", Model: "gpt", Output: 200.4, OutputUsual: 250, Above: 0.125, Expected: 0.05, Costs: []api.DriftCost{{Budget: "pool", Late: 420, Usual: 210}}}, {Rule: "rule 2", Model: "gpt", Output: 3, OutputUsual: -1}})
	if want := "all: gpt put out 200 of late, 12.5% of calls more than 250 where 5.0% are usual, cost 420 of pool where 210 is usual; rule 2: gpt put out 3 of late"; got != want {
		t.Errorf("%q", got)
	}
}
