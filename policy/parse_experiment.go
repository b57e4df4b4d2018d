package policy

import (
	"cmp"
	"strconv"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// experiments reads the experiments, which come after tokens and flags.
func (d *decoder) experiments(p *Policy, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "experiments", "write a list of experiments, or leave the field out", MaxExperiments) {
		f := d.Mapping(item, experimentShape)
		if f == nil {
			continue
		}
		item = document.Deref(item)
		e := &Experiment{pos: d.Pos(item)}
		if n := f["name"]; n != nil {
			if s, ok := d.Name(n, "an experiment's name"); ok && d.Unique(first, n, s, "experiment") {
				e.Name = s
			}
		}
		e.By = cmp.Or(d.by(f["by"]), defaultBy)
		if n := f["when"]; n != nil {
			if s, ok := d.Scalar(n, "when", "write a CEL expression, or leave the field out"); ok {
				if e.when = d.compile(n, "when", s, cel.BoolType); e.when != nil {
					p.reads.add(e.when.reads)
				}
			}
		}
		if len(p.tokens) > 0 {
			e.Cost = p.tokens[0].name
		}
		if n := f["cost"]; n != nil {
			if s, ok := d.Text(n, "cost"); ok {
				if p.tokenBy[s] == nil {
					d.Report(document.Deref(n), document.DidYouMean(s, p.Tokens()), "unknown token type %q", document.Clip(s))
				}
				e.Cost = s
			}
		}
		if n := f["arms"]; n != nil {
			d.arms(e, n)
		}
		e.init()
		p.experiments = append(p.experiments, e)
	}
}

func (d *decoder) arms(e *Experiment, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	list := d.Items(n, "arms", "write a list of arms, as in [{name: control}, {name: small, model: gpt-4o-mini}]", MaxArms)
	for _, item := range list {
		f := d.Mapping(item, armShape)
		if f == nil {
			continue
		}
		a := Arm{Weight: 1, Params: Params{Temperature: Unset, TopP: Unset}}
		if n := f["name"]; n != nil {
			if s, ok := d.Name(n, "an arm's name"); ok && d.Unique(first, n, s, "arm") {
				a.Name = s
			}
		}
		if n := f["weight"]; n != nil {
			n = document.Deref(n)
			v, err := strconv.ParseInt(n.Value, 10, 64)
			if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || err != nil || v < 1 || v > maxArmWeight {
				d.Report(n, "", "weight must be a whole number from 1 to %d", maxArmWeight)
			} else {
				a.Weight = v
			}
		}
		if n := f["model"]; n != nil {
			if s, ok := d.Text(n, "model"); ok {
				if s == "" || len(s) > MaxFieldLen {
					d.Report(document.Deref(n), "", "model has %d bytes, it must have 1 to %d", len(s), MaxFieldLen)
				}
				a.Model = s
			}
		}
		if n := f["max_output_tokens"]; n != nil {
			v, _ := d.Amount(n, "max_output_tokens")
			a.MaxOutput = int64(v)
		}
		for _, x := range []struct {
			name string
			into *int64
			most int64
		}{{"temperature", &a.Temperature, maxTemperature}, {"top_p", &a.TopP, million}} {
			if n := f[x.name]; n != nil {
				d.parameter(n, x.name, x.into, x.most)
			}
		}
		e.Arms = append(e.Arms, a)
	}
	if len(list) == 1 {
		d.Report(document.Deref(n), "add another arm: the first is what it is compared with", "an experiment of one arm compares nothing")
	}
}

// parameter reads a number from 0 to most parts per million.
func (d *decoder) parameter(n *yaml.Node, what string, into *int64, most int64) {
	n = document.Deref(n)
	v, err := document.Decimal(n.Value, 6)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > most {
		d.Report(n, "", "%s must be a number from 0 to %s, with at most 6 digits after the point", what, Decimals(most))
		return
	}
	*into = v
}
