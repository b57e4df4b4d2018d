package policy

import (
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Flag is a named switch that is on for a part of the values of one attribute, chosen by a hash of the flag's name and the value: the
// same at every node and under every revision, and raising On takes nobody out.
type Flag struct {
	Name string
	// On is the part of the values of By for which it is on, in parts per million. At 1,000,000 it is on for all calls, also for
	// those that do not say By; below that it is off for those.
	On int64
	By string // tenant, agent, run, model, attributes.NAME
	// Targets are values of By for which it is on whatever On says, sorted.
	Targets []string

	pos   Pos
	by    attr
	seed  uint64
	below uint64 // of 2^32
}

// MaxFlags bounds the flags of a policy, MaxTargets the targets of one.
const (
	MaxFlags   = 32
	MaxTargets = 1024
)

func (f *Flag) init() {
	f.by, _ = splitBy(f.By)
	f.seed = xxhash.Sum64String("flag/" + f.Name)
	f.below = uint64(f.On) << 32 / million
}

// IsOn reports whether the flag is on for a call. It allocates nothing.
func (f *Flag) IsOn(c *Call) bool {
	if f.On == million {
		return true
	}
	v := f.by.value(c, "")
	if v == "" {
		return false
	}
	if ticket(v, f.seed) < f.below {
		return true
	}
	if len(f.Targets) == 0 {
		return false
	}
	_, ok := slices.BinarySearch(f.Targets, v)
	return ok
}

// ticket is a number below 2^32 that a value gets under a seed, evenly.
func ticket(v string, seed uint64) uint64 { return uint64(uint32(mix(xxhash.Sum64String(v) ^ seed))) }

// Flags lists the flags in the order of the document. The caller must not change it.
func (p *Policy) Flags() []Flag { return p.flags }

// chosen is what hashes choose for a call, for its Key: a bit for each flag that is on.
func (p *Policy) chosen(c *Call) (bits uint64) {
	for i := range p.flags {
		if p.flags[i].IsOn(c) {
			bits |= 1 << i
		}
	}
	return bits
}

// flagsOn names the flags of a set of bits.
func (p *Policy) flagsOn(bits uint64) (names []string) {
	for i := range p.flags {
		if bits&(1<<i) != 0 {
			names = append(names, p.flags[i].Name)
		}
	}
	return names
}

func (p *Policy) flagNames() []string {
	list := make([]string, len(p.flags))
	for i := range p.flags {
		list[i] = p.flags[i].Name
	}
	return list
}

// checkFlags looks for flags that do nothing.
func (p *Policy) checkFlags(warn func(Pos, string, ...any)) {
	for i := range p.flags {
		f := &p.flags[i]
		if f.On == 0 && len(f.Targets) == 0 {
			warn(f.pos, "flag %q is on for nobody: give on or targets", f.Name)
		}
		if f.On == million && len(f.Targets) > 0 {
			warn(f.pos, "flag %q is on for all calls, so its targets do nothing", f.Name)
		}
		if !slices.Contains(p.reads.flags, f.Name) {
			warn(f.pos, "no rule looks at flag %q: only callers see it, in their decisions", f.Name)
		}
	}
}
