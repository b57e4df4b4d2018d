package document

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// ParseAmount reads an amount of tokens as documents and commands write it: "5000", "1_000", "5k",
// "2.5M", "1G". Suffixes are powers of 1,000: k, M, G (or B), T. The amount must come out whole,
// more than zero and at most ledger.MaxTokens; nothing is rounded.
func ParseAmount(s string) (ledger.Tokens, error) {
	n, err := ParseScaled(s)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, fmt.Errorf("amount %q is zero; write a whole number above zero", s)
	}
	return n, nil
}

const maxScalar = 64

// ParseScaled is ParseAmount with zero allowed.
func ParseScaled(s string) (ledger.Tokens, error) {
	bad := func(why, advice string) (ledger.Tokens, error) {
		return 0, fmt.Errorf("amount %.32q %s; %s", s, why, advice)
	}
	const example = "write a whole number, as in 5000, 1_000, 5k or 2.5M"
	if len(s) > maxScalar {
		return bad("is too long", example)
	}
	if strings.HasPrefix(s, "-") {
		return bad("is negative", "write a whole number above zero")
	}
	digits, scale := s, 0 // scale is a power of ten
	if s != "" {
		switch s[len(s)-1] {
		case 'k', 'K':
			scale = 3
		case 'M':
			scale = 6
		case 'G', 'B':
			scale = 9
		case 'T':
			scale = 12
		case 'm':
			return bad("ends in m", "write M for millions")
		}
		if scale > 0 {
			digits = s[:len(s)-1]
		}
	}
	whole, fraction, dotted := strings.Cut(digits, ".")
	if !digitsOK(whole) || dotted && !digitsOK(fraction) {
		return bad("is not a number", example)
	}
	if len(whole) > 1 && whole[0] == '0' {
		return bad("starts with 0", "drop the zero: amounts are decimal")
	}
	fraction = strings.TrimRight(strings.ReplaceAll(fraction, "_", ""), "0")
	if len(fraction) > scale {
		return bad("is not a whole number", example)
	}
	fraction += strings.Repeat("0", scale-len(fraction))
	var n uint64
	for _, c := range strings.ReplaceAll(whole, "_", "") + fraction {
		hi, lo := bits.Mul64(n, 10)
		n = lo + uint64(c-'0')
		if hi != 0 || n > uint64(ledger.MaxTokens) {
			return bad("is too large", fmt.Sprintf("at most %d is allowed", ledger.MaxTokens))
		}
	}
	return ledger.Tokens(n), nil
}

// digitsOK reports whether s is decimal digits with single underscores between them.
func digitsOK(s string) bool {
	if s == "" || s[0] == '_' || s[len(s)-1] == '_' || strings.Contains(s, "__") {
		return false
	}
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '_' {
			return false
		}
	}
	return true
}

// ParsePPM reads "10%" or "2.5%" as parts per million, exactly, at most 100 %.
func ParsePPM(s string) (int64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	if !ok || len(s) > maxScalar {
		return 0, fmt.Errorf("fraction %.32q has no percent sign; write it as in 10%%", s)
	}
	n, err := Decimal(digits, 4)
	if err != nil {
		return 0, fmt.Errorf("fraction %q %w; write it as in 10%% or 2.5%%", s, err)
	}
	if n > 1_000_000 {
		return 0, fmt.Errorf("fraction %q is too large; at most 100%% is allowed", s)
	}
	return n, nil
}

// Decimal reads a number with at most places digits after the point as an integer of 10^-places.
func Decimal(s string, places int) (int64, error) {
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("is negative")
	}
	whole, fraction, dotted := strings.Cut(s, ".")
	if !digitsOK(whole) || dotted && !digitsOK(fraction) {
		return 0, fmt.Errorf("is not a number")
	}
	fraction = strings.TrimRight(strings.ReplaceAll(fraction, "_", ""), "0")
	if len(fraction) > places {
		return 0, fmt.Errorf("has more than %d digits after the point", places)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(whole, "_", "")+fraction+strings.Repeat("0", places-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("is too large")
	}
	return n, nil
}

// MaxDuration bounds every duration of a document: ten years of 365 days.
const MaxDuration = 3650 * 24 * time.Hour

// ParseDuration reads a duration as documents and commands write it: Go's form ("250ms", "1h30m")
// with days too ("7d", "1d12h"). It must be a whole number of milliseconds, from 0 to MaxDuration.
func ParseDuration(s string) (time.Duration, error) {
	return parseDuration(s, time.Millisecond, "a whole number of milliseconds")
}

// ParseDelay is ParseDuration to the microsecond, as in "300us" or "1.5ms".
func ParseDelay(s string) (time.Duration, error) {
	return parseDuration(s, time.Microsecond, "a whole number of microseconds")
}

func parseDuration(s string, grain time.Duration, grains string) (time.Duration, error) {
	const example = "write it as in 250ms, 10s, 1h or 7d"
	if len(s) > maxScalar {
		return 0, fmt.Errorf("duration %.32q is too long; %s", s, example)
	}
	if strings.HasPrefix(s, "-") {
		return 0, fmt.Errorf("duration %q is negative; %s", s, example)
	}
	var days time.Duration
	rest := s
	if n, after, ok := strings.Cut(s, "d"); ok {
		d, err := strconv.ParseUint(n, 10, 16)
		if err != nil || n[0] == '+' {
			return 0, fmt.Errorf("duration %q is malformed; %s", s, example)
		}
		days, rest = time.Duration(d)*24*time.Hour, after
	}
	var d time.Duration
	if rest != "" || s == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil || rest[0] == '+' || rest[0] == '-' {
			if digitsOK(s) {
				return 0, fmt.Errorf("duration %q has no unit; write %sms, %ss or %sm", s, s, s, s)
			}
			return 0, fmt.Errorf("duration %q is malformed; %s", s, example)
		}
	}
	// Both parts are below 2^63 ns, so a sum that wrapped is negative.
	if d += days; d < 0 || d > MaxDuration {
		return 0, fmt.Errorf("duration %q is too long; at most %dd is allowed", s, MaxDuration/(24*time.Hour))
	}
	if d%grain != 0 {
		return 0, fmt.Errorf("duration %q is not %s; round it", s, grains)
	}
	return d, nil
}
