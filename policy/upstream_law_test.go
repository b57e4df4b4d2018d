package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawnUpstream is an upstream as the model below sees it.
type drawnUpstream struct {
	zones, models, classes, data []string
	in, out, latency             int // -1: not stated
}

// drawnLocality is a policy about upstreams, drawn, with a judge that is simpler than the code.
type drawnLocality struct {
	sets    map[string][]string // zones by pattern
	budget  []string            // zones of the one budget; nil: none
	ups     []drawnUpstream
	by      string
	byNames []string // of sets, in order
}

func (d *drawnLocality) source() string {
	var b strings.Builder
	list := func(name string, l []string) string {
		if l == nil {
			return ""
		}
		q := make([]string, len(l))
		for i, s := range l {
			q[i] = fmt.Sprintf("%q", s)
		}
		return fmt.Sprintf(", %s: [%s]", name, strings.Join(q, ", "))
	}
	b.WriteString(head + "tokens: {c: {unit: request}}\nclasses: [{name: good}, {name: bad}]\n")
	if len(d.sets) > 0 {
		b.WriteString("data:\n")
		for _, s := range d.byNames {
			fmt.Fprintf(&b, "  %q: {%s}\n", s, list("zones", d.sets[s])[2:])
		}
	}
	if len(d.ups) > 0 {
		b.WriteString("upstreams:\n")
	}
	for i, u := range d.ups {
		fmt.Fprintf(&b, "  - {name: u%d%s%s%s%s", i, list("zones", u.zones), list("models", u.models), list("classes", u.classes), list("data", u.data))
		if u.in >= 0 {
			fmt.Fprintf(&b, ", price: {input: %d, output: %d}", u.in, u.out)
		}
		if u.latency > 0 {
			fmt.Fprintf(&b, ", latency: %dms", u.latency)
		}
		b.WriteString("}\n")
	}
	b.WriteString("budgets:\n  - {name: pool, token: c, supply: {grant: 10}")
	if d.budget != nil {
		fmt.Fprintf(&b, ", locality: {%s}", list("zones", d.budget)[2:])
	}
	b.WriteString("}\nrules:\n  - {draw: [pool]")
	if d.by != "" && len(d.ups) > 0 {
		b.WriteString(", route: " + d.by)
	}
	b.WriteString("}\n")
	return b.String()
}

func fits(patterns []string, name string) bool {
	if patterns == nil {
		return true
	}
	for _, p := range patterns {
		if p == name || strings.HasSuffix(p, "*") && strings.HasPrefix(name, p[:len(p)-1]) {
			return true
		}
	}
	return false
}

// allowed reports whether a call with that data may run in a zone.
func (d *drawnLocality) allowed(data []string, zone string) bool {
	if d.budget != nil && !slices.Contains(d.budget, zone) {
		return false
	}
	for _, name := range data {
		best := ""
		for p := range d.sets {
			if fits([]string{p}, name) && (best == "" || p == name || best != name && len(p) > len(best)) {
				best = p
			}
		}
		if best != "" && !slices.Contains(d.sets[best], zone) {
			return false
		}
	}
	return true
}

func (d *drawnLocality) bound(data []string) bool {
	return d.budget != nil || slices.ContainsFunc(data, func(name string) bool {
		for p := range d.sets {
			if fits([]string{p}, name) {
				return true
			}
		}
		return false
	})
}

var (
	someZones  = []string{"z1", "z2", "z3"}
	someNames  = []string{"eu/a", "eu/b", "eu/ab", "us", "x"}
	somePatter = []string{"eu/*", "eu/a*", "eu/a", "*", "us", "u*"}
)

func drawSome(t *rapid.T, of []string, label string) []string {
	l := rapid.SliceOfNDistinct(rapid.SampledFrom(of), 0, len(of), rapid.ID[string]).Draw(t, label)
	if len(l) == 0 {
		return nil
	}
	return l
}

func drawLocality(t *rapid.T) *drawnLocality {
	d := &drawnLocality{sets: map[string][]string{}}
	d.byNames = drawSome(t, somePatter, "sets")
	for _, s := range d.byNames {
		d.sets[s] = rapid.SliceOfNDistinct(rapid.SampledFrom(someZones), 1, 3, rapid.ID[string]).Draw(t, "zones")
	}
	d.budget = drawSome(t, someZones, "budget")
	if rapid.Bool().Draw(t, "free budget") {
		d.budget = nil
	}
	for range rapid.IntRange(0, 4).Draw(t, "upstreams") {
		u := drawnUpstream{
			zones: drawSome(t, someZones, "upstream zones"), models: drawSome(t, []string{"m1", "m2", "m*"}, "models"),
			classes: drawSome(t, []string{"good", "bad"}, "classes"), data: drawSome(t, somePatter, "upstream data"),
			in: rapid.IntRange(-1, 2).Draw(t, "in"), out: rapid.IntRange(0, 2).Draw(t, "out"), latency: rapid.IntRange(0, 3).Draw(t, "latency"),
		}
		d.ups = append(d.ups, u)
	}
	d.by = rapid.SampledFrom([]string{"", "price", "latency", "locality"}).Draw(t, "by")
	return d
}

