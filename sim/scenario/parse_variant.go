package scenario

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// maxVariants bounds the runs beside one run: each takes as long as it.
const maxVariants = 4

// variants reads the other runs that bounds compare with.
func (d *decoder) variants(s *Scenario, n *yaml.Node) {
	if n == nil {
		return
	}
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "beside", "write a list of runs, as in {name: alone, skip: [STREAM]}, or leave the field out", maxVariants) {
		f := d.Mapping(item, variantShape)
		if f == nil {
			continue
		}
		var v Variant
		if n := f["name"]; n != nil {
			name, ok := d.Name(n, "the name of a run beside")
			switch {
			case !ok || !d.Unique(first, n, name, "run"):
				continue
			case slices.Contains(SystemWords(), name) || besideNamed(name, nil) != "" || d.isClass(s, name) || name == result.Swarm:
				d.Report(n, "call it something else", "%q is a system or a class already", name)
				continue
			}
			v.Name = name
		}
		if n := f["skip"]; n != nil {
			var known []string
			for i := range s.Workload {
				known = append(known, s.Workload[i].Name)
			}
			for _, item := range d.Items(n, "skip", "write a list of streams", MaxStreams) {
				name, ok := d.Text(item, "a stream")
				if ok && !slices.Contains(known, name) {
					d.Report(document.Deref(item), document.DidYouMean(name, known), "unknown stream %q", document.Clip(name))
				}
				v.Skip = append(v.Skip, name)
			}
		}
		if n := f["retry"]; n != nil {
			v.Retry, _ = d.Duration(n, "retry")
		}
		v.Blind = d.truth(f["blind"], "blind")
		if v.Blind && s.Provider == nil && len(s.Upstreams) == 0 {
			d.Report(document.Deref(item), "say what provider or upstreams there are", "without a provider the run %q has nothing to be blind to", v.Name)
		}
		if len(v.Skip) == 0 && v.Retry == 0 && !v.Blind {
			d.Report(document.Deref(item), "say skip, retry or blind", "the run %q beside is the same run", v.Name)
		}
		s.Beside = append(s.Beside, v)
	}
}

func (d *decoder) isClass(s *Scenario, name string) bool {
	for _, p := range s.Policies {
		if _, ok := p.Class(name); ok {
			return true
		}
	}
	return false
}
