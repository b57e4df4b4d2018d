package policy

import (
	"strings"
	"testing"
)

// TestFairnessParse: which budgets are shared out between tenants of the whole swarm, and what is said of those that cannot be.
func TestFairnessParse(t *testing.T) {
	for _, c := range []struct {
		budget string
		swarm  bool
		want   string // of the error, "" for none
	}{
		{"supply: {rate: 100/s, burst: 1k}", false, ""},
		{"supply: {rate: 100/s, burst: 1k}, fairness: node", false, ""},
		{"supply: {rate: 100/s, burst: 1k}, fairness: swarm", true, ""},
		{"supply: {window: 1h, amount: 1k}, ceiling: {soft: 10%}, fairness: swarm", true, ""},
		{"per: [model], supply: {window: 1h, amount: 1k}, fairness: swarm", true, ""},
		{"supply: {grant: 1k}, fairness: node", false, ""},
		{"supply: {rate: 100/s, burst: 1k}, fairness: all", false, "write swarm or node"},
		{"per: [tenant], supply: {window: 1h, amount: 1k}, fairness: swarm", false, "not shared by tenants"},
		{"supply: {grant: 1k}, fairness: swarm", false, "what comes by time"},
		{"supply: {slots: 8}, fairness: swarm", false, "what comes by time"},
		{"supply: {rate: 100/s, burst: 1k}, ceiling: observe, fairness: swarm", false, "only meters"},
	} {
		p, err := Parse("p.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\ntokens: {t: {unit: token}}\nbudgets:\n  - {name: b, token: t, "+c.budget+
			"}\nrules:\n  - {draw: [b], cost: {t: 1}}\n"))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", c.budget, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.budget, err)
		} else if b, _ := p.Budget("b"); b.SwarmFairness != c.swarm {
			t.Errorf("%s: shared out over the swarm: %v", c.budget, b.SwarmFairness)
		}
	}
}