// TestLawsOfRouting: a call goes to no upstream that might run it outside of a zone that something binds it to, or that does not take its
// model, class or data; all that may take it are candidates; the choice is by the rule and does not depend on anything else; and where
// there is no candidate the plan says why.
func TestLawsOfRouting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawLocality(t)
		p, err := Parse("p.yaml", []byte(d.source()))
		if err != nil {
			t.Fatalf("%v\n%s", err, d.source())
		}
		c := &Call{
			Model: rapid.SampledFrom([]string{"", "m1", "m2", "other"}).Draw(t, "model"), Class: rapid.SampledFrom([]string{"", "bad"}).Draw(t, "class"),
			Data: drawSome(t, someNames, "data"), PromptTokens: rapid.Int64Range(0, 3).Draw(t, "prompt"), MaxOutputTokens: rapid.Int64Range(0, 3).Draw(t, "output"),
		}
		plan, err := p.Match(c)
		if err != nil {
			t.Fatalf("%v\n%s", err, d.source())
		}
		if got := plan.Place != nil; got != d.bound(c.Data) {
			t.Fatalf("bound: %v\n%s", got, d.source())
		}
		for _, z := range someZones {
			if plan.Place.Holds(z) != d.allowed(c.Data, z) {
				t.Fatalf("zone %s: %v\n%s", z, plan.Place, d.source())
			}
		}
		if plan.Place.Holds("") && d.bound(c.Data) {
			t.Fatal("a node without a zone may decide on bound calls")
		}
		if plan.Place != nil && plan.Place.Why == "" {
			t.Fatal("nobody says why it is bound")
		}
		if (plan.Route == nil) != (len(d.ups) == 0) {
			t.Fatalf("route %v of %d upstreams", plan.Route, len(d.ups))
		}
		if plan.Route == nil {
			return
		}
		class := plan.Class.Name
		var want []string
		for i, u := range d.ups {
			ok := (c.Model == "" || fits(u.models, c.Model)) && (u.classes == nil || slices.Contains(u.classes, class))
			for _, name := range c.Data {
				ok = ok && fits(u.data, name)
			}
			if d.bound(c.Data) {
				ok = ok && u.zones != nil
				for _, z := range u.zones {
					ok = ok && d.allowed(c.Data, z)
				}
			}
			if ok {
				want = append(want, fmt.Sprintf("u%d", i))
			}
		}
		var got []string
		for _, u := range plan.Route.Upstreams {
			got = append(got, u.Name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("candidates %v, want %v\n%s", got, want, d.source())
		}
		if len(got) == 0 && plan.Route.Why == "" {
			t.Fatal("nothing says why no upstream may take it")
		}
		checkChoice(t, plan.Route, c)
	})
}

// checkChoice draws what is known of upstreams and holds the choice to the rule.
func checkChoice(t *rapid.T, r *Route, c *Call) {
	zone := rapid.SampledFrom([]string{"", "z1", "z2"}).Draw(t, "zone")
	seen := make([]Seen, len(r.Upstreams))
	for i := range seen {
		seen[i] = Seen{
			Out: rapid.IntRange(0, 3).Draw(t, "out") == 0, Avoid: rapid.Bool().Draw(t, "avoid"),
			Latency: time.Duration(rapid.IntRange(0, 2).Draw(t, "seen")) * time.Millisecond,
		}
	}
	i := r.Choose(c.PromptTokens, c.MaxOutputTokens, zone, seen)
	if again := r.Choose(c.PromptTokens, c.MaxOutputTokens, zone, slices.Clone(seen)); again != i {
		t.Fatalf("chose %d, then %d", i, again)
	}
	if i < 0 {
		if slices.ContainsFunc(seen, func(s Seen) bool { return !s.Out }) {
			t.Fatal("nothing was chosen, though there are candidates")
		}
		return
	}
	if seen[i].Out {
		t.Fatal("chose one that is out of reach")
	}
	a := r.Upstreams[i]
	cost := func(u *Upstream) int64 {
		if !u.Priced {
			return 1 << 62
		}
		return u.Price.Input*c.PromptTokens + u.Price.Output*c.MaxOutputTokens
	}
	for j, b := range r.Upstreams {
		if j == i || seen[j].Out {
			continue
		}
		if seen[j].Avoid != seen[i].Avoid {
			if seen[i].Avoid {
				t.Fatalf("chose %s, which is to be avoided, over %s", a.Name, b.Name)
			}
			continue
		}
		own := func(u *Upstream) bool { return slices.Contains(u.Zones, zone) }
		worse := false
		switch r.By {
		case InOrder:
			worse = j < i
		case ByPrice:
			worse = cost(b) < cost(a)
		case ByLatency:
			worse = seen[j].Latency < seen[i].Latency
		case ByLocality:
			worse = own(b) && !own(a)
		}
		if worse {
			t.Fatalf("by %v chose %s over %s", r.By, a.Name, b.Name)
		}
		if j < i && seen[i].Latency == seen[j].Latency && cost(a) == cost(b) && own(a) == own(b) {
			t.Fatalf("%s and %s are equal, and the second was chosen", b.Name, a.Name)
		}
	}
}

