package policy

import (
	"testing"
)

var benchCall = &Call{Tenant: "search", Agent: "crawler-17", Run: "r-1", Class: "standard", Model: "gpt-4o", PromptTokens: 1200, MaxOutputTokens: 600}

func benchPlan(b *testing.B, p *Policy) *Plan {
	plan, err := p.Match(benchCall)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return plan
}

func BenchmarkKey(b *testing.B) {
	p := mustParse(b, string(Starter()))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Key(benchCall); !ok {
			b.Fatal("not cacheable")
		}
	}
}

func BenchmarkKeyAttributes(b *testing.B) {
	p := mustParse(b, matching)
	c := *benchCall
	c.Class, c.Attributes = "fast", map[string]string{"team": "x", "must": "be"}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Key(&c); !ok {
			b.Fatal("not cacheable")
		}
	}
}

func BenchmarkValid(b *testing.B) {
	p := mustParse(b, string(Starter()))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Valid(benchCall); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	p := mustParse(b, string(Starter()))
	benchPlan(b, p)
	for b.Loop() {
		if _, err := p.Match(benchCall); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAmountLinear(b *testing.B) {
	d := &benchPlan(b, mustParse(b, string(Starter()))).Draws[0]
	for b.Loop() {
		if _, err := d.Amount(benchCall); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAmountCEL(b *testing.B) {
	d := &benchPlan(b, costPolicy(b, `model == "gpt-4o" ? 3 * prompt_tokens : prompt_tokens`)).Draws[0]
	for b.Loop() {
		if _, err := d.Amount(benchCall); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseStarter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse("starter.yaml", Starter()); err != nil {
			b.Fatal(err)
		}
	}
}
