package policy

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const fed = head + "tokens: {c: {unit: token}}\nrules: [{draw: [b]}]\nbudgets:\n  - {name: b, token: c, supply: "

func TestFeedback(t *testing.T) {
	whole := ledger.Feedback{Recover: 120_000, CutPPM: 300_000, LeastPPM: 200_000, RetryAfter: 60_000}
	for _, tt := range []struct {
		feedback string
		want     ledger.Feedback
		low      int64
	}{
		{"{}", whole, 20_000},
		{"{cut: 50%, least: 1%, recover: 10s, retry_after: 0s, low: 0%}", ledger.Feedback{Recover: 10_000, CutPPM: 500_000, LeastPPM: 10_000}, 0},
		{"{low: 12.5%}", whole, 125_000},
	} {
		p := mustParse(t, fed+"{rate: 100k/s, burst: 100k}, feedback: "+tt.feedback+"}\n")
		b, _ := p.Budget("b")
		if b.Spec.Feedback != tt.want || b.Low != tt.low {
			t.Errorf("%s: %+v, low %d", tt.feedback, b.Spec.Feedback, b.Low)
		}
	}
	p := mustParse(t, fed+"{rate: 100k/s, burst: 100k}}\n")
	if b, _ := p.Budget("b"); b.Spec.Feedback.On() || b.Low != 0 {
		t.Errorf("without the field: %+v", b)
	}
}

func TestFeedbackMistakes(t *testing.T) {
	for _, tt := range []struct{ rest, want string }{
		{"{window: 1h, amount: 1M}, feedback: {}", "p.yaml:6:69: feedback lowers a rate, but this supply is a window; leave it out, or let the calls draw on a budget with a rate as well"},
		{"{rate: 9k/s, burst: 9k}, ceiling: observe, feedback: {}", "a budget that only observes keeps no call back, so feedback does nothing; leave it out, or write ceiling: hard"},
		{"{rate: 9k/s, burst: 9k}, feedback: {cut: 5%}", "cut is 5%, it must be between 10% and 90%"},
		{"{rate: 9k/s, burst: 9k}, feedback: {least: 100%}", "least is 100%, it must be between 1% and 99%"},
		{"{rate: 9k/s, burst: 9k}, feedback: {recover: 1s}", "recover is 1s, it must be between 10s and 24h0m0s"},
		{"{rate: 9k/s, burst: 9k}, feedback: {retry_after: 2h}", "retry_after is 2h0m0s, it must be between 0s and 1h0m0s"},
		{"{rate: 9k/s, burst: 9k}, feedback: {low: 60%}", "low is 60%, it must be between 0% and 50%"},
		{"{rate: 9k/s, burst: 9k}, feedback: {slow: 1}", `unknown field "slow" in feedback`},
	} {
		_, err := Parse("p.yaml", []byte(fed+tt.rest+"}\n"))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.rest, err, tt.want)
		}
	}
}

func TestCheckFeedback(t *testing.T) {
	for _, tt := range []struct{ supply, feedback, want string }{
		{"{rate: 100k/s, burst: 100k}", "{}", ""},
		{"{rate: 100k/s, burst: 100k}", "{recover: 60s}",
			`p.yaml:6:5: warning: budget "b": at its least the rate is back from a refusal after 3.6s, before all nodes have heard of it: write a longer recover, or a larger least or cut`},
		{"{rate: 6M/m, burst: 6_000_001}", "{}",
			`p.yaml:6:5: warning: budget "b": a refusal lapses what has piled up, which takes more than a minute to come back: write a smaller burst`},
	} {
		p := mustParse(t, fed+tt.supply+", feedback: "+tt.feedback+"}\n")
		var got []string
		for _, w := range Check(p) {
			got = append(got, w.String())
		}
		if s := strings.Join(got, "\n"); s != tt.want {
			t.Errorf("%s, %s: got:\n%s\nwant:\n%s", tt.supply, tt.feedback, s, tt.want)
		}
	}
}
