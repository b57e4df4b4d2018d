package scenario

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// faultFields are the fields that go with some kinds of faults only.
var faultFields = map[string][]FaultKind{
	"one_way": {Partition}, "lose_disk": {Crash}, "stagger": {Crash, Pause, Join, Leave}, "by": {Clock},
	"loss": {Link}, "delay": {Link, DiskSlow}, "revision": {Revise}, "act": {Revise}, "instance": {Freeze}, "tenant": {Freeze}, "agent": {Freeze},
	"budget": {Mint, Burn}, "key": {Mint, Burn}, "tokens": {Mint, Burn},
	"for":      {Partition, Crash, Pause, Clock, Link, DiskSlow, DiskFail, Leave, Freeze},
	"zone":     {Partition, Crash, Pause, Clock, Link, DiskSlow, DiskFail, Leave, Revise, Freeze, Mint, Burn},
	"fraction": {Partition, Crash, Pause, Clock, Link, DiskSlow, DiskFail, Leave},
	"nodes":    {Partition, Crash, Pause, Clock, Link, DiskSlow, DiskFail, Leave, Revise, Freeze, Mint, Burn},
}

func (d *decoder) faults(s *Scenario, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, item := range d.Items(n, "faults", "write a list of faults, or leave the field out", MaxFaults) {
		if f := d.Mapping(item, faultShape); f != nil {
			s.Faults = append(s.Faults, d.fault(s, document.Deref(item), f))
		}
	}
}

func (d *decoder) fault(s *Scenario, item *yaml.Node, f map[string]*yaml.Node) (v Fault) {
	known := false
	if n := f["kind"]; n != nil {
		text, ok := d.Text(n, "kind")
		v.Kind = FaultKind(text)
		if known = ok && slices.Contains(FaultKinds, v.Kind); ok && !known {
			d.Report(document.Deref(n), document.DidYouMean(text, names(FaultKinds)), "unknown kind of fault %q", document.Clip(text))
		}
	}
	for _, field := range faultShape.Fields {
		kinds := faultFields[field.Name]
		if n := f[field.Name]; known && n != nil && kinds != nil && !slices.Contains(kinds, v.Kind) {
			d.Report(document.Deref(n), "leave it out", "%s does not go with kind %s", field.Name, v.Kind)
		}
	}
	v.Skip = d.truth(f["skip"], "skip")
	within := s.Duration
	if v.Skip { // it may stand beyond a duration that was cut
		within = MaxDuration
	}
	v.At = d.span(f["at"], "at", 0, within, 0)
	if n := f["at"]; n != nil && v.At == s.Duration && !v.Skip {
		d.Report(document.Deref(n), "", "at is %v, but nothing goes wrong any more from duration on", v.At)
	}
	v.For = d.span(f["for"], "for", 0, MaxDuration, 0)
	d.where(s, &v, item, f)
	v.Every = d.span(f["every"], "every", 0, MaxDuration, 0)
	v.Until = d.span(f["until"], "until", 0, within, 0)
	if n := f["until"]; n != nil && v.Every == 0 {
		d.Report(document.Deref(n), "add every, or leave it out", "until says how long a fault goes on again and again")
	}
	v.OneWay, v.LoseDisk = d.truth(f["one_way"], "one_way"), d.truth(f["lose_disk"], "lose_disk")
	v.Stagger = d.span(f["stagger"], "stagger", 0, MaxDuration, 0)
	v.Loss = d.fraction(f["loss"], "loss")
	if n := f["delay"]; n != nil {
		v.Delay = d.exact(n, "delay")
	}
	if n := f["by"]; n != nil {
		v.By = d.shift(n, "by")
	}
	need := func(name string) {
		field, _ := faultShape.Find(name)
		d.Report(item, "add "+name+": "+document.LowerFirst(field.Doc), "a fault of kind %s needs the field %q", v.Kind, name)
	}
	switch {
	case v.Kind == Clock && f["by"] == nil:
		need("by")
	case v.Kind == DiskSlow && f["delay"] == nil:
		need("delay")
	case v.Kind == Link && f["loss"] == nil && f["delay"] == nil:
		need("loss")
	case v.Kind == Revise:
		d.revise(s, &v, item, f)
	case v.Kind == Freeze:
		for _, x := range []struct {
			name string
			into *string
		}{{"instance", &v.Freeze.Instance}, {"tenant", &v.Freeze.Tenant}, {"agent", &v.Freeze.Agent}} {
			if n := f[x.name]; n != nil {
				*x.into, _ = d.Text(n, x.name)
			}
		}
		if err := v.Freeze.Valid(); err != nil {
			d.Report(item, "as in tenant: runaway", "a fault of kind freeze: %v", err)
		}
	case v.Kind.amounts():
		for _, name := range []string{"budget", "tokens"} {
			if f[name] == nil {
				need(name)
				return v
			}
		}
		d.amounts(s, &v, item, f)
	}
	return v
}

