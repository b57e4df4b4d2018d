package policy

import (
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// variables are what expressions see, in the order in which the documentation lists them.
var variables = []struct {
	name string
	is   *cel.Type
}{
	{"tenant", cel.StringType},
	{"agent", cel.StringType},
	{"run", cel.StringType},
	{"class", cel.StringType},
	{"model", cel.StringType},
	{"priority", cel.BoolType},
	{"prompt_tokens", cel.IntType},
	{"max_output_tokens", cel.IntType},
	{cachedTokens, cel.IntType},
	{reasoningTokens, cel.IntType},
	{"attributes", cel.MapType(cel.StringType, cel.StringType)},
	{"data", cel.ListType(cel.StringType)},
	{"tokens", cel.MapType(cel.StringType, cel.IntType)},
	{flagsVariable, cel.MapType(cel.StringType, cel.BoolType)},
}

// flagsVariable holds whether each flag is on for the call, by name.
const flagsVariable = "flags"

// What a call's counts are made of. Only costs see them: they are known when the call has ended.
const (
	cachedTokens    = "cached_tokens"    // of prompt_tokens, what the provider had cached
	reasoningTokens = "reasoning_tokens" // of max_output_tokens, what the model thought
)

func variableNames() []string {
	list := make([]string, len(variables))
	for i, v := range variables {
		list[i] = v.name
	}
	return list
}

// celEnv is CEL's standard library over our variables, with one addition: arithmetic between int and
// double, which CEL leaves out and prices need all the time (2.5 * prompt_tokens).
var celEnv = sync.OnceValues(func() (*cel.Env, error) {
	arithmetic := map[string]bool{
		operators.Add: true, operators.Subtract: true, operators.Multiply: true, operators.Divide: true,
	}
	var without []*env.Function
	var mixed []*decls.FunctionDecl
	for _, f := range stdlib.Functions() { // a slice, in fixed order
		if !arithmetic[f.Name()] {
			continue
		}
		without = append(without, env.NewFunction(f.Name()))
		m, err := withMixed(f)
		if err != nil {
			return nil, err
		}
		mixed = append(mixed, m)
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: without})),
		cel.FunctionDecls(mixed...),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(MaxExpr),
		cel.ParserRecursionLimit(48),
		cel.ExpressionNodeLimit(10_000),
		cel.RegexProgramSizeLimit(1000),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.is))
	}
	return cel.NewCustomEnv(options...)
})

// withMixed is the standard operator f with the overloads (int, double) and (double, int) added.
func withMixed(f *decls.FunctionDecl) (*decls.FunctionDecl, error) {
	operate := map[string]func(a, b ref.Val) ref.Val{
		operators.Add:      func(a, b ref.Val) ref.Val { return a.(traits.Adder).Add(b) },
		operators.Subtract: func(a, b ref.Val) ref.Val { return a.(traits.Subtractor).Subtract(b) },
		operators.Multiply: func(a, b ref.Val) ref.Val { return a.(traits.Multiplier).Multiply(b) },
		operators.Divide:   func(a, b ref.Val) ref.Val { return a.(traits.Divider).Divide(b) },
	}[f.Name()]
	trait := map[string]int{
		operators.Add: traits.AdderType, operators.Subtract: traits.SubtractorType,
		operators.Multiply: traits.MultiplierType, operators.Divide: traits.DividerType,
	}[f.Name()]
	var options []decls.FunctionOpt
	for _, o := range f.OverloadDecls() {
		options = append(options, decls.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
	}
	options = append(options,
		decls.Overload(f.Name()+"int64_double", []*types.Type{types.IntType, types.DoubleType}, types.DoubleType),
		decls.Overload(f.Name()+"double_int64", []*types.Type{types.DoubleType, types.IntType}, types.DoubleType),
		decls.SingletonBinaryBinding(func(a, b ref.Val) ref.Val {
			switch x := a.(type) {
			case types.Int:
				if _, ok := b.(types.Double); ok {
					a = types.Double(x)
				}
			case types.Double:
				if y, ok := b.(types.Int); ok {
					b = types.Double(y)
				}
			}
			return operate(a, b)
		}, trait))
	return decls.NewFunction(f.Name(), options...)
}

// sizes tells CEL's cost estimate how large a call can be; Valid enforces it.
type sizes struct{}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	most := uint64(MaxFieldLen)
	switch path[0] {
	case "attributes":
		if most = MaxAttributes; len(path) > 1 {
			most = MaxAttributeLen
		}
	case "data":
		if len(path) == 1 {
			most = MaxData
		}
	case "tokens":
		if len(path) == 1 {
			most = MaxStatedTokens
		}
	case flagsVariable:
		most = MaxName
	}
	return &cost.SizeEstimate{Max: most}
}

// activation shows a call to CEL. class is resolved, so that an expression never sees "".
type activation struct {
	call   *Call
	class  string
	policy *Policy
	chosen uint64      // see Policy.chosen
	kept   *activation // what draws keep of it, once one does
}

func (a *activation) Parent() cel.Activation { return nil }

func (a *activation) ResolveName(name string) (any, bool) {
	switch name {
	case "tenant":
		return types.String(a.call.Tenant), true
	case "agent":
		return types.String(a.call.Agent), true
	case "run":
		return types.String(a.call.Run), true
	case "class":
		return types.String(a.class), true
	case "model":
		return types.String(a.call.Model), true
	case "priority":
		return types.Bool(a.call.Priority), true
	case "prompt_tokens":
		return types.Int(a.call.PromptTokens), true
	case "max_output_tokens":
		return types.Int(a.call.MaxOutputTokens), true
	case cachedTokens, reasoningTokens:
		return types.Int(0), true // only costs that are linear see them, and those are not evaluated here
	case "attributes":
		return sorted{types.NewStringStringMap(types.DefaultTypeAdapter, a.call.Attributes)}, true
	case "data":
		return types.NewStringList(types.DefaultTypeAdapter, a.call.Data), true
	case "tokens":
		stated := make(map[ref.Val]ref.Val, len(a.call.Tokens))
		for _, t := range a.call.Tokens {
			stated[types.String(t.Token)] = types.Int(t.Amount)
		}
		return sorted{types.NewRefValMap(types.DefaultTypeAdapter, stated)}, true
	}
	if name == flagsVariable {
		on := make(map[ref.Val]ref.Val, len(a.policy.flags))
		for i := range a.policy.flags {
			on[types.String(a.policy.flags[i].Name)] = types.Bool(a.chosen&(1<<i) != 0)
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, on), true
	}
	return nil, false
}

// sorted is a map that CEL iterates in the order of its keys: Go's order would show through
// attributes.map(k, k)[0]. It hides the faster ways to iterate that the map may have.
type sorted struct{ traits.Mapper }

func (s sorted) Iterator() traits.Iterator {
	keys := make([]ref.Val, 0, 8)
	for it := s.Mapper.Iterator(); it.HasNext() == types.True; {
		keys = append(keys, it.Next())
	}
	sortStrings(keys)
	return types.NewRefValList(types.DefaultTypeAdapter, keys).Iterator()
}

func compileError(err error) error { return fmt.Errorf("BUG: the CEL environment: %w", err) }
