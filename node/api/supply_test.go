package api_test

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

func TestSupplyText(t *testing.T) {
	for supply, want := range map[string]string{
		"{grant: 2M}":                 "2,000,000 once",
		"{slots: 8}":                  "8 at once",
		"{window: 24h, amount: 10M}":  "10,000,000 per 24h",
		"{window: 90m, amount: 900}":  "900 per 1h30m",
		"{window: month, amount: 1k}": "1,000 per month",
		"{rate: 300k/m, burst: 60k}":  "300,000/m, burst 60,000",
		"{rate: 50/s, burst: 100}":    "50/s, burst 100",
		"{rate: 5000/h, burst: 1k}":   "5,000/h, burst 1,000",
		"{window: 10s, amount: 9000}": "9,000 per 10s",
	} {
		p, err := policy.Parse("test.yaml", []byte("apiVersion: swarmpurse/v1\nrevision: 1\ntokens: {calls: {unit: slot}}\n"+
			"classes: [{name: standard, weight: 1, latency_budget: 1s}]\nbudgets: [{name: b, token: calls, supply: "+supply+", ceiling: {soft: 2.5%}}]\n"+
			"rules: [{draw: [b]}]\ndefault: deny\n"))
		if err != nil {
			t.Errorf("%s: %v", supply, err)
			continue
		}
		spec := &p.Budgets()[0].Spec
		if got := api.SupplyText(spec); got != want {
			t.Errorf("%s: %q, want %q", supply, got, want)
		}
		if got := api.CeilingText(spec); got != "soft 2.5%" {
			t.Errorf("%s: ceiling %q", supply, got)
		}
	}
}
