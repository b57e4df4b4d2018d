package policy

import (
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

const guaranteeAdvice = "write parts of the supply by tenant, as in {search: 20%}, or one part for a budget that is per tenant"

// guarantee reads the floors of a budget. The supply, the ceiling and per have been read.
func (d *decoder) guarantee(b *Budget, n *yaml.Node, per bool) {
	n = document.Deref(n)
	own := slices.Contains(b.Per, "tenant")
	switch k := b.Spec.Kind; {
	case k == ledger.Grant && b.Spec.Amount > 0 || k == ledger.Slots:
		d.Report(n, "give the tenant a budget of its own", "a guarantee is a part of what comes by time, and a %s brings nothing by time", k)
		return
	case b.Spec.Ceiling == ledger.Observe:
		d.Report(n, "leave it out, or write ceiling: hard", "a budget that only observes keeps no call back, so a guarantee does nothing")
		return
	case n.Kind != yaml.MappingNode:
		ppm, ok := d.Percent(n, "guarantee")
		if !ok {
			return
		}
		if per && len(b.Per) == 0 {
			return // what is wrong with per has been said
		}
		if !own {
			d.Report(n, guaranteeAdvice, "tenants share budget %q: say for whom the guarantee is", b.Name)
			return
		}
		d.floor(b, n, "", ppm)
	case own:
		d.Report(n, "write one part for all, as in guarantee: 20%", "each tenant has an instance of budget %q of its own", b.Name)
	default:
		list := d.Entries(n, "guarantee", guaranteeAdvice)
		if len(list) > MaxGuarantees {
			d.Report(list[MaxGuarantees].Key, "", "there are %d guarantees, at most %d are allowed", len(list), MaxGuarantees)
			list = list[:MaxGuarantees]
		}
		sum := int64(0)
		for _, e := range list {
			name := e.Key.Value
			if name == "" || len(name) > MaxFieldLen {
				d.Report(e.Key, "", "a tenant's name has %d bytes, from 1 to %d are allowed", len(name), MaxFieldLen)
				continue
			}
			if ppm, ok := d.Percent(e.Value, "guarantee"); ok && d.floor(b, document.Deref(e.Value), name, ppm) {
				sum += ppm
			}
		}
		if sum > million {
			d.Report(n, "lower some of them", "the guarantees of budget %q come to %s of its supply", b.Name, percent(sum))
		}
	}
}

func (d *decoder) floor(b *Budget, n *yaml.Node, tenant string, ppm int64) bool {
	if ppm == 0 || ppm > million {
		d.Report(n, "write a part of the supply, as in 20%", "a guarantee must be above 0%% and at most 100%%")
		return false
	}
	b.Guarantees = append(b.Guarantees, Guarantee{Tenant: tenant, PPM: ppm})
	return true
}

// meters makes a meter for each tenant with a guarantee. Rules have been read: none can draw on one by its name.
func (d *decoder) meters(p *Policy) {
	for _, b := range p.budgets[:len(p.budgets):len(p.budgets)] {
		for i := range b.Guarantees {
			g := &b.Guarantees[i]
			if g.Tenant == "" {
				continue
			}
			m := &Budget{
				Name: b.Name + ":" + g.Tenant, Token: b.Token, Unit: b.Unit, Per: b.Per, Spec: b.Spec, Price: b.Price, Pos: b.Pos,
				Levels: b.Levels, Size: b.Size, Instances: b.Instances, OverdraftPrice: million, Meters: b,
				pricePPM: b.pricePPM, per: b.per, index: len(p.budgets),
			}
			base := PPM(b.pricePPM)
			m.Pricing = Pricing{Base: base, Min: base, Max: base}
			s := &m.Spec
			s.Ceiling, s.OverdraftPPM, s.RolloverPPM, s.Feedback = ledger.Observe, 0, 0, ledger.Feedback{}
			s.Amount, s.Per = max(1, ledger.Part(s.Amount, g.PPM)), ledger.Part(s.Per, g.PPM)
			if s.Kind == ledger.Rate {
				s.Per = max(1, s.Per)
			}
			g.Meter = m
			p.budgets = append(p.budgets, m)
			p.budgetBy[m.Name] = m
			p.reads.fields[fieldTenant] = true
		}
	}
}
