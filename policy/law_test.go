package policy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// genDocument draws a document that is right nearly always.
func genDocument(t *rapid.T) string {
	of := func(label string, words ...string) string { return rapid.SampledFrom(words).Draw(t, label) }
	var b strings.Builder
	b.WriteString(head)
	if rapid.Bool().Draw(t, "classes") {
		b.WriteString("classes: [{name: fast, weight: 5}, {name: slow, default: true}]\n")
	}
	b.WriteString("tokens: {c: {unit: token}, r: {unit: read}, s: {unit: slot}}\n")
	n := rapid.IntRange(1, 5).Draw(t, "budgets")
	b.WriteString("budgets:\n")
	var tokens []string
	for i := range n {
		token := of("token", "c", "c", "r", "s")
		tokens = append(tokens, token)
		supply := of("supply", "{grant: 10k}", "{window: 1h, amount: 5k, rollover: 10%}", "{rate: 5k/m, burst: 100}", "{window: month, amount: 1G}")
		if token == "s" {
			supply = of("slots", "{slots: 3}", "{grant: 5}")
		}
		fmt.Fprintf(&b, "  - {name: b%d, token: %s, supply: %s, per: %s, ceiling: %s, price: {base: %s}}\n", i, token, supply,
			of("per", "[tenant]", "[tenant, attributes.x]", "[class]", "[agent, run, model]", "[attributes.y]"),
			of("ceiling", "hard", "observe", "{soft: 10%}"), of("price", "1", "1.5", "0.000001"))
	}
	b.WriteString("rules:\n")
	for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
		fmt.Fprintf(&b, "  - name: r%d\n", i)
		if rapid.Bool().Draw(t, "conditional") {
			fmt.Fprintf(&b, "    when: '%s'\n", of("when", `tenant == "a"`, `model.startsWith("a")`, `attributes.x == "a"`, `"y" in attributes`,
				`size(data) > 1`, `class == "fast"`, `run != ""`, `agent < model`, `prompt_tokens > 2`, `"c" in tokens`, `has(attributes.y) && attributes["y"] != ""`,
				`attributes.exists(k, k == tenant)`, `data.exists(d, d == "ab")`, `tenant != model`, `agent in ["a", "b"]`))
		}
		drawn := rapid.IntRange(0, n-1).Draw(t, "draw")
		fmt.Fprintf(&b, "    draw: [b%d]\n", drawn)
		if tokens[drawn] == "r" || rapid.Bool().Draw(t, "cost") {
			fmt.Fprintf(&b, "    cost: {%s: '%s'}\n", tokens[drawn], of("cost", "prompt_tokens", "1.5 * max_output_tokens", "size(tenant) + 1",
				`tenant == "a" ? prompt_tokens : 1`, "size(data) * 2", `has(attributes.z) ? 1 : 2`, "size(tokens)", "size(attributes)"))
		}
		if rapid.IntRange(0, 4).Draw(t, "stop") == 0 {
			b.WriteString("    stop: true\n")
		}
	}
	return b.String()
}

