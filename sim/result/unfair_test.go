package result

import (
	"math"
	"testing"
)

func TestUnfair(t *testing.T) {
	one := func(string) float64 { return 1 }
	for _, c := range []struct {
		name    string
		tenants []Tenant
		weight  func(string) float64
		want    float64
	}{
		{"nobody got anything", []Tenant{{OfferedTokens: 5}}, one, math.NaN()},
		{"all got all", []Tenant{{OfferedTokens: 50, GoodputTokens: 50}, {OfferedTokens: 20, GoodputTokens: 20}}, one, 0},
		{"max-min", []Tenant{{OfferedTokens: 900, GoodputTokens: 40}, {OfferedTokens: 20, GoodputTokens: 20}, {OfferedTokens: 50, GoodputTokens: 40}}, one, 0},
		{"in proportion to demand", []Tenant{{OfferedTokens: 900, GoodputTokens: 90}, {OfferedTokens: 100, GoodputTokens: 10}}, one, 0.8},
		{"by weight", []Tenant{{Name: "a", OfferedTokens: 900, GoodputTokens: 75}, {Name: "b", OfferedTokens: 100, GoodputTokens: 25}},
			func(n string) float64 { return map[string]float64{"a": 3, "b": 1}[n] }, 0},
	} {
		if got := unfair(c.tenants, c.weight); math.Abs(got-c.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
