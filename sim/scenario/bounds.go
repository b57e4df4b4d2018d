package scenario

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// boundForm is what a bound looks like.
const boundForm = `^ *([a-z0-9_]+)(?:\[([A-Za-z0-9._-]+)(?:, *([A-Za-z0-9._-]+))?\])? *(<=|>=) *([^ ]+) *$`

var boundRegexp = regexp.MustCompile(boundForm)

const boundAdvice = "write it as in goodput >= 98%, wait_p99[batch] <= 2s or goodput[split-known] >= 95%"

// systems are the names that bounds call what the swarm is compared with.
var systems = []struct{ word, name string }{
	{"omniscient", result.Omniscient}, {"split", result.Split}, {"split-known", result.SplitKnown},
	{"counters", result.Counters}, {"local-only", result.LocalOnly},
}

func systemWords() []string {
	list := make([]string, len(systems))
	for i, w := range systems {
		list[i] = w.word
	}
	return list
}

// SystemWords are what bounds and the command line call the systems: the swarm first, then what it is compared with.
func SystemWords() []string {
	words := []string{result.Swarm}
	for _, w := range systems {
		words = append(words, w.word)
	}
	return words
}

// SystemNamed is the name, as package result has it, of the system with that word.
func SystemNamed(word string) (name string, ok bool) {
	if word == result.Swarm {
		return result.Swarm, true
	}
	for _, w := range systems {
		if w.word == word {
			return w.name, true
		}
	}
	return "", false
}

func (d *decoder) bounds(s *Scenario, n *yaml.Node) {
	if n == nil {
		return
	}
	for _, item := range d.Items(n, "bounds", "write a list of bounds, or leave the field out", MaxBounds) {
		text, ok := d.Text(item, "a bound")
		if !ok {
			continue
		}
		item = document.Deref(item)
		b, advice, err := parseBound(text, s.Beside)
		if err != nil {
			d.Report(item, advice, "%v", err)
			continue
		}
		if f, _ := result.FigureNamed(b.Figure); f.ByBudget() && len(s.Policies) > 0 {
			var known []string
			for _, p := range s.Policies {
				for _, x := range p.Budgets() {
					known = append(known, x.Name)
				}
			}
			if !slices.Contains(known, b.Class) {
				d.Report(item, document.DidYouMean(b.Class, known), "there is no budget %q", document.Clip(b.Class))
				continue
			}
		} else if b.Class != "" && len(s.Policies) > 0 {
			_, ok := s.Policies[0].Class(b.Class)
			if !ok && !slices.ContainsFunc(s.Workload, func(st Stream) bool { return st.Name == b.Class }) {
				var known []string
				for _, c := range s.Policies[0].Classes() {
					known = append(known, c.Name)
				}
				for i := range s.Workload {
					known = append(known, s.Workload[i].Name)
				}
				d.Report(item, document.DidYouMean(b.Class, append(known, systemWords()...)), "%q is neither a class, a stream nor a system", document.Clip(b.Class))
				continue
			}
		}
		s.Bounds = append(s.Bounds, b)
	}
}

// parseBound reads one bound. It takes every word in brackets that is neither a system nor a variant for a class.
func parseBound(text string, variants []Variant) (b Bound, advice string, err error) {
	m := boundRegexp.FindStringSubmatch(text)
	if m == nil {
		return b, boundAdvice, fmt.Errorf("bound %q cannot be read", document.Clip(text))
	}
	b = Bound{Text: strings.TrimSpace(text), Figure: m[1], Op: m[4]}
	figure, ok := result.FigureNamed(b.Figure)
	if !ok {
		var known []string
		for _, f := range result.Figures {
			known = append(known, f.Name)
		}
		return b, document.DidYouMean(b.Figure, known), fmt.Errorf("unknown figure %q", document.Clip(b.Figure))
	}
	unit := figure.Unit
	class, other := m[2], m[3]
	if other == "" && (besideNamed(class, variants) != "") {
		class, other = "", class
	}
	if other != "" {
		if b.Beside = besideNamed(other, variants); b.Beside == "" {
			known := systemWords()
			for _, v := range variants {
				known = append(known, v.Name)
			}
			return b, document.DidYouMean(other, known), fmt.Errorf("%q is neither a system nor a run beside", document.Clip(other))
		}
		unit = result.Fraction
	}
	if figure.ByBudget() && class == "" {
		return b, fmt.Sprintf("write its name in brackets, as in %s[gpu-pool]", b.Figure), fmt.Errorf("%s is told of one budget", b.Figure)
	}
	if b.Class = class; b.Class != "" && !figure.ByClass() && !figure.ByBudget() {
		advice := "leave [" + document.Clip(b.Class) + "] out"
		if near := document.Nearest(b.Class, systemWords()); near != "" {
			advice = fmt.Sprintf("did you mean %q?", near)
		}
		return b, advice, fmt.Errorf("%s cannot be told of one class", b.Figure)
	}
	b.Value, advice, err = parseValue(m[5], unit)
	if err != nil {
		err = fmt.Errorf("bound %q: %w", document.Clip(b.Text), err)
	}
	return b, advice, err
}