// TestUpstreamCost: large calls at high prices neither wrap nor are cheap.
func TestUpstreamCost(t *testing.T) {
	const most = 1<<53 - 1
	for _, tt := range []struct {
		u              Upstream
		prompt, output int64
		want           int64
	}{
		{Upstream{Price: Direction{150_000, 600_000}}, 1_000_000, 1_000_000, 750_000},
		{Upstream{Price: Direction{150_000, 600_000}}, 1, 0, 1},
		{Upstream{Price: Direction{1_000_000, 0}}, 3, 7, 3},
		{Upstream{}, most, most, 0},
		{Upstream{Price: Direction{maxPrice * million, maxPrice * million}}, most, most, 1<<63 - 1},
	} {
		if got := tt.u.Cost(tt.prompt, tt.output); got != tt.want {
			t.Errorf("%v of %d and %d tokens: %d, want %d", tt.u.Price, tt.prompt, tt.output, got, tt.want)
		}
	}
}

func TestSplitData(t *testing.T) {
	for in, want := range map[string]string{
		"eu/docs":                      "eu/docs|",
		"eu/docs@sha256:9f86d0":        "eu/docs|sha256:9f86d0",
		"eu/docs@sha512-256:aGk+/w==":  "eu/docs|sha512-256:aGk+/w==",
		"docs with spaces, and commas": "docs with spaces, and commas|",
		"":                             `a name in data is empty: leave it out, or name a data set`,
		"@sha256:00":                   `a name in data is empty: leave it out, or name a data set`,
		"eu/docs@":                     `data set "eu/docs@": what follows the @ must be a digest of at most 160 bytes, as in eu/docs@sha256:9f86d081`,
		"eu/docs@latest":               `data set "eu/docs@latest": what follows the @ must be a digest of at most 160 bytes, as in eu/docs@sha256:9f86d081`,
		"eu/docs@sha256:0@sha256:0":    `data set "eu/docs@sha256:0@sha256:0": what follows the @ must be a digest of at most 160 bytes, as in eu/docs@sha256:9f86d081`,
		"a\nb":                         `data set "a\nb": a name holds no control characters`,
	} {
		name, digest, err := SplitData(in)
		got := name + "|" + digest
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if _, _, err := SplitData("x@sha256:" + strings.Repeat("0", MaxDigestLen)); err == nil {
		t.Error("a digest of any length is taken")
	}
}

func TestCheckUpstreams(t *testing.T) {
	p := mustParse(t, head+`tokens: {c: {unit: request}}
data:
  "eu/*": {zones: [eu]}
  asia: {zones: [tokyo, osaka]}
upstreams:
  - {name: eu, zones: [eu, us], data: ["eu/*"], price: {input: 1, output: 1}}
  - {name: us, data: ["eu/*"]}
budgets:
  - {name: a, token: c, supply: {grant: 5}, locality: {zones: [us, eu]}}
  - {name: b, token: c, supply: {grant: 5}, locality: {zones: [tokyo]}}
rules:
  - {draw: [a, b], route: price}
`)
	want := `p.yaml:5:3: warning: data set "eu/*": no upstream lies in zone eu, so the proxy refuses calls that name it: declare one under upstreams with zones: [eu]
p.yaml:6:3: warning: data set "asia": no upstream lies in zones tokyo, osaka, so the proxy refuses calls that name it: declare one under upstreams with zones: [tokyo, osaka]
p.yaml:12:5: warning: budget "b": no upstream lies in zone tokyo, so calls that draw on it are refused: declare one under upstreams with zones: [tokyo]
p.yaml:14:5: warning: rule 1 draws on budgets "a", "b", which have no zone in common, so its calls can run nowhere
p.yaml:14:27: warning: rule 1 routes by price, but upstream "us" states none, so it comes last: write price: {input: 0, output: 0} if it costs nothing
p.yaml:8:5: warning: upstream "eu" names data set "eu/*", which is bound to zone eu, but lies in zones eu, us: such calls never go there
p.yaml:9:5: warning: upstream "us" names data set "eu/*", which is bound to zone eu, but states no zones: such calls never go there`
	var got []string
	for _, w := range Check(p) {
		got = append(got, w.String())
	}
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got:\n%s\nwant:\n%s", s, want)
	}
}