// amounts reads what is topped up or burned, of an instance that some revision has.
func (d *decoder) amounts(s *Scenario, v *Fault, item *yaml.Node, f map[string]*yaml.Node) {
	v.Budget, _ = d.Text(f["budget"], "budget")
	v.Tokens, _ = d.Amount(f["tokens"], "tokens")
	if n := f["key"]; n != nil {
		for _, item := range d.Items(n, "key", "write a list of values, as in [search]", policy.MaxPer) {
			value, _ := d.Text(item, "a value of the key")
			v.Key = append(v.Key, value)
		}
	}
	var b *policy.Budget
	var known []string
	for _, p := range s.Policies {
		for _, x := range p.Budgets() {
			if known = append(known, x.Name); x.Name == v.Budget {
				b = x
			}
		}
	}
	switch {
	case len(s.Policies) == 0:
	case b == nil:
		d.Report(document.Deref(f["budget"]), document.DidYouMean(v.Budget, known), "there is no budget %q", document.Clip(v.Budget))
	case b.Spec.Kind != ledger.Grant && b.Spec.Kind != ledger.Windowed:
		d.Report(document.Deref(f["budget"]), "", "budget %q is a %s; only grants and windows can be topped up or burned", b.Name, b.Spec.Kind)
	case len(v.Key) != len(b.Per):
		d.Report(item, "write as many values, as in key: [search]", "budget %q is per %v, so key needs %d values, not %d", b.Name, b.Per, len(b.Per), len(v.Key))
	}
}

func (d *decoder) revise(s *Scenario, v *Fault, item *yaml.Node, f map[string]*yaml.Node) {
	if n := f["act"]; n != nil {
		text, ok := d.Text(n, "act")
		switch v.Act = RevisionAct(text); {
		case !ok:
		case !slices.Contains(revisionActs, v.Act):
			d.Report(document.Deref(n), document.DidYouMean(text, names(revisionActs)), "unknown act %q", document.Clip(text))
		case v.Act == revisionActs[0]:
			v.Act = ""
		}
	}
	n, most := f["revision"], len(s.Policies)-1
	switch {
	case v.Act != "":
		if n != nil {
			d.Report(document.Deref(n), "leave it out", "revision does not go with act %s, which is about what is in force", document.Clip(string(v.Act)))
		}
	case n == nil && most == 1:
		v.Policy = 1
	case n == nil:
		d.Report(item, "add revision: which of revisions, from 1 on", "a fault of kind revise needs the field %q", "revision")
	default:
		v.Policy = d.whole(n, "revision", 1, maxRevisions, 0)
		if len(s.Policies) > 0 && v.Policy > most {
			d.Report(document.Deref(n), "add it to revisions", "there is no revision %d, there are %d", v.Policy, most)
		}
	}
}

// where reads at which nodes it happens.
func (d *decoder) where(s *Scenario, v *Fault, item *yaml.Node, f map[string]*yaml.Node) {
	v.Zone = d.zone(s, f["zone"])
	v.Fraction = d.fraction(f["fraction"], "fraction")
	v.Count = d.whole(f["count"], "count", 1, MaxNodes, 0)
	if n := f["nodes"]; n != nil {
		for _, item := range d.Items(n, "nodes", "write a list of numbers from 0, as in [0, 3]", maxNodeList) {
			// Nodes that join have the numbers after those of the start.
			v.Nodes = append(v.Nodes, d.whole(item, "a node's number", 0, MaxNodes-1, 0))
		}
	}
	var given []string
	for _, name := range []string{"fraction", "count", "nodes"} {
		if f[name] != nil {
			given = append(given, name)
		}
	}
	if f["zone"] != nil && f["nodes"] != nil {
		given = []string{"zone", "nodes"}
	}
	if len(given) > 1 {
		d.Report(item, "leave all but one out", "a fault says by %s where it happens", strings.Join(given, " and by "))
	}
}
