package policy

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// zones reads a list of zones.
func (d *decoder) zones(n *yaml.Node) []string {
	list := []string{}
	for _, item := range d.Items(n, "zones", "write a list of zones, as nodes name them with --zone", MaxZones) {
		s, ok := d.Name(item, "a zone")
		if !ok {
			continue
		}
		if slices.Contains(list, s) {
			d.Report(document.Deref(item), "", "zone %q is given twice", s)
			continue
		}
		list = append(list, s)
	}
	return list
}

const patternAdvice = `write a name, or how names begin, as in "eu/*"`

// pattern reads a name, or how names begin.
func (d *decoder) pattern(n *yaml.Node, what, s string) (p pattern, ok bool) {
	text, prefix := strings.CutSuffix(s, "*")
	switch {
	case len(s) > MaxFieldLen || s == "":
		d.Report(n, patternAdvice, "%s has %d bytes, from 1 to %d are allowed", what, len(s), MaxFieldLen)
	case strings.ContainsAny(text, "*@") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		d.Report(n, patternAdvice, "%s %q cannot be: a star may stand at its end only, and it holds no @ and no white space", what, document.Clip(s))
	default:
		return pattern{text, prefix}, true
	}
	return p, false
}

func (d *decoder) patterns(n *yaml.Node, what string) (list []pattern) {
	for _, item := range d.Items(n, what, "write a list, or leave the field out", MaxPatterns) {
		s, ok := d.Text(item, what)
		if !ok {
			continue
		}
		item = document.Deref(item)
		p, ok := d.pattern(item, "a name in "+what, s)
		if ok && slices.Contains(list, p) {
			d.Report(item, "", "%s holds %q twice", what, document.Clip(s))
		} else if ok {
			list = append(list, p)
		}
	}
	return list
}

// datasets reads which data sets are bound to zones.
func (d *decoder) datasets(p *Policy, n *yaml.Node) {
	list := d.Entries(n, "data", `write data sets by name, as in "eu/*": {zones: [eu-west]}`)
	if len(list) > MaxDataSets {
		d.Report(list[MaxDataSets].Key, "", "there are %d data sets, at most %d are allowed", len(list), MaxDataSets)
		list = list[:MaxDataSets]
	}
	for _, e := range list {
		s := &dataSet{pos: d.Pos(e.Key)}
		var ok bool
		if s.pattern, ok = d.pattern(e.Key, "a data set's name", e.Key.Value); !ok {
			continue
		}
		if n := d.Mapping(e.Value, dataShape)["zones"]; n != nil {
			s.zones = d.zones(n)
		}
		p.datasets = append(p.datasets, s)
	}
	p.reads.data = true // plans know where what they read may go
}

func (d *decoder) upstreams(p *Policy, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "upstreams", "write a list of upstreams, or leave the field out", MaxUpstreams) {
		f := d.Mapping(item, upstreamShape)
		if f == nil {
			continue
		}
		u := &Upstream{Index: len(p.upstreams), pos: d.Pos(document.Deref(item))}
		if n := f["name"]; n != nil {
			if s, ok := d.Name(n, "an upstream's name"); ok && d.Unique(first, n, s, "upstream") {
				u.Name = s
			}
		}
		if n := f["zones"]; n != nil {
			u.Zones = d.zones(n)
		}
		if n := f["models"]; n != nil {
			u.models = d.patterns(n, "models")
			p.reads.fields[fieldModel] = true
		}
		if n := f["data"]; n != nil {
			u.data = d.patterns(n, "data")
			p.reads.data = true
		}
		if n := f["classes"]; n != nil {
			u.classes = d.classList(p, n)
		}
		if n := f["price"]; n != nil {
			f := d.Mapping(n, upstreamPriceShape)
			u.Priced = true
			u.Price = Direction{d.upstreamPrice(f["input"], "input"), d.upstreamPrice(f["output"], "output")}
		}
		if n := f["latency"]; n != nil {
			if v, ok := d.Duration(n, "latency"); ok {
				if v == 0 || v > maxLatency {
					d.Report(document.Deref(n), "leave it out to have it measured", "latency is %s, it must be above 0 and at most %s", v, maxLatency)
				}
				u.Latency = v
			}
		}
		if f["draw"] != nil || f["cost"] != nil {
			u.drawn = &rule{name: "upstream " + u.Name, pos: u.pos}
			d.pools = append(d.pools, pool{u.drawn, f["draw"], f["cost"]})
		}
		p.upstreams = append(p.upstreams, u)
	}
}

// pool is what an upstream says of budgets, which are read later.
type pool struct {
	of         *rule
	draw, cost *yaml.Node
}

// upstreamDraws reads what calls draw on by the upstream that they go to. The budgets have been read.
func (d *decoder) upstreamDraws(p *Policy) {
	for _, x := range d.pools {
		var list []*yaml.Node
		if x.draw != nil {
			list = d.Items(x.draw, "draw", "write a list of budgets, or leave the field out", MaxDraws)
		}
		d.draws(p, x.of, list, x.cost)
	}
}

// classList reads the names of classes.
func (d *decoder) classList(p *Policy, n *yaml.Node) (list []string) {
	for _, item := range d.Items(n, "classes", "write a list of classes", MaxClasses) {
		s, ok := d.Text(item, "a class")
		if !ok {
			continue
		}
		if _, known := p.classBy[s]; !known {
			d.Report(document.Deref(item), document.DidYouMean(s, p.classNames()), "unknown class %q", document.Clip(s))
		} else if slices.Contains(list, s) {
			d.Report(document.Deref(item), "", "class %q is given twice", s)
		}
		list = append(list, s)
	}
	return list
}

// upstreamPrice reads money per million tokens, in micro-units.
func (d *decoder) upstreamPrice(n *yaml.Node, what string) int64 {
	const advice = "write money per million tokens, as in 0.15"
	if n == nil {
		return 0
	}
	s, ok := d.Scalar(n, what, advice)
	if !ok {
		return 0
	}
	v, err := document.Decimal(s, 6)
	switch {
	case err != nil:
		d.Report(document.Deref(n), advice, "price %s %.32q %v", what, s, err)
	case v > maxPrice*million:
		d.Report(document.Deref(n), advice, "price %s is %s, at most %d is allowed", what, document.Clip(s), maxPrice)
	default:
		return v
	}
	return 0
}

// route reads a rule's route.
func (d *decoder) route(p *Policy, r *rule, n *yaml.Node) {
	const advice = "write price, latency or locality"
	s, ok := d.Text(n, "route")
	if !ok {
		return
	}
	n = document.Deref(n)
	i := slices.Index(routeWords[1:], s)
	if i < 0 {
		d.Report(n, advice, "unknown route %q", document.Clip(s))
		return
	}
	r.route, r.routeAt = RouteBy(i+1), d.Pos(n)
	if len(p.upstreams) == 0 {
		d.Report(n, "declare them, as in upstreams: [{name: openai, zones: [us-east]}]", "%s routes by %s, but there are no upstreams to choose from", ruleTitle(r), s)
	}
}
