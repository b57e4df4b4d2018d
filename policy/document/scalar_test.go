package document

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
)

func TestParseAmount(t *testing.T) {
	for _, c := range []struct {
		in   string
		want ledger.Tokens
		err  string
	}{
		{in: "1", want: 1},
		{in: "5000", want: 5000},
		{in: "1_000", want: 1000},
		{in: "5k", want: 5000},
		{in: "5K", want: 5000},
		{in: "10M", want: 10_000_000},
		{in: "2.5M", want: 2_500_000},
		{in: "0.001k", want: 1},
		{in: "1.0", want: 1},
		{in: "1.50k", want: 1500},
		{in: "1G", want: 1_000_000_000},
		{in: "1B", want: 1_000_000_000},
		{in: "9T", want: 9_000_000_000_000},
		{in: "9007199254740991", want: ledger.MaxTokens},
		{in: "9007.199254740991T", want: ledger.MaxTokens},
		{in: "9007199254740992", err: `amount "9007199254740992" is too large; at most 9007199254740991 is allowed`},
		{in: "99999999999999999999T", err: `amount "99999999999999999999T" is too large; at most 9007199254740991 is allowed`},
		{in: "0", err: `amount "0" is zero; write a whole number above zero`},
		{in: "0k", err: `amount "0k" is zero; write a whole number above zero`},
		{in: "-5", err: `amount "-5" is negative; write a whole number above zero`},
		{in: "1.5", err: `amount "1.5" is not a whole number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "1.0005k", err: `amount "1.0005k" is not a whole number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "5m", err: `amount "5m" ends in m; write M for millions`},
		{in: "010", err: `amount "010" starts with 0; drop the zero: amounts are decimal`},
		{in: "0x10", err: `amount "0x10" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "1e6", err: `amount "1e6" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "", err: `amount "" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "k", err: `amount "k" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: ".5k", err: `amount ".5k" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "1__0", err: `amount "1__0" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: "10 M", err: `amount "10 M" is not a number; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
		{in: strings.Repeat("1", 65), err: `amount "11111111111111111111111111111111" is too long; write a whole number, as in 5000, 1_000, 5k or 2.5M`},
	} {
		got, err := ParseAmount(c.in)
		if errText(err) != c.err || got != c.want {
			t.Errorf("ParseAmount(%q) = %d, %v; want %d, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParsePPM(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		err  string
	}{
		{in: "10%", want: 100_000},
		{in: "2.5%", want: 25_000},
		{in: "0.0001%", want: 1},
		{in: "0%", want: 0},
		{in: "100%", want: 1_000_000},
		{in: "100.0001%", err: `fraction "100.0001%" is too large; at most 100% is allowed`},
		{in: "0.00001%", err: `fraction "0.00001%" has more than 4 digits after the point; write it as in 10% or 2.5%`},
		{in: "0.1", err: `fraction "0.1" has no percent sign; write it as in 10%`},
		{in: "-1%", err: `fraction "-1%" is negative; write it as in 10% or 2.5%`},
		{in: "ten%", err: `fraction "ten%" is not a number; write it as in 10% or 2.5%`},
		{in: "99999999999999999999%", err: `fraction "99999999999999999999%" is too large; write it as in 10% or 2.5%`},
	} {
		got, err := ParsePPM(c.in)
		if errText(err) != c.err || got != c.want {
			t.Errorf("ParsePPM(%q) = %d, %v; want %d, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  string
	}{
		{in: "250ms", want: 250 * time.Millisecond},
		{in: "1h30m", want: 90 * time.Minute},
		{in: "7d", want: 7 * 24 * time.Hour},
		{in: "1d12h", want: 36 * time.Hour},
		{in: "0s", want: 0},
		{in: "1.5s", want: 1500 * time.Millisecond},
		{in: "300", err: `duration "300" has no unit; write 300ms, 300s or 300m`},
		{in: "-1s", err: `duration "-1s" is negative; write it as in 250ms, 10s, 1h or 7d`},
		{in: "1d-1h", err: `duration "1d-1h" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "+1s", err: `duration "+1s" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "d", err: `duration "d" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "1.5d", err: `duration "1.5d" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "1w", err: `duration "1w" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "", err: `duration "" is malformed; write it as in 250ms, 10s, 1h or 7d`},
		{in: "1us", err: `duration "1us" is not a whole number of milliseconds; round it`},
		{in: "3651d", err: `duration "3651d" is too long; at most 3650d is allowed`},
		{in: "65535d2500000h", err: `duration "65535d2500000h" is too long; at most 3650d is allowed`},
	} {
		got, err := ParseDuration(c.in)
		if errText(err) != c.err || got != c.want {
			t.Errorf("ParseDuration(%q) = %s, %v; want %s, %s", c.in, got, err, c.want, c.err)
		}
	}
}