// besideNamed is the name of what a word in brackets compares with; "" if it is none.
func besideNamed(word string, variants []Variant) string {
	for _, w := range systems {
		if w.word == word {
			return w.name
		}
	}
	for _, v := range variants {
		if v.Name == word {
			return word
		}
	}
	return ""
}

// parseValue reads a value in a unit, as figures have it.
func parseValue(s string, unit result.Unit) (v float64, advice string, err error) {
	if s == "0" {
		return 0, "", nil
	}
	wrong := func(err error, advice string) (float64, string, error) {
		message, _, _ := strings.Cut(err.Error(), "; ")
		return 0, advice, fmt.Errorf("%s", message)
	}
	switch unit {
	case result.Fraction:
		digits, ok := strings.CutSuffix(s, "%")
		if !ok {
			return wrong(fmt.Errorf("%q has no percent sign", s), "write it as in 98%")
		}
		i, err := document.Decimal(digits, 6)
		if err != nil {
			return wrong(fmt.Errorf("%q %w", s, err), "write it as in 98%")
		}
		return float64(i) / 1e8, "", nil
	case result.Seconds:
		t, err := document.ParseDelay(s)
		if err != nil {
			return wrong(err, "write it as in 250ms or 2s")
		}
		return t.Seconds(), "", nil
	case result.BytesPerSecond:
		b, err := parseBytes(s)
		if err != nil {
			return wrong(fmt.Errorf("%q %w", s, err), bytesAdvice)
		}
		return b, "", nil
	case result.Calls, result.Tokens:
		n, err := document.ParseScaled(s)
		if err != nil {
			return wrong(err, "write it as in 5000 or 2.5M")
		}
		return float64(n), "", nil
	}
	i, err := document.Decimal(s, 6)
	if err != nil {
		return wrong(fmt.Errorf("%q %w", s, err), "write it as in 4 or 0.95")
	}
	return float64(i) / 1e6, "", nil
}

// needs lists the systems beside the swarm without which a bound cannot be judged. Goodput is beside the omniscient one's.
func (b *Bound) needs() (names []string) {
	if b.Beside != "" {
		names = append(names, b.Beside)
	}
	if b.Figure == "goodput" {
		names = append(names, result.Omniscient)
	}
	return names
}

// Check holds a run to bounds, in their order. What has no value keeps no bound; one that needs a system which was not run is
// not judged.
func Check(bounds []Bound, r *result.Result) []result.Bound {
	list := make([]result.Bound, len(bounds))
	for i, b := range bounds {
		figure, ok := result.FigureNamed(b.Figure)
		if !ok {
			panic(fmt.Sprintf("BUG: a bound on %q, which Parse does not let through", b.Figure))
		}
		if i0 := slices.IndexFunc(b.needs(), func(name string) bool { return r.System(name) == nil }); i0 >= 0 {
			list[i] = result.Bound{Text: b.Text, Lacks: b.needs()[i0]}
			continue
		}
		got, unit := math.NaN(), figure.Unit
		if s := r.System(result.Swarm); s != nil {
			got = figure.Of(s, b.Class)
		}
		if b.Beside != "" {
			unit = result.Fraction
			got /= figure.Of(r.System(b.Beside), b.Class)
		}
		list[i] = result.Bound{Text: b.Text, Got: unit.Text(got), OK: b.Op == "<=" && got <= b.Value || b.Op == ">=" && got >= b.Value}
	}
	return list
}
