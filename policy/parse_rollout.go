package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// ParseRollout reads a rollout that stands in no document, by the fields of a document's `rollout` and of its guard
// (deny_rate, p99_wait, output_length, cost). base gives what they do not say; nil for the defaults. The error is an *Errors.
func ParseRollout(where string, base *Rollout, fields map[string]string) (*Rollout, error) {
	d := &decoder{Decoder: document.Decoder{File: where, Noun: "rollout"}}
	root := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	guard := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	scalar := func(s string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Line: 1, Column: 1}
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		v := scalar(fields[k])
		switch into := root; k {
		case "deny_rate", "p99_wait", "output_length", "cost":
			into = guard
			fallthrough
		default:
			if k == "zones" {
				v = &yaml.Node{Kind: yaml.SequenceNode, Line: 1, Column: 1}
				for z := range strings.SplitSeq(fields[k], ",") {
					v.Content = append(v.Content, scalar(strings.TrimSpace(z)))
				}
			}
			into.Content = append(into.Content, scalar(k), v)
		}
	}
	if len(guard.Content) > 0 {
		root.Content = append(root.Content, scalar("guard"), guard)
	}
	r := d.rollout(root, base)
	return r, d.Err()
}

// rollout reads how a candidate is to be tried; base gives what it does not say.
func (d *decoder) rollout(n *yaml.Node, base *Rollout) *Rollout {
	f := d.Mapping(n, rolloutShape)
	if f == nil {
		return nil
	}
	r := &Rollout{Guard: Guard{defaultDenyRate, defaultP99Wait, defaultLength, Unguarded}}
	if base != nil {
		*r = *base
	}
	if n := f["canary"]; n != nil {
		if v, ok := d.Percent(n, "canary"); ok {
			if v == 0 {
				d.Report(document.Deref(n), "write a part of all, as in 10%", "canary cannot be %s", percent(v))
			}
			r.Canary, r.Zones = v, nil
		}
	}
	if n := f["by"]; n != nil {
		if s, ok := d.Text(n, "by"); ok {
			if _, ok := splitBy(s); !ok {
				d.Report(document.Deref(n), byAdvice, "calls cannot be split by %q", document.Clip(s))
			}
			r.By = s
		}
	}
	if n := f["zones"]; n != nil {
		r.Zones = d.zones(n)
		slices.Sort(r.Zones)
		switch {
		case f["canary"] != nil:
			d.Report(document.Deref(n), "leave one of them out", "canary and zones contradict each other")
		case f["by"] != nil:
			d.Report(document.Deref(n), "leave by out", "in zones the candidate decides on all calls")
		}
		r.Canary, r.By = 0, ""
	}
	if slices.Contains(r.Zones, shadowZone) && f["zones"] != nil {
		d.Report(document.Deref(f["zones"]), "write shadow: true", "no zone can be named %q", shadowZone)
	}
	wrong := f["shadow"] != nil && !d.shadow(r, f["shadow"], f)
	if len(r.Zones) == 0 {
		r.By = cmp.Or(r.By, defaultBy)
		if r.Canary == 0 && f["canary"] == nil && !wrong {
			d.Report(n, "add canary: 10%, zones: [NAME], or shadow: true", "a rollout must say for which calls the candidate decides")
		}
	}
	if n := f["bake"]; n != nil {
		if v, ok := d.Duration(n, "bake"); ok {
			if v > MaxBake {
				d.Report(document.Deref(n), "", "bake is %s, at most %s is allowed", v, MaxBake)
			}
			r.Bake = v
		}
	}
	if n := f["guard"]; n != nil {
		d.guard(r, n)
	}
	return r
}

// shadow has a candidate only be looked at. It reports whether what is said can be.
func (d *decoder) shadow(r *Rollout, n *yaml.Node, f map[string]*yaml.Node) bool {
	switch s, ok := d.Scalar(n, "shadow", "write true, or leave it out"); {
	case !ok:
		return false
	case s == "false":
		return true
	case s != "true":
		d.Report(document.Deref(n), "write true, or leave it out", "shadow cannot be %q", document.Clip(s))
		return false
	}
	for _, name := range []string{"canary", "by", "zones", "guard"} {
		if f[name] != nil {
			d.Report(document.Deref(f[name]), "leave one of them out", "shadow and %s contradict each other: a shadow decides on no calls", name)
		}
	}
	r.Canary, r.By, r.Zones = 0, "", []string{shadowZone}
	return true
}

func (d *decoder) guard(r *Rollout, n *yaml.Node) {
	f := d.Mapping(n, guardShape)
	for _, g := range []struct {
		name string
		into *int64
		most int64
		step int64
	}{
		{"deny_rate", &r.Guard.DenyRate, million, 1}, {"p99_wait", &r.Guard.P99Wait, maxWaitGuard, WaitStep},
		{"output_length", &r.Guard.OutputLength, million, 1}, {"cost", &r.Guard.Cost, million, 1},
	} {
		n := f[g.name]
		if n == nil {
			continue
		}
		s, ok := d.Scalar(n, g.name, "write it as in +5%, or none")
		if !ok {
			continue
		}
		if s == "none" {
			*g.into = Unguarded
			continue
		}
		v, err := document.ParsePPM(strings.TrimPrefix(s, "+"))
		switch {
		case err != nil:
			d.ScalarErr(document.Deref(n), g.name, err)
		case v > g.most:
			d.Report(document.Deref(n), "", "%s is %s, at most %s is allowed", g.name, percent(v), percent(g.most))
		case v%g.step != 0:
			d.Report(document.Deref(n), "write a multiple of "+percent(g.step), "%s cannot be %s: waits are counted in steps of %s of a latency budget", g.name, percent(v), percent(g.step))
		}
		*g.into = v
	}
}
