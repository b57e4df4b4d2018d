package baseline

import (
	"math/big"
	"math/bits"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// part is a part of an instance's supply: from lo to hi of den equal pieces. Parts that lie beside each other and
// cover all of den add up to the whole exactly, whatever is divided.
type part struct{ lo, hi, den int64 }

var whole = part{0, 1, 1}

// of is the part of n; n may be negative.
func (p part) of(n ledger.Tokens) ledger.Tokens {
	return mulDiv(n, p.hi, p.den) - mulDiv(n, p.lo, p.den)
}

// ppm is that many parts per million of n.
func ppm(n ledger.Tokens, millionths int64) ledger.Tokens { return mulDiv(n, millionths, 1_000_000) }

// mulDiv is n·a/b rounded toward zero, for 0 <= a <= b and b > 0.
func mulDiv(n ledger.Tokens, a, b int64) ledger.Tokens {
	if n < 0 {
		return -mulDiv(-n, a, b)
	}
	hi, lo := bits.Mul64(uint64(n), uint64(a))
	q, _ := bits.Div64(hi, lo, uint64(b)) // a <= b: the quotient is at most n
	return ledger.Tokens(q)
}

// ratio is tokens per millisecond as a fraction.
type ratio struct{ num, den uint64 }

// rate is what the part accrues of a rate. It is exact, but for parts and rates whose fraction is too long for
// 64 bits, which lose less than 1 in 10^12.
func (p part) rate(s *ledger.Spec) ratio {
	num := new(big.Int).Mul(big.NewInt(int64(s.Per)), big.NewInt(p.hi-p.lo))
	den := new(big.Int).Mul(big.NewInt(max(1, int64(s.PerMillis))), big.NewInt(p.den))
	if num.Sign() == 0 {
		return ratio{0, 1}
	}
	gcd := new(big.Int).GCD(nil, nil, num, den)
	num.Quo(num, gcd)
	den.Quo(den, gcd)
	if n := max(num.BitLen(), den.BitLen()) - 62; n > 0 {
		num.Rsh(num, uint(n))
		den.Rsh(den, uint(n))
		den.Add(den, big.NewInt(1)) // never more than the rate
	}
	return ratio{num.Uint64(), den.Uint64()}
}

// mint is what accrues in dt beside a remainder, with the new remainder; both remainders are in parts of den.
func (r ratio) mint(dt ledger.Millis, rem uint64) (ledger.Tokens, uint64) {
	hi, lo := bits.Mul64(r.num, uint64(dt))
	lo, carry := bits.Add64(lo, rem, 0)
	if hi += carry; hi >= r.den {
		return ledger.MaxTokens, 0
	}
	q, rem := bits.Div64(hi, lo, r.den)
	if q > uint64(ledger.MaxTokens) {
		return ledger.MaxTokens, 0
	}
	return ledger.Tokens(q), rem
}

// until is how long n more than a remainder take to accrue; false if they never do.
func (r ratio) until(n ledger.Tokens, rem uint64) (ledger.Millis, bool) {
	if n <= 0 {
		return 0, true
	}
	if r.num == 0 {
		return 0, false
	}
	// ceil((n·den − rem) / num)
	hi, lo := bits.Mul64(uint64(n), r.den)
	lo, borrow := bits.Sub64(lo, rem, 0)
	hi -= borrow
	lo, carry := bits.Add64(lo, r.num-1, 0)
	hi += carry
	if hi >= r.num {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, r.num)
	if q > 1<<50 {
		return 0, false
	}
	return ledger.Millis(q), true
}
