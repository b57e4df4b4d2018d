package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// expr is a compiled expression.
type expr struct {
	source  string
	pos     Pos
	program cel.Program
	checked *ast.AST
	reads   reads
}

// reads is what an expression, or a whole policy, looks at in a call.
type reads struct {
	fields   [len5]bool // fieldTenant … fieldModel
	attrs    []string   // attributes looked at by name, sorted
	data     bool
	counts   bool // prompt_tokens, max_output_tokens
	points   bool // priority
	parts    bool // cached_tokens, reasoning_tokens
	tokens   bool
	whole    bool     // attributes as a whole
	flags    []string // by name, sorted
	allFlags bool     // flags as a whole
}

const len5 = fieldModel + 1

func (r *reads) add(o reads) {
	for i, yes := range o.fields {
		r.fields[i] = r.fields[i] || yes
	}
	r.attrs = append(r.attrs, o.attrs...)
	slices.Sort(r.attrs)
	r.attrs = slices.Compact(r.attrs)
	r.data = r.data || o.data
	r.counts = r.counts || o.counts
	r.tokens = r.tokens || o.tokens
	r.whole = r.whole || o.whole
	r.flags = append(r.flags, o.flags...)
	slices.Sort(r.flags)
	r.flags = slices.Compact(r.flags)
}

// compile parses and checks the expression in n, and reports mistakes at their place in the file.
// wants is cel.BoolType for conditions, and nil for numbers.
func (d *decoder) compile(n *yaml.Node, what, source string, wants *cel.Type) *expr {
	n = document.Deref(n)
	celenv, err := celEnv()
	if err != nil {
		panic(compileError(err))
	}
	if len(source) > MaxExpr {
		d.Report(n, "", "%s has %d bytes, at most %d are allowed", what, len(source), MaxExpr)
		return nil
	}
	if strings.TrimSpace(source) == "" {
		d.Report(n, "write a CEL expression", "%s is empty", what)
		return nil
	}
	checked, issues := celenv.Compile(source)
	if err := issues.Err(); err != nil {
		const most = 3
		for i, e := range issues.Errors() {
			if i == most {
				break
			}
			message, advice := celMessage(e.Message)
			d.ErrAt(d.within(n, source, e.Location.Line(), e.Location.Column()), advice, "%s: %s", what, message)
		}
		return nil
	}
	rep := checked.NativeRep()
	e := &expr{source: source, pos: d.Pos(n), checked: rep, reads: readsOf(rep.Expr())}
	out := checked.OutputType()
	for _, name := range e.reads.flags {
		if !slices.Contains(d.flags, name) {
			advice := document.DidYouMean(name, d.flags)
			if advice == "" {
				advice = "declare it under flags"
			}
			d.Report(n, advice, "%s: there is no flag %q", what, document.Clip(name))
			return nil
		}
	}
	switch {
	case e.reads.allFlags:
		d.Report(n, "name one, as in flags.dynamic_pricing", "%s looks at all flags at once", what)
		return nil
	case wants != nil && e.reads.parts:
		d.Report(n, "let costs look at them", "%s looks at %s or %s, which are known only when a call has ended", what, cachedTokens, reasoningTokens)
		return nil
	case wants != nil && !out.IsExactType(wants):
		d.Report(n, "compare something, as in model == \"gpt-4o\"", "%s must be true or false, but is %s", what, typeName(out))
		return nil
	case wants == nil && !out.IsExactType(cel.IntType) && !out.IsExactType(cel.DoubleType):
		d.Report(n, "write a number, as in prompt_tokens + 3 * max_output_tokens", "%s must be a number, but is %s", what, typeName(out))
		return nil
	}
	if estimate, err := celenv.EstimateCost(checked, sizes{}); err != nil || estimate.Max > celCost {
		d.Report(n, "look at single attributes instead of searching in all, and do not nest all, exists, map and filter",
			"%s could cost %d steps, at most %d are allowed", what, estimate.Max, celCost)
		return nil
	}
	// The estimate bounds the cost already; the limit is the second lock on the same door.
	if e.program, err = celenv.Program(checked, cel.CostLimit(celCost), cel.EvalOptions(cel.OptOptimize)); err != nil {
		d.Report(n, "", "%s: %s", what, document.OneLine(err.Error()))
		return nil
	}
	return e
}

func typeName(t *cel.Type) string {
	s := t.String()
	switch s {
	case "int", "double", "uint":
		return "a number (" + s + ")"
	case "string":
		return "text (string)"
	case "bool":
		return "true or false (bool)"
	case "dyn":
		return "of a type known only at run time (dyn)"
	}
	return "of type " + s
}

// celMessage says the compiler's commonest messages in the words of people who write policies.
func celMessage(message string) (text, advice string) {
	message = document.OneLine(strings.ReplaceAll(message, " (in container '')", ""))
	if rest, ok := strings.CutPrefix(message, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		return fmt.Sprintf("%q is neither a variable nor a function", name), document.DidYouMean(name, variableNames())
	}
	if rest, ok := strings.CutPrefix(message, "found no matching overload for '"); ok {
		function, args, ok := strings.Cut(rest, "' applied to '")
		if ok {
			if strings.Contains(args, "int") && strings.Contains(args, "double") {
				advice = "write both numbers with a point, as in 2.0, or use double(…)"
			}
			function = strings.NewReplacer("_?_:_", "? :", "_", "", "@", "").Replace(function)
			return fmt.Sprintf("%s does not take %s", function, strings.TrimSuffix(args, "'")), advice
		}
	}
	if rest, ok := strings.CutPrefix(message, "Syntax error: "); ok {
		// What could stand there instead is most of the grammar.
		if at := strings.Index(rest, " expecting {"); at >= 0 {
			rest = rest[:at]
		}
		return "syntax error: " + strings.ReplaceAll(rest, "'<EOF>'", "end of the expression"), ""
	}
	return message, ""
}

