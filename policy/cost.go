package policy

import (
	"fmt"
	"math"
	"math/bits"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Cost is what a rule says that a call costs in one token type, before the price.
type Cost struct {
	source string
	token  string
	rule   string // for errors
	pos    Pos

	plain  bool // the expression is linear; then linear is all there is
	linear linear
	expr   *expr
}

// String is the cost as the document or the token type's unit gives it.
func (c *Cost) String() string { return c.source }

// Linear reports whether the cost is priced without CEL, and so without allocating.
func (c *Cost) Linear() bool { return c.plain }

// linear is c[0] + c[1]·prompt_tokens + c[2]·max_output_tokens + c[3]·cached_tokens + c[4]·reasoning_tokens, in ints if all
// constants are, else in doubles, as CEL would compute it.
type linear struct {
	double bool
	parts  bool // c[3] or c[4] is not 0
	i      [5]int64
	f      [5]float64
}

// Usage is how many tokens of a model a call takes.
type Usage struct {
	Prompt, Output int64
	Cached         int64 // the part of Prompt that the provider had cached
	Reasoning      int64 // the part of Output that nobody sees
}

// maxConst bounds the constants that are compiled to plain Go, so that sums of them stay exact.
const maxConst = int64(ledger.MaxTokens)

// linearOf compiles an expression that is linear in the two counts.
func linearOf(e ast.Expr) (linear, bool) {
	l, ok := linearTerm(e)
	if !ok {
		return linear{}, false
	}
	for i := range l.i {
		if l.i[i] > maxConst || l.i[i] < -maxConst {
			return linear{}, false
		}
		if math.IsNaN(l.f[i]) || math.Abs(l.f[i]) > float64(maxConst) {
			return linear{}, false
		}
	}
	l.parts = l.i[3] != 0 || l.i[4] != 0 || l.f[3] != 0 || l.f[4] != 0
	return l, true
}

func linearTerm(e ast.Expr) (linear, bool) {
	no := func() (linear, bool) { return linear{}, false }
	switch e.Kind() {
	case ast.LiteralKind:
		switch v := e.AsLiteral().(type) {
		case types.Int:
			if int64(v) <= maxConst && int64(v) >= -maxConst {
				return linear{i: [5]int64{int64(v)}}, true
			}
		case types.Double:
			return linear{double: true, f: [5]float64{float64(v)}}, true
		}
	case ast.IdentKind:
		switch e.AsIdent() {
		case "prompt_tokens":
			return linear{i: [5]int64{0, 1, 0}}, true
		case "max_output_tokens":
			return linear{i: [5]int64{0, 0, 1}}, true
		case cachedTokens:
			return linear{i: [5]int64{3: 1}}, true
		case reasoningTokens:
			return linear{i: [5]int64{4: 1}}, true
		}
	case ast.CallKind:
		call := e.AsCall()
		args := call.Args()
		switch {
		case len(args) == 1 && call.FunctionName() == operators.Negate:
			if a, ok := linearTerm(args[0]); ok {
				return a.scale(linear{i: [5]int64{-1}})
			}
		case len(args) == 1 && call.FunctionName() == "double" && !call.IsMemberFunction():
			if a, ok := linearTerm(args[0]); ok {
				return a.asDouble(), true
			}
		case len(args) == 2:
			a, okA := linearTerm(args[0])
			b, okB := linearTerm(args[1])
			if !okA || !okB {
				return no()
			}
			switch call.FunctionName() {
			case operators.Add:
				return a.plus(b)
			case operators.Subtract:
				if b, ok := b.scale(linear{i: [5]int64{-1}}); ok {
					return a.plus(b)
				}
			case operators.Multiply:
				if a.constant() {
					return b.scale(a)
				}
				if b.constant() {
					return a.scale(b)
				}
			case operators.Divide:
				// Only in doubles: CEL's division of ints drops the rest, which is not linear.
				if b.constant() && (a.double || b.double) {
					if by := b.asDouble().f[0]; by != 0 {
						a = a.asDouble()
						for i := range a.f {
							a.f[i] /= by
						}
						return a, true
					}
				}
			}
		}
	}
	return no()
}

func (l linear) constant() bool {
	return [4]int64(l.i[1:]) == [4]int64{} && [4]float64(l.f[1:]) == [4]float64{}
}

func (l linear) asDouble() linear {
	if !l.double {
		for i := range l.f {
			l.f[i], l.i[i] = float64(l.i[i]), 0
		}
		l.double = true
	}
	return l
}

func (l linear) plus(o linear) (linear, bool) {
	if l.double || o.double {
		l, o = l.asDouble(), o.asDouble()
		for i := range l.f {
			l.f[i] += o.f[i]
		}
		return l, true
	}
	for i := range l.i {
		l.i[i] += o.i[i] // both within ±2^53
		if l.i[i] > maxConst || l.i[i] < -maxConst {
			return linear{}, false
		}
	}
	return l, true
}

// scale multiplies by a constant.
func (l linear) scale(by linear) (linear, bool) {
	if l.double || by.double {
		l, by = l.asDouble(), by.asDouble()
		for i := range l.f {
			l.f[i] *= by.f[0]
		}
		return l, true
	}
	for i := range l.i {
		p, ok := mul(l.i[i], by.i[0])
		if !ok || p > maxConst || p < -maxConst {
			return linear{}, false
		}
		l.i[i] = p
	}
	return l, true
}

// mul multiplies, or reports that the product does not fit.
func mul(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	p := a * b
	if p/b != a || a == math.MinInt64 && b == -1 || b == math.MinInt64 && a == -1 {
		return 0, false
	}
	return p, true
}

func add(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0)
}