// genCall draws a call that most rules can be evaluated for.
func genCall(t *rapid.T, label string) *Call {
	word := rapid.SampledFrom([]string{"a", "b", "ab", "a", "b", "ab", ""})
	c := &Call{
		Tenant: word.Draw(t, label+"tenant"), Agent: word.Draw(t, label+"agent"), Run: word.Draw(t, label+"run"),
		Model: word.Draw(t, label+"model"), Class: rapid.SampledFrom([]string{"", "", "fast", "slow", "standard"}).Draw(t, label+"class"),
		PromptTokens: rapid.Int64Range(0, 5).Draw(t, label+"prompt"), MaxOutputTokens: rapid.Int64Range(0, 5).Draw(t, label+"output"),
		Data:       rapid.SliceOfN(word, 0, 3).Draw(t, label+"data"),
		Attributes: map[string]string{},
	}
	for _, name := range []string{"x", "y", "z", "a"} {
		if rapid.IntRange(0, 3).Draw(t, label+name) > 0 {
			c.Attributes[name] = word.Draw(t, label+name)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, label+"stated") == 0 {
		c.Tokens = []Amount{{"c", 7}}
	}
	return c
}

// outcome is all that a plan says, with what it prices for a probe.
func outcome(p *Policy, c, probe *Call) string {
	plan, err := p.Match(c)
	if err != nil {
		return "error: " + err.Error()
	}
	s := fmt.Sprint(plan.Class.Name, plan.Matched, plan.Admit, plan.Rules)
	for i := range plan.Draws {
		d := &plan.Draws[i]
		n, err := d.Amount(probe)
		settled, err2 := d.Settle(probe.PromptTokens, probe.MaxOutputTokens)
		s += fmt.Sprintf(" %s%q=%d,%v,%d,%v,%s", d.Budget.Name, d.Values, n, err, settled, err2, d.Rule)
	}
	return s
}

// TestKeyLaw: calls with one key have one plan, and a document means the same each time it is parsed.
func TestKeyLaw(t *testing.T) {
	parsed, cached, equal := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		src := genDocument(t)
		p, err := Parse("p.yaml", []byte(src))
		again, err2 := Parse("p.yaml", []byte(src))
		if errText(err) != errText(err2) {
			t.Fatalf("two parses differ:\n%v\n%v", err, err2)
		}
		if err != nil {
			return
		}
		parsed++
		if !reflect.DeepEqual(Check(p), Check(again)) {
			t.Fatalf("two checks differ")
		}
		a, b, probe := genCall(t, "a "), genCall(t, "b "), genCall(t, "probe ")
		// b is like a but for one thing, so that keys are equal often.
		like := *a
		switch rapid.IntRange(0, 8).Draw(t, "but for") {
		case 0:
			like.Tenant = b.Tenant
		case 1:
			like.Agent = b.Agent
		case 2:
			like.Run = b.Run
		case 3:
			like.Model = b.Model
		case 4:
			like.Class = b.Class
		case 5:
			like.Data = b.Data
		case 6:
			like.Attributes = maps.Clone(a.Attributes)
			name := rapid.SampledFrom([]string{"x", "y", "z", "a"}).Draw(t, "attribute")
			if v, ok := b.Attributes[name]; ok {
				like.Attributes[name] = v
			} else {
				delete(like.Attributes, name)
			}
		case 7:
			like.Tokens = b.Tokens
		case 8:
			like.PromptTokens, like.MaxOutputTokens = b.PromptTokens, b.MaxOutputTokens
		}
		b = &like
		if one, two := outcome(p, a, probe), outcome(again, a, probe); one != two {
			t.Fatalf("two matches differ:\n%s\n%s", one, two)
		}
		ka, okA := p.Key(a)
		kb, okB := p.Key(b)
		if !okA || !okB {
			return
		}
		cached++
		if ka != kb {
			return
		}
		equal++
		if one, two := outcome(p, a, probe), outcome(p, b, probe); one != two {
			t.Fatalf("equal keys %+v, but\n%s\n%s\n%s", ka, one, two, src)
		}
	})
	if parsed == 0 || cached == 0 || equal < 5 {
		t.Errorf("the law was not tried: %d documents, %d cacheable, %d equal keys", parsed, cached, equal)
	}
}

// genCost draws an expression over the two counts, mostly a linear one.
func genCost(t *rapid.T, depth int) string {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 && kind > 3 {
		kind -= 4
	}
	sub := func() string { return genCost(t, depth-1) }
	switch kind {
	case 0:
		return "prompt_tokens"
	case 1:
		return "max_output_tokens"
	case 2:
		return rapid.SampledFrom([]string{"0", "1", "2", "7", "1000", "9007199254740991", "4503599627370496"}).Draw(t, "int")
	case 3, 4:
		return rapid.SampledFrom([]string{"0.1", "2.5", "0.15", "3.0", "1000000.0", "0.0"}).Draw(t, "double")
	case 5:
		return "(" + sub() + " + " + sub() + ")"
	case 6:
		return "(" + sub() + " - " + sub() + ")"
	case 7:
		return "(" + sub() + " * " + sub() + ")"
	case 8:
		return "(-" + sub() + ")"
	}
	return "(" + sub() + " / " + rapid.SampledFrom([]string{"2", "4.0", "1000.0", "0.0"}).Draw(t, "by") + ")"
}

