package policy

import (
	"fmt"
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Class of a document without classes.
const (
	defaultClassName = "standard"
	defaultLatency   = 2 * time.Second
	maxLatency       = time.Hour
)

func (d *decoder) classes(p *Policy, n *yaml.Node) {
	var items []*yaml.Node
	if n != nil {
		items = d.Items(n, "classes", "write a list of classes, or leave the field out", MaxClasses)
	}
	first, defaultIndex := map[string]*yaml.Node{}, -1
	for _, item := range items {
		f := d.Mapping(item, classShape)
		if f == nil {
			continue
		}
		c := Class{Weight: 1, LatencyBudget: defaultLatency, Index: len(p.classes), pos: d.Pos(document.Deref(item))}
		if n := f["name"]; n != nil {
			s, ok := d.Name(n, "a class's name")
			if ok && d.Unique(first, n, s, "class") {
				c.Name = s
			}
		}
		if n := f["weight"]; n != nil {
			c.Weight = d.number(n, "weight", MaxWeight)
		}
		if n := f["latency_budget"]; n != nil {
			if v, ok := d.Duration(n, "latency_budget"); ok {
				if v > maxLatency {
					d.Report(document.Deref(n), "", "latency_budget is %s, at most %s is allowed", v, maxLatency)
				}
				c.LatencyBudget = v
			}
		}
		if n := f["headroom"]; n != nil {
			if v, ok := d.Percent(n, "headroom"); ok {
				if v == million {
					d.Report(document.Deref(n), "write less than 100%", "a class that leaves all of a budget to others can never run")
				}
				c.Headroom = v
			}
		}
		if n := f["objective"]; n != nil {
			if v, ok := d.Percent(n, "objective"); ok {
				if v == 0 || v == million {
					d.Report(document.Deref(n), "write a part that leaves some calls over, as in 99%", "an objective of %s cannot be missed by some calls and met all the same", percent(v))
				}
				c.Objective = v
			}
		}
		if n := f["queue"]; n != nil {
			c.Queue = d.number(n, "queue", MaxClassQueue)
		}
		if n := f["sheddable"]; n != nil && d.Boolean(n, "sheddable") {
			c.Sheddable, c.ShedAt = true, MaxLevel
		}
		if n := f["default"]; n != nil && d.Boolean(n, "default") {
			if defaultIndex >= 0 {
				d.Report(n, "mark one class only", "class %q is the default already", p.classes[defaultIndex].Name)
			} else {
				defaultIndex = c.Index
			}
		}
		p.classes = append(p.classes, c)
	}
	if len(p.classes) == 0 {
		p.classes = []Class{{Name: defaultClassName, Weight: 1, LatencyBudget: defaultLatency}}
	}
	for i := range p.classes {
		if c := &p.classes[i]; c.Name != "" {
			p.classBy[c.Name] = c
		}
	}
	p.defaultClass = &p.classes[max(0, defaultIndex)]
}

// number reads a whole number from 1 to most.
func (d *decoder) number(n *yaml.Node, what string, most int) int {
	advice := fmt.Sprintf("write a whole number from 1 to %d", most)
	s, ok := d.Scalar(n, what, advice)
	v, err := strconv.Atoi(s)
	if ok && (err != nil || v < 1 || v > most) {
		d.Report(document.Deref(n), advice, "%s cannot be %s", what, document.Clip(s))
		return 1
	}
	return v
}

// tenants reads the weights of tenants.
func (d *decoder) tenants(p *Policy, n *yaml.Node) {
	list := d.Entries(n, "tenants", "write tenants by name, as in search: {weight: 3}")
	if len(list) > MaxTenants {
		d.Report(list[MaxTenants].Key, "", "there are %d tenants, at most %d are allowed", len(list), MaxTenants)
		list = list[:MaxTenants]
	}
	for _, e := range list {
		name := e.Key.Value
		if name == "" || len(name) > MaxFieldLen {
			d.Report(e.Key, "", "a tenant's name has %d bytes, from 1 to %d are allowed", len(name), MaxFieldLen)
			continue
		}
		if n := d.Mapping(e.Value, tenantShape)["weight"]; n != nil {
			p.tenants[name] = d.number(n, "weight", MaxWeight)
		}
	}
}
