package freeze

// View is what was frozen at one time, for looking up. It does not change, and is safe for concurrent use. A nil View has
// nothing frozen.
type View struct {
	instances map[string]*Word
	callers   map[caller]*Word
	agents    bool // some agent is frozen
}

// caller is a tenant (agent ""), an agent of a tenant, or an agent of any ("" as its tenant).
type caller struct{ tenant, agent string }

// View makes one; nil if nothing is frozen.
func (s *Set) View() *View {
	v := &View{instances: map[string]*Word{}, callers: map[caller]*Word{}}
	for _, w := range s.Frozen() {
		if w.Instance != "" {
			v.instances[w.Instance] = &w
			continue
		}
		v.callers[caller{w.Tenant, w.Agent}] = &w
		v.agents = v.agents || w.Agent != ""
	}
	if len(v.instances)+len(v.callers) == 0 {
		return nil
	}
	return v
}

// Caller is the word by which a tenant, or an agent of it, is frozen; nil if none is. It allocates nothing.
func (v *View) Caller(tenant, agent string) *Word {
	if v == nil || len(v.callers) == 0 {
		return nil
	}
	if tenant != "" {
		if w := v.callers[caller{tenant, ""}]; w != nil {
			return w
		}
	}
	if !v.agents || agent == "" {
		return nil
	}
	if w := v.callers[caller{tenant, agent}]; w != nil {
		return w
	}
	return v.callers[caller{"", agent}]
}

// Instance is the word by which an instance of that name is frozen; nil if it is not.
func (v *View) Instance(name string) *Word {
	if v == nil {
		return nil
	}
	return v.instances[name]
}