// TestLinearLaw: what is compiled to plain Go costs what CEL says. Where CEL overflows half-way, plain
// Go may still know the sum; then it must be the exact one.
func TestLinearLaw(t *testing.T) {
	linearOnes, compared := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		source := genCost(t, 4)
		p, err := Parse("p.yaml", []byte(head+"tokens: {c: {unit: thing}}\nbudgets: [{name: b, token: c, supply: {grant: 1}}]\n"+
			"rules: [{draw: [b], cost: {c: \""+source+"\"}}]\n"))
		if err != nil {
			return // a constant cost out of range
		}
		cost := p.rules[0].draws[0].Cost
		if !cost.plain {
			return
		}
		linearOnes++
		celenv, _ := celEnv()
		checked, issues := celenv.Compile(source)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := celenv.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		most := rapid.SampledFrom([]int64{10, 100_000, int64(ledger.MaxTokens)}).Draw(t, "size")
		c := &Call{PromptTokens: rapid.Int64Range(0, most).Draw(t, "prompt"), MaxOutputTokens: rapid.Int64Range(0, most).Draw(t, "output")}
		got, verdict := cost.linear.at(c.PromptTokens, c.MaxOutputTokens)
		parsed, err := parser.ParseExpr(source)
		if err != nil {
			t.Fatal(err)
		}
		exact, size := exactly(parsed, c)
		slack := math.Inf(1)
		if size != nil {
			slack = slackOf(exact, size)
		}
		if verdict == fine { // whatever CEL says
			off := math.Inf(1)
			if exact != nil {
				off, _ = new(big.Rat).Sub(new(big.Rat).SetInt64(got), exact).Float64()
			}
			if cost.linear.double && (off < -slack || off > 1+slack) || !cost.linear.double && off != 0 {
				t.Fatalf("%s of %d, %d: plain Go says %d, exactly it is %v", source, c.PromptTokens, c.MaxOutputTokens, got, exact)
			}
		}
		v, _, err := program.Eval(&activation{call: c})
		if err != nil {
			return // half-way: plain Go may still know the sum
		}
		want, wantVerdict := fromCEL(v)
		compared++
		if f, ok := v.(types.Double); ok {
			// Doubles may differ in their last digits, by which terms were added first.
			if verdict == wantVerdict && closeTo(got, want, slack) || nearEdge(float64(f), slack) {
				return
			}
		}
		if got != want || verdict != wantVerdict {
			t.Fatalf("%s of %d, %d: plain Go says %d (%d), CEL %d (%d)", source, c.PromptTokens, c.MaxOutputTokens, got, verdict, want, wantVerdict)
		}
	})
	if linearOnes == 0 || compared == 0 {
		t.Errorf("the law was not tried: %d linear costs, %d compared", linearOnes, compared)
	}
}

// exactly works a cost out in fractions, as CEL's arithmetic reads like Go's, and beside it the same with all signs positive: that bounds every sum
// on the way, and so the error of adding doubles in another order. Both are nil where something is divided by zero.
func exactly(e ast.Expr, c *Call) (value, size *big.Rat) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return exactly(e.X, c)
	case *ast.Ident:
		n := new(big.Rat).SetInt64(map[string]int64{"prompt_tokens": c.PromptTokens, "max_output_tokens": c.MaxOutputTokens}[e.Name])
		return n, n
	case *ast.BasicLit:
		n, _ := new(big.Rat).SetString(e.Value)
		return n, n
	case *ast.UnaryExpr:
		if value, size = exactly(e.X, c); value != nil {
			value = new(big.Rat).Neg(value)
		}
		return value, size
	}
	b := e.(*ast.BinaryExpr)
	x, xs := exactly(b.X, c)
	y, ys := exactly(b.Y, c)
	if x == nil || y == nil {
		return nil, nil
	}
	r := func() *big.Rat { return new(big.Rat) }
	switch b.Op {
	case token.ADD:
		return r().Add(x, y), r().Add(xs, ys)
	case token.SUB:
		return r().Sub(x, y), r().Add(xs, ys)
	case token.MUL:
		return r().Mul(x, y), r().Mul(xs, ys)
	}
	if y.Sign() == 0 {
		return nil, nil
	}
	return r().Quo(x, y), r().Quo(xs, ys)
}

