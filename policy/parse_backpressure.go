package policy

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// defaultLevels are the levels of a budget that says nothing of them.
var defaultLevels = [MaxLevel]time.Duration{60 * time.Second, 15 * time.Second, 3 * time.Second}

// backpressure reads what happens at each level.
func (d *decoder) backpressure(p *Policy, n *yaml.Node) {
	for i := range p.classes {
		p.classes[i].ShedAt = 0 // the document says it
	}
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "backpressure", "write a list of levels, as in {level: 3, shed: [batch]}, or leave the field out", MaxLevel) {
		f := d.Mapping(item, backpressureShape)
		if f == nil || f["level"] == nil {
			continue
		}
		level := d.number(f["level"], "level", MaxLevel)
		if !d.Unique(first, f["level"], document.Deref(f["level"]).Value, "level") {
			continue
		}
		if f["defer"] == nil && f["shed"] == nil {
			d.Report(document.Deref(item), "write defer: [CLASS, …] or shed: [CLASS, …]", "nothing happens at level %d", level)
		}
		each := func(field string, do func(c *Class, n *yaml.Node)) {
			if f[field] == nil {
				return
			}
			for _, n := range d.Items(f[field], field, "write a list of classes", MaxClasses) {
				name, ok := d.Text(n, "a class")
				if !ok {
					continue
				}
				c, known := p.classBy[name]
				if !known {
					d.Report(document.Deref(n), document.DidYouMean(name, p.classNames()), "unknown class %q", document.Clip(name))
					continue
				}
				do(c, n)
			}
		}
		lower := func(at *int) {
			if *at == 0 || level < *at {
				*at = level
			}
		}
		each("defer", func(c *Class, _ *yaml.Node) { lower(&c.DeferAt) })
		each("shed", func(c *Class, n *yaml.Node) {
			if !c.Sheddable {
				d.Report(document.Deref(n), "write sheddable: true in the class, or leave it out here", "class %q is not sheddable", c.Name)
			}
			lower(&c.ShedAt)
		})
	}
}

// levels reads a budget's levels.
func (d *decoder) levels(b *Budget, n *yaml.Node) {
	const advice = "write three times, each shorter than the one before, as in [1m, 15s, 3s]"
	items := d.Items(n, "levels", advice, MaxLevel)
	if len(items) < MaxLevel {
		d.Report(document.Deref(n), advice, "there are %d levels", len(items))
		return
	}
	for i, item := range items {
		v, ok := d.Duration(item, "a level")
		if ok && i > 0 && v >= b.Levels[i-1] {
			d.Report(document.Deref(item), advice, "level %d begins at %s, which is not below %s", i+1, v, b.Levels[i-1])
		}
		b.Levels[i] = v
	}
}
