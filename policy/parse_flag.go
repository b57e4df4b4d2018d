package policy

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// flags reads the flags, which come before the rules that look at them.
func (d *decoder) readFlags(p *Policy, n *yaml.Node) {
	list := d.Entries(n, "flags", "write flags by name, as in dynamic_pricing: {on: 25%, by: tenant}")
	if len(list) > MaxFlags {
		d.Report(list[MaxFlags].Key, "take out those that are on for all or for nobody", "there are %d flags, at most %d are allowed", len(list), MaxFlags)
		list = list[:MaxFlags]
	}
	for _, e := range list {
		if !d.NameOK(e.Key, "a flag's name", e.Key.Value) {
			continue
		}
		f := d.Mapping(e.Value, flagShape)
		if f == nil {
			continue
		}
		x := Flag{Name: e.Key.Value, pos: d.Pos(e.Key)}
		if n := f["on"]; n != nil {
			x.On, _ = d.Percent(n, "on")
		}
		x.By = cmp.Or(d.by(f["by"]), defaultBy)
		if n := f["targets"]; n != nil {
			x.Targets = d.values(n, "targets", "write values of "+x.By+", or leave the field out")
		}
		x.init()
		p.flags = append(p.flags, x)
	}
}

// by reads what calls are split by; "" if it is not said.
func (d *decoder) by(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	s, ok := d.Text(n, "by")
	if !ok {
		return ""
	}
	if _, ok := splitBy(s); !ok {
		d.Report(document.Deref(n), byAdvice, "calls cannot be split by %q", document.Clip(s))
		return ""
	}
	return s
}

// values reads what an attribute may be, and sorts it.
func (d *decoder) values(n *yaml.Node, what, advice string) (list []string) {
	for _, item := range d.Items(n, what, advice, MaxTargets) {
		s, ok := d.Text(item, what)
		switch {
		case !ok:
		case s == "" || len(s) > MaxAttributeLen:
			d.Report(document.Deref(item), "", "%s: a value must have 1 to %d bytes", what, MaxAttributeLen)
		case slices.Contains(list, s):
			d.Report(document.Deref(item), "", "%s names %q twice", what, document.Clip(s))
		default:
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}
