package main

import (
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestLineageOfTheSwarm: all members that are alive are asked, and those that do not answer are named.
func TestLineageOfTheSwarm(t *testing.T) {
	n := apitest.New(1000)
	if _, err := n.Admit(t.Context(), &admit.Request{Call: policy.Call{Data: []string{"eu/docs"}}}); err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Options{Node: n})
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewServer(s.Handler())
	defer up.Close()
	down := httptest.NewServer(nil)
	down.Close()
	var l lineages
	l.ask(t.Context(), &app{getenv: func(string) string { return "" }}, []api.Member{
		{Name: "self", Status: "alive", HTTP: down.URL, Self: true}, {Name: "left", Status: "left", HTTP: down.URL}, {Name: "foreign", Status: "alive", HTTP: down.URL, Foreign: true},
		{Name: "fake", Status: "alive", HTTP: up.URL}, {Name: "dead", Status: "alive", HTTP: down.URL}, {Name: "bad", Status: "alive", HTTP: "ftp://x"},
	}, "eu/docs", 10)
	if len(l.Nodes) != 1 || l.Nodes[0].Total != 1 || l.Nodes[0].Decisions[0].ID != "fake-1" || !slices.Equal(l.Silent, []string{"bad", "dead"}) {
		t.Errorf("%+v", l)
	}
}
