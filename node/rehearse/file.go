package rehearse

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// File is a list of calls with what a policy should decide on them.
type File struct {
	Policy    string   // the policy's file, as the document names it; "" for the one beside
	Zone      string   // of the node that decides
	Upstreams []string // that it can send calls to; nil for all
	Tests     []Test
}

// Test is one call.
type Test struct {
	Name   string
	Pos    document.Pos
	Used   []Used
	Call   admit.Request
	Expect Expect
}

// Used is what of an instance is spent before the call.
type Used struct {
	Instance string
	Amount   ledger.Tokens
	PPM      int64 // of its limit, instead of Amount; -1 if Amount says it
}

// Expect is what should come out. What is "" or nil may be anything.
type Expect struct {
	Decision, Code, Class, Upstream, Model, Reason string
	MaxOutput                                      int64
	Rules                                          []string
	Flags                                          []string                 // all that are on
	Experiment                                     string                   // "small-model=mini"; "none"
	Reserved                                       map[string]ledger.Tokens // by instance, all of them
}

// Bounds of a file.
const (
	MaxTests  = 1024
	maxValues = 64
)

var fileShape = &document.Shape{Name: "the test file", Fields: []document.Field{
	{Name: "policy", Doc: "The policy's file, beside this one. Default: the name of this file without .test."},
	{Name: "zone", Doc: "The zone of the node that decides. Default: none."},
	{Name: "upstreams", Doc: "The upstreams that the node can send calls to. Default: all of the policy."},
	{Name: "tests", Required: true, Doc: "Calls, with what should be decided on them."},
}}

var testShape = &document.Shape{Name: "a test", Fields: []document.Field{
	{Name: "name", Required: true, Doc: "What it is about."},
	{Name: "used", Doc: "What is spent already, by instance: {gpu-pool: 95%, tenant-day/search: 9M}."},
	{Name: "call", Required: true, Doc: "The call, by the fields of POST /v1/admit."},
	{Name: "expect", Required: true, Doc: "What should be decided."},
}}

var callShape = &document.Shape{Name: "a call", Fields: []document.Field{
	{Name: "tenant"}, {Name: "agent"}, {Name: "run"}, {Name: "class"}, {Name: "model"}, {Name: "priority"}, {Name: "prompt_tokens"},
	{Name: "max_output_tokens"}, {Name: "tokens"}, {Name: "data"}, {Name: "attributes"}, {Name: "wait"},
}}

var expectShape = &document.Shape{Name: "what is expected", Fields: []document.Field{
	{Name: "decision", Doc: "admit, degrade, defer, deny or error."},
	{Name: "code"}, {Name: "class"}, {Name: "rules"}, {Name: "reserved"}, {Name: "upstream"}, {Name: "model"}, {Name: "max_output_tokens"}, {Name: "reason"},
	{Name: "flags", Doc: "All that are on for the call."}, {Name: "experiment", Doc: "In which it takes part, and its arm: small-model=mini; none."},
}}

const failed = "error"

var decisions = []string{admit.Admit.String(), admit.Degrade.String(), admit.Defer.String(), admit.Deny.String(), failed}

type decoder struct{ document.Decoder }

// Parse reads a file. The error is a *document.Errors with every mistake.
func Parse(name string, src []byte) (*File, error) {
	d := &decoder{document.Decoder{File: name, Noun: "test file", Start: "start with tests: and a list of them"}}
	_, root := d.Open(src)
	if root == nil {
		return nil, d.Err()
	}
	f := &File{}
	m := d.Mapping(root, fileShape)
	d.text(m["policy"], "policy", &f.Policy)
	d.text(m["zone"], "zone", &f.Zone)
	f.Upstreams = d.list(m["upstreams"], "upstreams")
	if n := m["tests"]; n != nil {
		for _, item := range d.Items(n, "tests", "write a list of tests", MaxTests) {
			f.Tests = append(f.Tests, d.test(item))
		}
	}
	if err := d.Err(); err != nil {
		return nil, err
	}
	return f, nil
}

func (d *decoder) text(n *yaml.Node, what string, into *string) {
	if n != nil {
		if s, ok := d.Text(n, what); ok {
			*into = s
		}
	}
}

