package scenario

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Upstream is how one of the policy's upstreams really is. What the policy says of it is only what it says.
type Upstream struct {
	Name string
	// Zone is where it stands: nodes that are cut off from that zone do not reach it. "" for everywhere.
	Zone string
	// Begins is how long it takes to begin its answer, which comes on top of how long a call runs.
	Begins Delay
	// Length is how many times as long its answers are as streams have them; 0: as long.
	Length float64
}

// How long answers may be beside those that streams have.
const leastLength, mostLength = 0.01, 100

// upstreams reads how the policy's upstreams are.
func (d *decoder) upstreams(s *Scenario, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "upstreams", "write a list of upstreams, or leave the field out", policy.MaxUpstreams) {
		f := d.Mapping(item, upstreamShape)
		if f == nil {
			continue
		}
		var u Upstream
		if n := f["name"]; n != nil {
			name, ok := d.Name(n, "an upstream's name")
			if !ok || !d.Unique(first, n, name, "upstream") {
				continue
			}
			u.Name = name
			var known []string
			for _, p := range s.Policies {
				for _, x := range p.Upstreams() {
					known = append(known, x.Name)
				}
			}
			if !slices.Contains(known, name) {
				d.Report(document.Deref(n), document.DidYouMean(name, known), "the policy has no upstream %q", document.Clip(name))
			}
		}
		u.Zone = d.zone(s, f["zone"])
		u.Begins = d.delay(f["begins"], "begins", Delay{})
		if n := f["length"]; n != nil {
			if u.Length = d.number(n, "length"); u.Length < leastLength || u.Length > mostLength {
				d.Report(document.Deref(n), "write a number from 0.01 to 100", "answers cannot be %g times as long", u.Length)
			}
		}
		s.Upstreams = append(s.Upstreams, u)
	}
}

// locality reads what data a stream's calls name, and where alone they may run.
func (d *decoder) locality(s *Scenario, f map[string]*yaml.Node) (data, stays []string) {
	if n := f["data"]; n != nil {
		for _, item := range d.Items(n, "data", "write a list of data sets", policy.MaxData) {
			v, ok := d.Text(item, "data")
			if !ok {
				continue
			}
			if name, _, err := policy.SplitData(v); err != nil {
				d.Report(document.Deref(item), "write its name alone, as in eu/docs", "%v", err)
			} else {
				data = append(data, name)
			}
		}
	}
	if n := f["stays"]; n != nil {
		for _, item := range d.Items(n, "stays", "write a list of zones", maxZones) {
			stays = append(stays, d.zone(s, item))
		}
	}
	return data, stays
}