// dearest is the usage of so many tokens that costs most: what must be reserved while it is not known what of the prompt is
// cached and what of the output is reasoning.
func (l *linear) dearest(prompt, output int64) Usage {
	u := Usage{Prompt: prompt, Output: output}
	if l.i[3] > 0 || l.f[3] > 0 {
		u.Cached = prompt
	}
	if l.i[4] > 0 || l.f[4] > 0 {
		u.Reasoning = output
	}
	return u
}

// below reports a part of the tokens that would cost less than nothing: "" if there is none.
func (l *linear) below() string {
	l2 := l.asDouble()
	switch {
	case l2.f[3] < 0 && l2.f[1]+l2.f[3] < -1e-12:
		return cachedTokens
	case l2.f[4] < 0 && l2.f[2]+l2.f[4] < -1e-12:
		return reasoningTokens
	}
	return ""
}

// of evaluates for real usage, parts included.
func (l *linear) of(u Usage) (n int64, v verdict) {
	if !l.parts {
		return l.at(u.Prompt, u.Output)
	}
	cached, reasoning := min(u.Cached, u.Prompt), min(u.Reasoning, u.Output)
	if l.double {
		return whole(l.f[0] + l.f[1]*float64(u.Prompt) + l.f[2]*float64(u.Output) + l.f[3]*float64(cached) + l.f[4]*float64(reasoning))
	}
	s, ok := l.i[0], true
	for i, count := range [...]int64{u.Prompt, u.Output, cached, reasoning} {
		p, fits := mul(l.i[i+1], count)
		var sum bool
		s, sum = add(s, p)
		ok = ok && fits && sum
	}
	if !ok {
		return 0, tooLarge
	}
	return s, inRange(s)
}

// at evaluates for counts from 0 to ledger.MaxTokens, with no parts told apart.
func (l *linear) at(prompt, output int64) (n int64, v verdict) {
	if l.double {
		return whole(l.f[0] + l.f[1]*float64(prompt) + l.f[2]*float64(output))
	}
	// Constants are below 2^53 and so are counts: a product takes up to 106 bits.
	p, ok1 := mul(l.i[1], prompt)
	o, ok2 := mul(l.i[2], output)
	if !ok1 || !ok2 {
		return 0, tooLarge
	}
	s, ok1 := add(p, o)
	s, ok2 = add(s, l.i[0])
	if !ok1 || !ok2 {
		return 0, tooLarge
	}
	return s, inRange(s)
}

// verdict says whether a computed cost can be used.
type verdict uint8

const (
	fine verdict = iota
	negative
	notNumber
	tooLarge
)

func inRange(n int64) verdict {
	switch {
	case n < 0:
		return negative
	case n > int64(ledger.MaxTokens):
		return tooLarge
	}
	return fine
}

// whole rounds a double up. Doubles cannot hold most decimal fractions (0.07·100 gives
// 7.000000000000001), so what lies within 10^-12 of a whole number, relatively, is that number.
func whole(f float64) (int64, verdict) {
	switch {
	case math.IsNaN(f):
		return 0, notNumber
	case f > float64(ledger.MaxTokens):
		return 0, tooLarge
	case f < -1e-12:
		return 0, negative
	}
	n := math.Round(f)
	if math.Abs(f-n) > 1e-12*math.Max(1, math.Abs(f)) {
		n = math.Ceil(f)
	}
	return int64(n), fine
}

// priced multiplies by parts per million, rounded up.
func priced(n int64, ppm int64) (int64, verdict) {
	if ppm == million {
		return n, fine
	}
	hi, lo := bits.Mul64(uint64(n), uint64(ppm))
	lo, carry := bits.Add64(lo, million-1, 0)
	hi += carry
	if hi >= million {
		return 0, tooLarge
	}
	q, _ := bits.Div64(hi, lo, million)
	if q > uint64(ledger.MaxTokens) {
		return 0, tooLarge
	}
	return int64(q), fine
}

const million = 1_000_000

// fromCEL takes a result of CEL as a cost.
func fromCEL(v ref.Val) (int64, verdict) {
	switch v := v.(type) {
	case types.Int:
		return int64(v), inRange(int64(v))
	case types.Double:
		return whole(float64(v))
	}
	return 0, notNumber
}

// of prices one call, where matched is the call that was matched, with its counts replaced; it is nil for
// linear costs.
func (c *Cost) of(b *Budget, price PPM, u Usage, matched *activation) (amount, cost ledger.Tokens, err error) {
	var n, m int64
	var v verdict
	if c.plain {
		n, v = c.linear.of(u)
	} else {
		call := *matched.call
		call.PromptTokens, call.MaxOutputTokens = u.Prompt, u.Output
		result, err := c.expr.eval(&activation{call: &call, class: matched.class, policy: matched.policy, chosen: matched.chosen})
		if err != nil {
			return 0, 0, c.fail(err)
		}
		n, v = fromCEL(result)
	}
	if v == fine {
		m, v = priced(n, int64(price))
	}
	if v != fine {
		return 0, 0, c.fail(v.err(b, price, u.Prompt, u.Output))
	}
	return ledger.Tokens(m), ledger.Tokens(n), nil
}

func (c *Cost) fail(err error) error {
	return &RuleError{Pos: c.pos, Rule: c.rule, Part: "cost of " + c.token, Err: err}
}

func (v verdict) err(b *Budget, price PPM, prompt, output int64) error {
	why := ""
	switch v {
	case negative:
		why = "negative: a cost must be zero or more"
	case notNumber:
		why = "not a number"
	case tooLarge:
		why = fmt.Sprintf("more than %d with the price %v of budget %q", ledger.MaxTokens, price.Float(), b.Name)
	}
	return fmt.Errorf("with prompt_tokens %d and max_output_tokens %d it is %s", prompt, output, why)
}