func (d *decoder) list(n *yaml.Node, what string) (list []string) {
	if n == nil {
		return nil
	}
	list = []string{}
	if document.Deref(n).Kind == yaml.SequenceNode && len(document.Deref(n).Content) == 0 {
		return list
	}
	for _, item := range d.Items(n, what, "write a list", maxValues) {
		if s, ok := d.Text(item, what); ok {
			list = append(list, s)
		}
	}
	return list
}

func (d *decoder) amount(n *yaml.Node, what string, into *int64) {
	if n != nil {
		if v, ok := d.Amount(n, what); ok {
			*into = int64(v)
		}
	}
}

func (d *decoder) entries(n *yaml.Node, what string) []document.Entry {
	if n == nil {
		return nil
	}
	list := d.Entries(n, what, "write them by name")
	if len(list) > maxValues {
		d.Report(n, "", "%s has %d entries, at most %d are allowed", what, len(list), maxValues)
		return nil
	}
	return list
}

func (d *decoder) test(n *yaml.Node) (t Test) {
	t.Pos = d.Pos(document.Deref(n))
	m := d.Mapping(n, testShape)
	d.text(m["name"], "name", &t.Name)
	for _, e := range d.entries(m["used"], "used") {
		u := Used{Instance: e.Key.Value, PPM: -1}
		if s, ok := d.Scalar(e.Value, "used", "write an amount, or a part of the limit as in 95%"); ok && strings.HasSuffix(s, "%") {
			u.PPM, _ = d.Percent(e.Value, "used")
		} else if ok {
			u.Amount, _ = d.Amount(e.Value, "used")
		}
		t.Used = append(t.Used, u)
	}
	if c := m["call"]; c != nil {
		d.call(&t.Call, c)
	}
	if x := m["expect"]; x != nil {
		d.expect(&t.Expect, x)
	}
	return t
}

func (d *decoder) call(r *admit.Request, n *yaml.Node) {
	m := d.Mapping(n, callShape)
	r.Wait = admit.UseClassDefault
	d.text(m["tenant"], "tenant", &r.Tenant)
	d.text(m["agent"], "agent", &r.Agent)
	d.text(m["run"], "run", &r.Run)
	d.text(m["class"], "class", &r.Class)
	d.text(m["model"], "model", &r.Model)
	d.amount(m["prompt_tokens"], "prompt_tokens", &r.PromptTokens)
	d.amount(m["max_output_tokens"], "max_output_tokens", &r.MaxOutputTokens)
	if p := m["priority"]; p != nil {
		r.Priority = d.Boolean(p, "priority")
	}
	for _, e := range d.entries(m["tokens"], "tokens") {
		if v, ok := d.Amount(e.Value, "tokens"); ok {
			r.Tokens = append(r.Tokens, policy.Amount{Token: e.Key.Value, Amount: v})
		}
	}
	r.Data = d.list(m["data"], "data")
	for _, e := range d.entries(m["attributes"], "attributes") {
		if r.Attributes == nil {
			r.Attributes = map[string]string{}
		}
		if s, ok := d.Text(e.Value, "attributes"); ok {
			r.Attributes[e.Key.Value] = s
		}
	}
	if w := m["wait"]; w != nil {
		if s, ok := d.Scalar(w, "wait", "write it as in 250ms"); ok && s == "0s" {
			r.Wait = 0
		} else if ok {
			r.Wait, _ = d.Duration(w, "wait")
		}
	}
}

func (d *decoder) expect(x *Expect, n *yaml.Node) {
	m := d.Mapping(n, expectShape)
	if len(m) == 0 {
		d.Report(n, "write decision: admit", "nothing is expected, so nothing can fail")
	}
	d.text(m["decision"], "decision", &x.Decision)
	if x.Decision != "" && !slices.Contains(decisions, x.Decision) {
		d.Report(document.Deref(m["decision"]), "write one of "+strings.Join(decisions, ", "), "decision cannot be %q", document.Clip(x.Decision))
	}
	d.text(m["code"], "code", &x.Code)
	d.text(m["class"], "class", &x.Class)
	d.text(m["upstream"], "upstream", &x.Upstream)
	d.text(m["model"], "model", &x.Model)
	d.text(m["reason"], "reason", &x.Reason)
	d.amount(m["max_output_tokens"], "max_output_tokens", &x.MaxOutput)
	x.Rules = d.list(m["rules"], "rules")
	x.Flags = d.list(m["flags"], "flags")
	d.text(m["experiment"], "experiment", &x.Experiment)
	if r := m["reserved"]; r != nil {
		x.Reserved = map[string]ledger.Tokens{}
		if k := document.Deref(r); k.Kind == yaml.MappingNode && len(k.Content) == 0 {
			return // nothing at all
		}
		for _, e := range d.entries(r, "reserved") {
			if v, ok := d.Amount(e.Value, "reserved"); ok {
				x.Reserved[e.Key.Value] = v
			}
		}
	}
}

