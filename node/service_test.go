package node

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

// alone starts a node of its own, in memory, with a policy.
func alone(t *testing.T, source string) (*Node, *prometheus.Registry) {
	t.Helper()
	p, err := policy.Parse("test.yaml", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	n, err := Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Registry: reg, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: p.Source(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	return n, reg
}

// gauges are the series of a node whose names begin like that, by name and labels.
func gauges(t *testing.T, reg *prometheus.Registry, prefix string) map[string]float64 {
	t.Helper()
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range fs {
		for _, s := range f.GetMetric() {
			var labels []string
			for _, l := range s.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			sort.Strings(labels)
			if name := f.GetName() + "{" + strings.Join(labels, ",") + "}"; strings.HasPrefix(name, prefix) {
				all[name] = s.GetGauge().GetValue() + s.GetCounter().GetValue()
			}
		}
	}
	return all
}

// waitFor waits until something is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it has not become so")
		}
	}
}

// A call that its own budget refuses is excused, one that a shared budget refuses is missed; fractions of a budget that are
// used, and the level of backpressure, are told.
func TestServiceLevelsOfANode(t *testing.T) {
	n, reg := alone(t, `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 0s, objective: 90%}]
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}, alerts: [50%, 90%], levels: [240h, 10ms, 1ms]}
  - {name: tenant, token: compute, per: [tenant], supply: {grant: 700}, alerts: [50%], levels: [3ms, 2ms, 1ms]}
  - {name: pace, token: compute, supply: {rate: 1M/s, burst: 1000}}
  - {name: idle, token: compute, supply: {grant: 1000}}
rules: [{draw: [pool, tenant, pace]}]
`)
	for _, c := range []struct {
		tenant string
		tokens ledger.Tokens
		code   string
	}{
		{"a", 300, admit.CodeOK},
		{"a", 300, admit.CodeOK},
		{"a", 300, admit.CodeExhausted}, // its own
		{"b", 300, admit.CodeOK},
		{"b", 300, admit.CodeExhausted}, // the pool
		{"b", 5000, admit.CodeTooLarge},
	} {
		if a, err := n.Admit(t.Context(), ask(c.tenant, c.tokens)); err != nil || a.Code != c.code {
			t.Fatalf("%+v: %+v, %v", c, a, err)
		}
	}
	got := gauges(t, reg, "swarmpurse_")
	for name, want := range map[string]float64{
		"swarmpurse_class_calls_total{class=standard,result=met}":                     3,
		"swarmpurse_class_calls_total{class=standard,result=missed}":                  1,
		"swarmpurse_class_calls_total{class=standard,result=excused}":                 2,
		"swarmpurse_class_objective_ratio{class=standard}":                            0.9,
		"swarmpurse_budget_alert_instances{budget=pool,fraction=0.5,token=compute}":   1,
		"swarmpurse_budget_alert_instances{budget=pool,fraction=0.9,token=compute}":   1,
		"swarmpurse_budget_alert_instances{budget=tenant,fraction=0.5,token=compute}": 1,
		"swarmpurse_budget_used_ratio{budget=pool,token=compute}":                     0.9,
		"swarmpurse_budget_used_ratio{budget=tenant,token=compute}":                   0.857142, // of a
		"swarmpurse_budget_used_ratio{budget=idle,token=compute}":                     0,
		"swarmpurse_lease_duration_seconds{}":                                         540,
	} {
		if v, ok := got[name]; !ok || fmt.Sprintf("%.6g", v) != fmt.Sprintf("%.6g", want) {
			t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
		}
	}
	// What was spent of a rate is no part of its bucket, which is full again.
	waitFor(t, func() bool {
		return gauges(t, reg, "swarmpurse_budget_used_")["swarmpurse_budget_used_ratio{budget=pace,token=compute}"] == 0
	})
	waitFor(t, func() bool { // burn rates are about what comes after the first look
		if _, err := n.Admit(t.Context(), ask("b", 300)); err != nil {
			t.Fatal(err)
		}
		return gauges(t, reg, "swarmpurse_class_burn_rate")["swarmpurse_class_burn_rate{class=standard,window=5m}"] > 1
	})
	// The level is looked at once a second.
	waitFor(t, func() bool {
		b, err := n.Budget("pool", api.View{All: true})
		return err == nil && len(b.Instances) == 1 && b.Instances[0].Backpressure == 1 && b.Instances[0].ExhaustedMS != nil
	})
	if b, err := n.Budget("tenant", api.View{All: true}); err != nil || len(b.Instances) != 2 || b.Instances[0].Backpressure != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}
