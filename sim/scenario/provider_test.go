package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestProviderBucket(t *testing.T) {
	p := &Provider{Rate: 1000, Burst: 500, From: time.Second, Until: 10 * time.Second}
	b := p.Bucket()
	for _, x := range []struct {
		at     ledger.Millis
		tokens int64
		wait   ledger.Millis // 0: it runs
	}{
		{0, 1_000_000, 0}, // before it begins
		{1000, 400, 0},
		{1000, 101, 2}, // 100 are left
		{1001, 101, 0},
		{1001, 100, 101},
		{1101, 100, 0},
		{3000, 500, 0},    // full again
		{3000, 9000, 501}, // never fits: as what just fits
		{3501, 9000, 0},
		{10_000, 1_000_000, 0}, // it is over
	} {
		if wait, ok := b.Take(x.at, x.tokens); ok != (x.wait == 0) || wait != x.wait {
			t.Errorf("at %d ms %d tokens: %v, wait %d ms, want %d", x.at, x.tokens, ok, wait, x.wait)
		}
	}
	none := (*Provider)(nil).Bucket()
	if _, ok := none.Take(5, 1<<40); !ok {
		t.Error("without a provider a call is refused")
	}
}

func TestProviderMistakes(t *testing.T) {
	for _, x := range []struct{ provider, want string }{
		{"provider: {rate: 5k/s}\n", `provider lacks the field "burst"`},
		{"provider: {rate: 5k/s, burst: 0}\n", "a provider with a burst of 0 gives nothing"},
		{"provider: {rate: 5k/s, burst: 5k, from: 10s, until: 5s}\n", "until is 5s, it must be after from, which is 10s"},
		{"provider: {rate: fast, burst: 5k}\n", "write it as in 500/s"},
		{"beside: [{name: deaf, blind: true}]\n", `without a provider the run "deaf" has nothing to be blind to`},
		{"provider: {rate: 5k/s, burst: 5k}\nbeside: [{name: deaf}]\n", "say skip, retry or blind"},
	} {
		_, err := Parse("x.yaml", []byte(goodHead+goodPolicy+goodLoad+x.provider))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %s", x.provider, err, x.want)
		}
	}
	s, err := Parse("x.yaml", []byte(goodHead+goodPolicy+goodLoad+"provider: {rate: 5k/s, burst: 7k, from: 1s}\nbeside: [{name: deaf, blind: true}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if *s.Provider != (Provider{Rate: 5000, Burst: 7000, From: time.Second}) || s.Blind || !s.With(s.Beside[0]).Blind {
		t.Errorf("%+v, %v", s.Provider, s.Blind)
	}
}
