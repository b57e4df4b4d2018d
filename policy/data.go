package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// MaxDigestLen bounds the digest of a data set, in bytes.
const MaxDigestLen = 160

// SplitData takes apart what a caller names as a data set: "eu/docs", or with the digest of what it read,
// "eu/docs@sha256:9f86…". Rules and zones go by the name alone. The error is a *CallError: what stands behind an @ must be a digest, so that
// no slip in one makes a name that nothing is bound by.
func SplitData(s string) (name, digest string, err error) {
	name, digest, has := strings.Cut(s, "@")
	if name == "" {
		return "", "", &CallError{"data", "a name in data is empty: leave it out, or name a data set"}
	}
	if err := validDataSet(name); err != nil {
		return "", "", err
	}
	if has && !isDigest(digest) {
		return "", "", &CallError{"data", fmt.Sprintf("data set %q: what follows the @ must be a digest of at most %d bytes, as in eu/docs@sha256:9f86d081", document.Clip(s), MaxDigestLen)}
	}
	return name, digest, nil
}

// isDigest reports whether s is an algorithm, a colon and letters or digits.
func isDigest(s string) bool {
	algorithm, value, ok := strings.Cut(s, ":")
	word := func(s, more string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune(more, r)
		})
	}
	return ok && len(s) <= MaxDigestLen && word(algorithm, "-") && word(value, "+/=_-")
}

// validDataSet checks the name of a data set.
func validDataSet(s string) error {
	switch {
	case len(s) > MaxFieldLen:
		return tooLongIn("data", "a name in data", len(s), MaxFieldLen)
	case strings.Contains(s, "@"):
		return &CallError{"data", fmt.Sprintf("data set %q: a name holds no @, which begins a digest", document.Clip(s))}
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return &CallError{"data", fmt.Sprintf("data set %q: a name holds no control characters", document.Clip(s))}
	}
	return nil
}

// pattern is a name, or how names begin.
type pattern struct {
	text   string // without the star
	prefix bool
}

func (p pattern) fits(name string) bool {
	if p.prefix {
		return strings.HasPrefix(name, p.text)
	}
	return name == p.text
}

// covers reports whether p fits all that o fits.
func (p pattern) covers(o pattern) bool { return p.fits(o.text) && (p.prefix || !o.prefix) }

// fitsAny reports whether one of them fits; none at all fit everything.
func fitsAny(list []pattern, name string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(p pattern) bool { return p.fits(name) })
}

// dataSet is a data set, or all whose names begin so, that is bound to zones.
type dataSet struct {
	pattern
	zones []string
	pos   Pos
}

func (s *dataSet) title() string {
	if s.prefix {
		return s.text + "*"
	}
	return s.text
}

// bound is what binds a data set: the pattern that says most of its name, nil if none fits.
func (p *Policy) bound(name string) (best *dataSet) {
	for _, s := range p.datasets {
		switch {
		case !s.fits(name):
		case !s.prefix:
			return s
		case best == nil || len(s.text) > len(best.text):
			best = s
		}
	}
	return best
}

// Place is where alone a call may be decided, and run.
type Place struct {
	Zones []string // in order; none if what binds the call leaves no zone
	Why   string   // who says so: `data set "eu/docs" (zones eu-west)`, "and" between them
}

// Holds reports whether a zone is one of the place's. A node that names none is in no zone.
func (p *Place) Holds(zone string) bool {
	return p == nil || zone != "" && slices.Contains(p.Zones, zone)
}

// whys bounds how many of those that bind a call are named.
const whys = 4

// locate works out where a call may run: in the zones of all that binds it.
func (plan *Plan) locate(c *Call) {
	var by []string
	bind := func(what string, zones []string) {
		if plan.Place == nil {
			plan.Place = &Place{Zones: slices.Clone(zones)}
			slices.Sort(plan.Place.Zones)
		} else {
			plan.Place.Zones = slices.DeleteFunc(plan.Place.Zones, func(z string) bool { return !slices.Contains(zones, z) })
		}
		if by = append(by, fmt.Sprintf("%s (%s)", what, zoneList(zones))); len(by) > whys {
			by = append(by[:whys-1], "others")
		}
	}
	for i := range plan.Draws {
		if b := plan.Draws[i].Budget; b.Zones != nil {
			bind(fmt.Sprintf("budget %q", b.Name), b.Zones)
		}
	}
	for i, name := range c.Data {
		if s := plan.Policy.bound(name); s != nil && !slices.Contains(c.Data[:i], name) {
			bind(fmt.Sprintf("data set %q", name), s.zones)
		}
	}
	if plan.Place != nil {
		plan.Place.Why = strings.Join(by, " and ")
	}
}

// zoneList writes zones for people.
func zoneList(zones []string) string {
	if len(zones) == 1 {
		return "zone " + zones[0]
	}
	return "zones " + strings.Join(zones, ", ")
}