// slackOf is how far a double may be off: some twenty roundings of what is summed up on the way, and that whole() takes what is within 10^-12 of a
// whole number for that number.
func slackOf(exact, size *big.Rat) float64 {
	of, _ := exact.Float64()
	most, _ := size.Float64()
	return 1e-9 + 1e-14*most + 1e-12*math.Abs(of)
}

// closeTo: where doubles hold what is behind the point, rounding up makes the same of both.
func closeTo(got, want int64, slack float64) bool {
	return got == want || float64(max(got-want, want-got)) <= 1+slack && slack > 1e-5
}

// nearEdge reports whether a result is so near to the ends of what is allowed that the order of
// additions decides.
func nearEdge(f, slack float64) bool {
	return f < slack && f > -slack || f > float64(ledger.MaxTokens)-slack && f < float64(ledger.MaxTokens)+slack
}

// TestPriceLaw: the price is exact, rounded up.
func TestPriceLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, int64(ledger.MaxTokens)).Draw(t, "n")
		ppm := rapid.Int64Range(1, maxPrice*million).Draw(t, "ppm")
		got, v := priced(n, ppm)
		exact := new(big.Int).Mul(big.NewInt(n), big.NewInt(ppm))
		exact.Add(exact, big.NewInt(million-1)).Quo(exact, big.NewInt(million))
		if exact.Cmp(big.NewInt(int64(ledger.MaxTokens))) > 0 {
			if v != tooLarge {
				t.Fatalf("%d at %d ppm: %d, exactly it is %s", n, ppm, got, exact)
			}
		} else if v != fine || exact.Int64() != got {
			t.Fatalf("%d at %d ppm: %d (%d), exactly it is %s", n, ppm, got, v, exact)
		}
	})
}

// TestResolveLaw: an instance's identity says which it is, whatever bytes its values hold.
func TestResolveLaw(t *testing.T) {
	p := mustParse(t, matching)
	b, _ := p.Budget("open")
	rapid.Check(t, func(t *rapid.T) {
		values := []string{rapid.StringN(1, 20, 60).Draw(t, "run"), string(rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "agent"))}
		charter := ledger.CharterID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "charter"))
		id, err := b.Instance(charter, values)
		if err != nil {
			return
		}
		if got, back, ok := p.Resolve(charter, id); !ok || got != b || !reflect.DeepEqual(back, values) {
			t.Fatalf("%q became %s became %q (%v)", values, id, back, ok)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(Starter())
	f.Add(Default().Source())
	f.Add([]byte(matching))
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		for _, src := range files(f, pattern) {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := Parse("p.yaml", src)
		if err != nil {
			if p != nil || len(err.Error()) > 64<<10 {
				t.Fatalf("a policy with an error, or an endless one: %.200s", err)
			}
			if p, err := ParseNewer("p.yaml", src); (p == nil) == (err == nil) { // what a peer says, of a later version perhaps
				t.Fatalf("%v and the error %v", p, err)
			}
			return
		}
		again, err := Parse("p.yaml", p.Source())
		if err != nil || again.Hash() != p.Hash() {
			t.Fatalf("the source of a policy is another policy: %v", err)
		}
		Check(p)
		c := &Call{Tenant: "t", Agent: "a", Run: "r", Model: "m", PromptTokens: 5, MaxOutputTokens: 5, Attributes: map[string]string{"team": "x"}}
		p.Key(c)
		plan, err := p.Match(c)
		if err != nil {
			return
		}
		for i := range plan.Draws {
			d := &plan.Draws[i]
			if n, err := d.Amount(c); n < 0 || n > ledger.MaxTokens || err != nil && n != 0 {
				t.Fatalf("%s costs %d, %v", d.Cost, n, err)
			}
			if _, err := d.Instance(ledger.CharterID{1}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
