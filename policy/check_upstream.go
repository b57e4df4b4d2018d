package policy

import (
	"fmt"
	"slices"
	"strings"
)

// checkUpstreams looks for bindings that leave no place, upstreams that may take nothing, and routes that choose by what is not said.
func (p *Policy) checkUpstreams(warn func(Pos, string, ...any)) {
	within := func(zones []string) bool {
		return slices.ContainsFunc(p.upstreams, func(u *Upstream) bool { return u.inside(&Place{Zones: zones}) })
	}
	hint := func(zones []string) string {
		return fmt.Sprintf("declare one under upstreams with zones: [%s]", strings.Join(zones, ", "))
	}
	for _, s := range p.datasets {
		if len(s.zones) > 0 && !within(s.zones) {
			warn(s.pos, "data set %q: no upstream lies in %s, so the proxy refuses calls that name it: %s", s.title(), zoneList(s.zones), hint(s.zones))
		}
	}
	for _, b := range p.budgets {
		if len(b.Zones) > 0 && len(p.upstreams) > 0 && !within(b.Zones) {
			warn(b.Pos, "budget %q: no upstream lies in %s, so calls that draw on it are refused: %s", b.Name, zoneList(b.Zones), hint(b.Zones))
		}
	}
	for _, r := range p.rules {
		zones, by := r.zones()
		if zones != nil && len(zones) == 0 {
			warn(r.pos, "%s draws on budgets %s, which have no zone in common, so its calls can run nowhere", ruleTitle(r), strings.Join(by, ", "))
		}
		if r.route == ByPrice {
			if i := slices.IndexFunc(p.upstreams, func(u *Upstream) bool { return !u.Priced }); i >= 0 {
				warn(r.routeAt, "%s routes by price, but upstream %q states none, so it comes last: write price: {input: 0, output: 0} if it costs nothing", ruleTitle(r), p.upstreams[i].Name)
			}
		}
	}
	for _, u := range p.upstreams {
		for _, s := range p.datasets {
			if len(s.zones) > 0 && slices.Contains(u.data, s.pattern) && !u.inside(&Place{Zones: s.zones}) {
				where := "states no zones"
				if len(u.Zones) > 0 {
					where = "lies in " + zoneList(u.Zones)
				}
				warn(u.pos, "upstream %q names data set %q, which is bound to %s, but %s: such calls never go there", u.Name, s.title(), zoneList(s.zones), where)
			}
		}
	}
}
