package main

import (
	"slices"
	"strings"
	"testing"

	simreport "github.com/swarmpurse/swarmpurse/sim/report"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

func TestParseOver(t *testing.T) {
	for _, c := range []struct {
		text, path string
		values     []string
		wrong      string
	}{
		{text: "nodes=10,20", path: "nodes", values: []string{"10", "20"}},
		{text: "a.b=x", path: "a.b", values: []string{"x"}},
		{text: "nodes=10..100:4", path: "nodes", values: []string{"10", "40", "70", "100"}},
		{text: "network.loss=0%..20%:5", path: "network.loss", values: []string{"0%", "5%", "10%", "15%", "20%"}},
		{text: "x=0.1..0.3:3", path: "x", values: []string{"0.1", "0.2", "0.3"}},
		{text: "gossip.bytes=10kB/s..30kB/s:2", path: "gossip.bytes", values: []string{"10kB/s", "30kB/s"}},
		{text: "x=3..1:3", path: "x", values: []string{"3", "2", "1"}},
		{text: "", wrong: "write path=v1,v2"},
		{text: "=1", wrong: "write path=v1,v2"},
		{text: "x=", wrong: "write path=v1,v2"},
		{text: "x=1,,2", wrong: "empty value"},
		{text: "x=1..2", wrong: "with one unit"},
		{text: "x=1s..2m:3", wrong: "with one unit"},
		{text: "x=1..2:1", wrong: "1 steps: choose from 2"},
		{text: "x=1..2:99999999999999999999", wrong: "steps: choose from 2"},
		{text: "x=" + strings.Repeat("1,", 300) + "1", wrong: "301 values"},
	} {
		path, values, err := parseOver(c.text)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q: %v, want %q", c.text, err, c.wrong)
			}
			continue
		}
		if err != nil || path != c.path || !slices.Equal(values, c.values) {
			t.Errorf("%q: %q %q %v", c.text, path, values, err)
		}
	}
}

// TestAgain: the command that is printed makes the same run.
func TestAgain(t *testing.T) {
	e := simEdits{nodesGiven: true, nodes: 5, set: []string{"network.loss=5%", "seed=9", "name=a b"}, policy: "it's.yaml"}
	r := &result.Result{Seed: 9, Violation: &result.Violation{}}
	again(r, "steady", &e)
	if want := `swarmpurse sim run steady --seed 9 --nodes 5 --set network.loss=5% --set 'name=a b' --policy 'it'\''s.yaml'`; r.Violation.Command != want {
		t.Errorf("%s\nwant\n%s", r.Violation.Command, want)
	}
}

func TestApart(t *testing.T) {
	for _, c := range []struct{ names, want []string }{
		{[]string{"a/x.yaml", "b/y.yml"}, []string{"x", "y"}},
		{[]string{"a/x.yaml", "b/x.yaml"}, []string{"a/x.yaml", "b/x.yaml"}},
	} {
		if got := apart(c.names); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.names, got, c.want)
		}
	}
}

func TestPageText(t *testing.T) {
	page := &simreport.Page{
		Title: "tiny", Lead: "A \x1b[31mlead.", Facts: []simreport.Fact{{Name: "seed", Value: "1"}, {Name: "nodes", Value: "3"}},
		Notes:  []string{"bound goodput >= 98%, got 97.0%", `invariant "shares" did not hold`},
		Broken: []simreport.Broken{{Title: "shares", Facts: []simreport.Fact{{Name: "what", Value: "one is lost"}, {Name: "shortest prefix"}, {Name: "run it again", Value: "swarmpurse sim run tiny"}}}},
		Tables: []simreport.Table{
			{
				Title: "Systems", Turn: true,
				Columns: []simreport.Column{{Head: "system"}, {Head: "offered", Number: true}, {Head: "admitted", Number: true}},
				Rows:    [][]simreport.Cell{{{Text: "swarmpurse"}, {Text: "10"}, {Text: "9"}}, {{Text: "split"}, {Text: "10"}, {Text: "4"}}},
			},
			{Title: "Faults", Detail: true, Columns: []simreport.Column{{Head: "at"}}, Rows: [][]simreport.Cell{{{Text: "0:10"}}}},
		},
	}
	const head = "tiny: A \\x1b[31mlead.\nseed 1, nodes 3\n\nSystems\n"
	const tail = `
Invariant that did not hold: shares
  what          one is lost
  run it again  swarmpurse sim run tiny

FAILED
  bound goodput >= 98%, got 97.0%
  invariant "shares" did not hold
`
	wide := head + "  system      offered  admitted\n  swarmpurse       10         9\n  split            10         4\n" + tail
	narrow := head + "            swarmpurse  split\n  offered           10     10\n  admitted           9      4\n" + tail
	for width, want := range map[int]string{0: wide, 80: wide, 30: narrow} {
		var w strings.Builder
		pageText(&w, page, width)
		if w.String() != want {
			t.Errorf("at width %d:\n%s\nwant\n%s", width, w.String(), want)
		}
	}
}