// amountByRat is the judge: the same number by exact fractions.
func amountByRat(s string) (ledger.Tokens, bool) {
	scale := int64(1)
	switch s[len(s)-1] {
	case 'k', 'K':
		scale = 1_000
	case 'M':
		scale = 1_000_000
	case 'G', 'B':
		scale = 1_000_000_000
	case 'T':
		scale = 1_000_000_000_000
	}
	if scale > 1 {
		s = s[:len(s)-1]
	}
	r, ok := new(big.Rat).SetString(strings.ReplaceAll(s, "_", ""))
	if !ok {
		return 0, false
	}
	r.Mul(r, new(big.Rat).SetInt64(scale))
	if !r.IsInt() || r.Sign() <= 0 || r.Num().Cmp(big.NewInt(int64(ledger.MaxTokens))) > 0 {
		return 0, false
	}
	return ledger.Tokens(r.Num().Int64()), true
}

func TestParseDelay(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  string
	}{
		{in: "300us", want: 300 * time.Microsecond},
		{in: "1.5ms", want: 1500 * time.Microsecond},
		{in: "2s", want: 2 * time.Second},
		{in: "100ns", err: `duration "100ns" is not a whole number of microseconds; round it`},
	} {
		if got, err := ParseDelay(c.in); got != c.want || errText(err) != c.err {
			t.Errorf("ParseDelay(%q) = %v, %v; want %v, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func TestAmountLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`(0|[1-9][0-9]{0,3}(_[0-9]{3}){0,4})(\.[0-9]{1,13})?[kKMGBT]?`).Draw(t, "s")
		got, err := ParseAmount(s)
		want, ok := amountByRat(s)
		if ok != (err == nil) || got != want {
			t.Fatalf("ParseAmount(%q) = %d, %v; exactly it is %d, %v", s, got, err, want, ok)
		}
	})
}

func FuzzAmount(f *testing.F) {
	for _, s := range []string{"1", "10M", "2.5k", "1_000", "-1", "0x1", "9007199254740991", "1e6", "", "..", "1_.5k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseAmount(s)
		if scaled, err := ParseScaled(s); err == nil && (scaled < 0 || scaled > ledger.MaxTokens) {
			t.Fatalf("ParseScaled(%q) = %d", s, scaled)
		}
		if ppm, err := ParsePPM(s); err == nil && ppm < 0 {
			t.Fatalf("ParsePPM(%q) = %d", s, ppm)
		}
		if err != nil {
			if n != 0 {
				t.Fatalf("%q: an error and %d", s, n)
			}
			return
		}
		if want, ok := amountByRat(s); !ok || n != want {
			t.Fatalf("ParseAmount(%q) = %d, exactly it is %d, %v", s, n, want, ok)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"1s", "7d", "1d12h", "", "d", "-1h", "1.5h", "99999d", "1d+1h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err == nil && (d < 0 || d > MaxDuration || d%time.Millisecond != 0) {
			t.Fatalf("ParseDuration(%q) = %d", s, d)
		}
		if d, err := ParseDelay(s); err == nil && (d < 0 || d > MaxDuration) {
			t.Fatalf("ParseDelay(%q) = %d", s, d)
		}
	})
}