// Outcome is what became of a test: no Wrong is right.
type Outcome struct {
	Name     string
	Pos      document.Pos
	Decision string // what was decided
	Reason   string
	Wrong    []string
}

// Run runs the tests of a file, each on a stage of its own.
func (f *File) Run(p *policy.Policy) []Outcome {
	reach := f.Upstreams
	if reach == nil {
		for _, u := range p.Upstreams() {
			reach = append(reach, u.Name)
		}
	}
	list := make([]Outcome, 0, len(f.Tests))
	for i := range f.Tests {
		list = append(list, f.Tests[i].run(New(p, f.Zone, reach)))
	}
	return list
}

func (t *Test) run(s *Stage) Outcome {
	o := Outcome{Name: t.Name, Pos: t.Pos}
	wrong := func(format string, args ...any) { o.Wrong = append(o.Wrong, fmt.Sprintf(format, args...)) }
	for _, u := range t.Used {
		n := u.Amount
		if u.PPM >= 0 {
			_, spec, err := s.Instance(u.Instance)
			if err != nil {
				wrong("used: %v", err)
				return o
			}
			n = ledger.Part(spec.Amount, u.PPM)
		}
		if n > 0 {
			if err := s.Spend(u.Instance, n); err != nil {
				wrong("used: %v", err)
				return o
			}
		}
	}
	if len(t.Used) > 0 {
		s.Until(s.Now() + 1100) // what is left is looked at once a second
	}
	r := t.Call
	d, err := s.Decide(&r)
	var call *policy.CallError
	var rule *policy.RuleError
	switch {
	case err == nil:
		o.Decision, o.Reason = d.Verdict.String(), d.Reason
	case errors.As(err, &call), errors.As(err, &rule), errors.Is(err, admit.ErrInvalid):
		o.Decision, o.Reason = failed, err.Error()
	default:
		wrong("%v", err)
		return o
	}
	same := func(what, got, want string) {
		if want != "" && got != want {
			wrong("%s is %s, expected %s", what, quote(got), quote(want))
		}
	}
	x := &t.Expect
	same("decision", o.Decision, x.Decision)
	same("code", d.Code, x.Code)
	same("class", d.Class, x.Class)
	upstream, model, most := "", "", int64(0)
	if d.Upstream != nil {
		upstream = d.Upstream.Name
	}
	if d.Advice != nil {
		model, most = d.Advice.Model, d.Advice.MaxOutputTokens
	}
	experiment := "none"
	if d.Experiment != "" {
		experiment = d.Experiment + "=" + d.ExperimentArm
	}
	same("experiment", experiment, x.Experiment)
	if x.Flags != nil && !slices.Equal(d.Flags, x.Flags) {
		wrong("flags are %s, expected %s", quote(strings.Join(d.Flags, ", ")), quote(strings.Join(x.Flags, ", ")))
	}
	same("upstream", upstream, x.Upstream)
	same("model", model, x.Model)
	if x.MaxOutput > 0 && most != x.MaxOutput {
		wrong("max_output_tokens is %d, expected %d", most, x.MaxOutput)
	}
	if !strings.Contains(o.Reason, x.Reason) {
		wrong("the reason does not say %q", x.Reason)
	}
	if x.Rules != nil && !slices.Equal(d.Rules, x.Rules) {
		wrong("rules are %s, expected %s", strings.Join(d.Rules, ", "), strings.Join(x.Rules, ", "))
	}
	if x.Reserved != nil {
		got := map[string]ledger.Tokens{}
		for _, c := range d.Reserved {
			got[c.Instance.Name()] = c.Amount
		}
		if !maps.Equal(got, x.Reserved) {
			wrong("reserved is %s, expected %s", amounts(got), amounts(x.Reserved))
		}
	}
	return o
}

func quote(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func amounts(m map[string]ledger.Tokens) string {
	parts := []string{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