// TestSoak: each way to fail is told once, with the command that shows it.
func TestSoak(t *testing.T) {
	s := newSoak(nil, 5, 2, 0)
	var random []int
	for i := range s.runs {
		if s.name(i) == randomScenario {
			random = append(random, i)
		}
	}
	of := func(i int) soakRun { return s.runs[random[i]] }
	if len(random) != 3 || of(0) != of(1) || of(0).seed != 5 || of(2).seed != 6 {
		t.Fatalf("runs of random scenarios: %+v of %+v", random, s.runs)
	}
	run := func(hash string, over int64, v *result.Violation) *result.Result {
		return &result.Result{Events: 100, TraceHash: hash, Violation: v, Systems: []result.System{{Name: result.Swarm, Admitted: 7, OverspendTokens: over}}}
	}
	if f := s.add(random[0], run("a", 0, nil)); f != nil {
		t.Errorf("a good run: %+v", f)
	}
	if f := s.add(random[1], run("a", 0, nil)); f != nil {
		t.Errorf("the same run again: %+v", f)
	}
	if f := s.add(random[1], run("b", 0, nil)); f == nil || f.Invariant != "same seed, same run" {
		t.Errorf("another run of the same seed: %+v", f)
	}
	if f := s.add(random[2], run("c", 3, nil)); f == nil || f.Invariant != "no hard limit is overspent" {
		t.Errorf("an overspent limit: %+v", f)
	}
	f := s.add(random[2], run("c", 0, &result.Violation{Invariant: "shares", Detail: "one is lost", Event: 42, Prefix: "events to 42"}))
	const want = "swarmpurse: random, seed 6: shares: one is lost\n  event 42, shortest prefix: events to 42\n  run it again: swarmpurse sim run random --seed 6 --systems swarmpurse\n"
	if f == nil || f.text() != want {
		t.Errorf("%+v", f)
	}
	small := &result.Violation{Invariant: "shares", Event: 42, Prefix: "4 of 100 events", Command: s.command(random[2], []string{"nodes=2", "faults.0.skip=true"})}
	f = s.add(random[2], run("c", 0, small))
	if f == nil || f.Command != "swarmpurse sim run random --seed 6 --set nodes=2 --set faults.0.skip=true --systems swarmpurse" {
		t.Errorf("%+v", f)
	}
	if failed := s.sort(); failed != 4 || s.scenarios[of(0).of].Runs != 6 || s.scenarios[of(0).of].Admitted != 42 || s.scenarios[of(0).of].Events != 600 {
		t.Errorf("%d failed; %+v", failed, s.scenarios)
	}
}

// FuzzParseOver: what is swept is a path and as many values as may be, none of them empty.
func FuzzParseOver(f *testing.F) {
	for _, s := range []string{"network.loss=0%,1%", "nodes=10..100:4", "x=1..2", "x=", "=1", "x=-1.5kB..3kB:2", "x=1..9999999999999999999999:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, values, err := parseOver(s)
		if err == nil && (path == "" || len(values) == 0 || len(values) > maxSweep || slices.Contains(values, "")) {
			t.Fatalf("%q is %q with %q", s, path, values)
		}
	})
}