// within finds the place in the file of a place in an expression (line from 1, column from 0, in
// characters), whatever way the expression is quoted or folded: it walks text and file side by side,
// looking only at what is not white space. When they part (escapes), it is the expression's start.
func (d *decoder) within(n *yaml.Node, source string, line, column int) Pos {
	target := 0
	lines := strings.Split(source, "\n")
	for i := 0; i < line-1 && i < len(lines); i++ {
		target += len([]rune(lines[i])) + 1
	}
	target += column
	text := []rune(source)
	target = min(max(target, 0), len(text))

	row, col := n.Line-1, n.Column-1 // of the file, from 0
	if row < 0 || row >= len(d.Lines) {
		return d.Pos(n)
	}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		row, col = row+1, 0
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		col++
	}
	at := d.At(n.Line, n.Column)
	var current []rune
	if row < len(d.Lines) {
		current = []rune(d.Lines[row])
	}
	next := func() (rune, bool) { // the next character of the file that is not white space
		for row < len(d.Lines) {
			for col < len(current) {
				if c := current[col]; !unicode.IsSpace(c) {
					return c, true
				}
				col++
			}
			if row++; row < len(d.Lines) {
				current, col = []rune(d.Lines[row]), 0
			}
		}
		return 0, false
	}
	for i, want := range text {
		if i >= target && !unicode.IsSpace(want) {
			break
		}
		if unicode.IsSpace(want) {
			continue
		}
		c, ok := next()
		if !ok || c != want {
			return d.Pos(n)
		}
		col++
		at = d.At(row+1, col+1) // just after, for mistakes at the end
	}
	if target < len(text) {
		if rest := strings.TrimSpace(string(text[target:])); rest != "" {
			if c, ok := next(); ok && c == []rune(rest)[0] {
				return d.At(row+1, col+1)
			}
		}
	}
	return at
}

// readsOf finds what an expression looks at. Names that a macro binds (data.all(x, …)) may hide a
// variable; then this sees more than there is, which only makes keys longer.
func readsOf(e ast.Expr) reads {
	var r reads
	named := map[int64]bool{} // the identifiers `attributes` and `flags` that stand before a name
	attribute := func(e ast.Expr, name string) bool {
		switch {
		case e.Kind() != ast.IdentKind:
			return false
		case e.AsIdent() == "attributes":
			r.attrs = append(r.attrs, name)
		case e.AsIdent() == flagsVariable:
			r.flags = append(r.flags, name)
		default:
			return false
		}
		named[e.ID()] = true
		return true
	}
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			attribute(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case ast.CallKind:
			call := e.AsCall()
			if len(call.Args()) != 2 {
				return
			}
			in, key := call.Args()[0], call.Args()[1]
			if call.FunctionName() == operators.In {
				in, key = key, in
			} else if call.FunctionName() != operators.Index {
				return
			}
			if key.Kind() == ast.LiteralKind {
				if s, ok := key.AsLiteral().(types.String); ok {
					attribute(in, string(s))
				}
			}
		case ast.IdentKind:
			switch id := e.AsIdent(); id {
			case "prompt_tokens", "max_output_tokens":
				r.counts = true
			case "priority":
				r.points = true
			case cachedTokens, reasoningTokens:
				r.parts = true
			case "data":
				r.data = true
			case "tokens":
				r.tokens = true
			case "attributes":
				r.whole = r.whole || !named[e.ID()]
			case flagsVariable:
				r.allFlags = r.allFlags || !named[e.ID()]
			default:
				if i := slices.Index(fieldNames, id); i >= 0 {
					r.fields[i] = true
				}
			}
		}
	}))
	slices.Sort(r.attrs)
	r.attrs = slices.Compact(r.attrs)
	slices.Sort(r.flags)
	r.flags = slices.Compact(r.flags)
	return r
}

// eval evaluates, with what CEL says in one line. The program is shared; evaluation is not.
func (e *expr) eval(a *activation) (ref.Val, error) {
	v, _, err := e.program.Eval(a)
	if err != nil {
		message := document.OneLine(err.Error())
		if key, ok := strings.CutPrefix(message, "no such key: "); ok {
			where, what := "attributes", "attribute"
			if e.reads.tokens && !slices.Contains(e.reads.attrs, key) {
				where, what = "tokens", "stated amount"
			}
			return nil, fmt.Errorf("the call has no %s %q; where it may be missing, ask for %q in %s first", what, key, key, where)
		}
		return nil, errors.New(message)
	}
	return v, nil
}

// always reports whether a condition is the word true.
func (e *expr) always() bool {
	return e.checked.Expr().Kind() == ast.LiteralKind && e.checked.Expr().AsLiteral() == types.True
}

func sortStrings(keys []ref.Val) {
	slices.SortFunc(keys, func(a, b ref.Val) int {
		x, _ := a.(types.String)
		y, _ := b.(types.String)
		return strings.Compare(string(x), string(y))
	})
}
