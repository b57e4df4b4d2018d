package policy

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// budget reads one budget. It returns one with a name even when the rest is wrong, so that rules that
// draw on it are not reported too.
func (d *decoder) budget(p *Policy, n *yaml.Node, index int) *Budget {
	f := d.Mapping(n, budgetShape)
	if f == nil {
		return nil
	}
	b := &Budget{Pos: d.Pos(document.Deref(n)), Price: 1, pricePPM: million, OverdraftPrice: million, Size: million, index: index}
	b.Pricing = Pricing{Base: million, Min: million, Max: million}
	b.Levels = defaultLevels
	if n := f["levels"]; n != nil {
		d.levels(b, n)
	}
	if n := f["name"]; n != nil {
		if s, ok := d.Name(n, "a budget's name"); ok {
			if was, twice := p.budgetBy[s]; twice {
				d.Report(document.Deref(n), "", "budget %q is given twice, first on line %d", s, was.Pos.Line)
			} else {
				b.Name = s
				p.budgetBy[s] = b
			}
		}
	}
	var token *tokenType
	if n := f["token"]; n != nil {
		if s, ok := d.Text(n, "token"); ok {
			if token, ok = p.tokenBy[s]; !ok {
				advice := document.DidYouMean(s, p.Tokens())
				if advice == "" {
					advice = "declare it, as in tokens: {compute: {unit: token}}"
				}
				d.Report(document.Deref(n), advice, "unknown token type %q", document.Clip(s))
			} else {
				b.Token, b.Unit = token.name, token.unit
			}
		}
	}
	if n := f["per"]; n != nil {
		d.per(p, b, n)
	}
	if len(b.Per) > 0 {
		b.Instances = defaultInstances
	}
	if n := f["instances"]; n != nil {
		if b.Instances = d.number(n, "instances", MaxInstances); len(b.Per) == 0 {
			d.Report(document.Deref(n), "add per, or leave it out", "a budget without per has one instance")
		}
	}
	if n := f["supply"]; n != nil {
		d.supply(p, b, n)
	}
	if n := f["renew"]; n != nil {
		d.renew(p, b, n, f)
	}
	if n := f["ceiling"]; n != nil {
		d.ceiling(b, n)
	}
	if n := f["fairness"]; n != nil {
		d.fairness(b, n, f["supply"] != nil)
	}
	if n := f["alerts"]; n != nil {
		d.alerts(b, n)
	}
	if n := f["guarantee"]; n != nil {
		d.guarantee(b, n, f["per"] != nil)
	}
	if n := f["price"]; n != nil {
		d.price(b, n, f["guarantee"] != nil)
	}
	if n := f["locality"]; n != nil {
		if n := d.Mapping(n, localityShape)["zones"]; n != nil {
			b.Zones = d.zones(n)
		}
	}
	if n := f["feedback"]; n != nil {
		d.feedback(b, n, f["supply"] != nil)
	}
	if token != nil {
		if b.Spec.Kind == ledger.Grant || b.Spec.Kind == ledger.Windowed {
			b.Spec.HalfLife = token.halfLife
		}
		if b.Spec.Kind == ledger.Slots && token.unit != "" && unitCosts[token.unit] != "1" {
			d.Report(document.Deref(f["supply"]), "draw on a token type with unit: slot",
				"slots count calls, but a %s of token type %q is none", token.unit, token.name)
		}
	}
	return b
}

func (d *decoder) per(p *Policy, b *Budget, n *yaml.Node) {
	const advice = "write a list of tenant, agent, run, class, model, attributes.NAME"
	for _, item := range d.Items(n, "per", advice, MaxPer) {
		s, ok := d.Text(item, "per")
		if !ok {
			continue
		}
		item = document.Deref(item)
		a := attr{field: slices.Index(fieldNames, s)}
		if a.field < 0 {
			a.field = fieldAttribute
			if a.name, ok = strings.CutPrefix(s, "attributes."); !ok || len(a.name) > MaxName || !isAttribute(a.name) {
				if near := document.Nearest(s, fieldNames); near != "" {
					d.Report(item, document.DidYouMean(s, fieldNames), "per cannot hold %q", document.Clip(s))
				} else {
					d.Report(item, advice, "per cannot hold %q", document.Clip(s))
				}
				continue
			}
		}
		if slices.Contains(b.Per, s) {
			d.Report(item, "", "per holds %q twice", s)
			continue
		}
		b.Per = append(b.Per, s)
		b.per = append(b.per, a)
	}
}

// isAttribute reports whether s can stand after "attributes." in per.
func isAttribute(s string) bool {
	return s != "" && (document.IsName(s) && (s[0] < '0' || s[0] > '9') || s[0] == '_' && (len(s) == 1 || document.IsName("a"+s[1:])))
}

// supplyFields are the fields that go with each supply, the first being the one that chooses it.
var supplyFields = []struct {
	kind   ledger.Kind
	fields []string
}{
	{ledger.Grant, []string{"grant"}},
	{ledger.Windowed, []string{"window", "amount", "rollover"}},
	{ledger.Rate, []string{"rate", "burst", "lend"}},
	{ledger.Slots, []string{"slots"}},
}

const supplyAdvice = "write one of {grant: 10M}, {window: 24h, amount: 10M}, {rate: 50000/s, burst: 100000}, {slots: 8}"

func (d *decoder) supply(p *Policy, b *Budget, n *yaml.Node) {
	f := d.Mapping(n, supplyShape)
	if f == nil {
		return
	}
	n = document.Deref(n)
	chosen := -1
	for i, s := range supplyFields {
		if f[s.fields[0]] == nil {
			continue
		}
		if chosen >= 0 {
			d.Report(n, supplyAdvice, "supply has both %s and %s", supplyFields[chosen].fields[0], s.fields[0])
			return
		}
		chosen = i
	}
	if chosen < 0 {
		d.Report(n, supplyAdvice, "supply has none of grant, window, rate and slots")
		return
	}
	mine := supplyFields[chosen]
	for _, s := range supplyFields {
		for _, name := range s.fields {
			if v := f[name]; v != nil && !slices.Contains(mine.fields, name) {
				d.Report(document.Deref(v), "leave it out", "%s goes with %s, but this supply is %s", name, s.fields[0], mine.fields[0])
			}
		}
	}
	b.Spec.Kind = mine.kind
	amount := func(name string) {
		if v := f[name]; v != nil {
			b.Spec.Amount, _ = d.Amount(v, name)
		} else {
			field, _ := supplyShape.Find(name)
			d.Report(n, "add "+name+": "+document.LowerFirst(field.Doc), "a %s needs the field %q", mine.fields[0], name)
		}
	}
	switch mine.kind {
	case ledger.Grant:
		amount("grant")
	case ledger.Slots:
		amount("slots")
	case ledger.Windowed:
		d.window(p, b, f["window"])
		amount("amount")
		if v := f["rollover"]; v != nil {
			b.Spec.RolloverPPM, _ = d.Percent(v, "rollover")
		}
	case ledger.Rate:
		d.rate(b, f["rate"])
		amount("burst")
		b.Spec.Lend = ledger.DefaultLend
		if v := f["lend"]; v != nil {
			if life, ok := d.Duration(v, "lend"); ok {
				if life < minLend || life > maxLend {
					d.Report(document.Deref(v), "", "lend is %s, it must be between %s and %s", life, minLend, maxLend)
				}
				b.Spec.Lend = ledger.Millis(life.Milliseconds())
			}
		}
	}
}

const (
	minLend = 100 * time.Millisecond
	maxLend = time.Hour
)

func (d *decoder) window(p *Policy, b *Budget, n *yaml.Node) {
	const advice = "write whole seconds that divide a day (10m, 6h), whole days (24h, 7d), or month"
	s, ok := d.Scalar(n, "window", advice)
	if !ok {
		return
	}
	n = document.Deref(n)
	c := ledger.Calendar{Loc: p.zone}
	if s == "month" {
		c.Months = 1
	} else {
		length, err := ParseDuration(s)
		if err != nil {
			message, _, _ := strings.Cut(err.Error(), "; ")
			d.Report(n, advice, "window: %s", message)
			return
		}
		if length == 0 {
			d.Report(n, advice, "window cannot be zero")
			return
		}
		c.Length = ledger.Millis(length.Milliseconds())
	}
	if c.Valid() != nil { // the advice says what is valid
		d.Report(n, advice, "window cannot be %s", document.Clip(s))
		return
	}
	b.Spec.Calendar = c
}

// rateUnits are what a rate may be per.
var rateUnits = []struct {
	name   string
	millis ledger.Millis
}{{"s", 1000}, {"m", 60_000}, {"h", 3_600_000}, {"d", 86_400_000}}

func (d *decoder) rate(b *Budget, n *yaml.Node) {
	if per, millis, ok := d.perTime(n); ok {
		b.Spec.Per, b.Spec.PerMillis = per, millis
	}
}

// perTime reads an amount per second, minute, hour or day.
func (d *decoder) perTime(n *yaml.Node) (ledger.Tokens, ledger.Millis, bool) {
	const advice = "write it as in 50000/s, 90k/m or 1M/h"
	s, ok := d.Scalar(n, "rate", advice)
	if !ok {
		return 0, 0, false
	}
	n = document.Deref(n)
	number, per, _ := strings.Cut(s, "/")
	for _, u := range rateUnits {
		if u.name != per {
			continue
		}
		v, err := ParseAmount(number)
		if err != nil {
			d.ScalarErr(n, "rate", err)
			return 0, 0, false
		}
		return v, u.millis, true
	}
	d.Report(n, advice, "rate %q does not say per what", document.Clip(s))
	return 0, 0, false
}

// defaultInstances is a part of what a node can know, so that a few budgets with many instances leave room for others.
const defaultInstances = ledger.MaxInstances / 4

// defaultSize is the quantile of outputs that is reserved below soft ceilings.
const defaultSize = 950_000

func (d *decoder) ceiling(b *Budget, n *yaml.Node) {
	const advice = "write hard, observe or {soft: 10%}"
	n = document.Deref(n)
	if n.Kind == yaml.MappingNode {
		f := d.Mapping(n, ceilingShape)
		b.Spec.Ceiling = ledger.Soft
		if v := f["soft"]; v != nil {
			ppm, ok := d.Percent(v, "soft")
			if ok && ppm == 0 {
				d.Report(document.Deref(v), "write ceiling: hard", "a soft ceiling that may be overdrawn by nothing is a hard one")
			}
			b.Spec.OverdraftPPM = ppm
		}
		b.Size = defaultSize
		if v := f["size"]; v != nil {
			if ppm, ok := d.Percent(v, "size"); ok && (ppm < million/2 || ppm > million) {
				d.Report(document.Deref(v), "write 100% to reserve what calls state", "size must be between 50%% and 100%%")
			} else if ok {
				b.Size = ppm
			}
		}
		if v := f["price"]; v != nil {
			if ppm, ok := d.priceOf(v, "overdraft price"); ok {
				if b.OverdraftPrice = ppm; ppm < million {
					d.Report(document.Deref(v), "write a number from 1 on, as in 2", "an overdraft price below 1 pays callers for what the swarm does not have")
				}
			}
		}
		return
	}
	s, ok := d.Scalar(n, "ceiling", advice)
	switch {
	case !ok:
	case s == "hard":
	case s == "observe":
		b.Spec.Ceiling = ledger.Observe
	case s == "soft":
		d.Report(n, "write {soft: 10%}", "a soft ceiling must say how far it may be overdrawn")
	default:
		d.Report(n, advice, "ceiling cannot be %q", document.Clip(s))
	}
}

// maxPrice bounds all prices.
const maxPrice = 1_000_000

func (d *decoder) price(b *Budget, n *yaml.Node, guarantee bool) {
	f := d.Mapping(n, priceShape)
	if f == nil {
		return
	}
	n = document.Deref(n)
	if v := f["mode"]; v != nil {
		if s, ok := d.Text(v, "mode"); ok {
			i := slices.Index(priceModes, s)
			if i < 0 {
				d.Report(document.Deref(v), "write fixed, dynamic or hybrid", "unknown price mode %q", document.Clip(s))
				return
			}
			if b.Pricing.Mode = PriceMode(i); b.Pricing.Mode == HybridPrice && !guarantee {
				d.Report(document.Deref(v), "add guarantee: {TENANT: 20%}, or write dynamic", "a hybrid price is the base price up to a guarantee, and budget %q has none", b.Name)
			}
		}
	}
	if v := f["base"]; v != nil {
		if ppm, ok := d.priceOf(v, "price base"); ok {
			b.pricePPM, b.Price = int64(ppm), ppm.Float()
		}
	}
	p := &b.Pricing
	p.Base, p.Min, p.Max = PPM(b.pricePPM), PPM(b.pricePPM), PPM(b.pricePPM)
	if p.Mode == FixedPrice {
		for _, name := range []string{"target", "min", "max", "response"} {
			if v := f[name]; v != nil {
				d.Report(document.Deref(v), "write mode: dynamic, or leave it out", "%s goes with a price that moves, but this one is fixed", name)
			}
		}
		return
	}
	if k := b.Spec.Kind; f["mode"] != nil && (k == ledger.Grant && b.Spec.Amount > 0 || k == ledger.Slots) {
		d.Report(document.Deref(f["mode"]), "write fixed", "a %s brings nothing by time that use could be measured against, so its price cannot move", k)
	}
	p.Target = defaultTarget
	if v := f["target"]; v != nil {
		if ppm, ok := d.Percent(v, "target"); ok && (ppm == 0 || ppm > million) {
			d.Report(document.Deref(v), "write a part of the supply, as in 80%", "target must be above 0%% and at most 100%%")
		} else if ok {
			p.Target = ppm
		}
	}
	p.Response = defaultResponse(&b.Spec)
	if v := f["response"]; v != nil {
		if r, ok := d.Duration(v, "response"); ok {
			if r < minResponse || r > maxResponse {
				d.Report(document.Deref(v), "", "response is %s, it must be between %s and %s", r, minResponse, maxResponse)
			}
			p.Response = max(1, ledger.Millis(r.Milliseconds()))
		}
	}
	if v := f["min"]; v != nil {
		if ppm, ok := d.priceOf(v, "price min"); ok {
			if p.Min = ppm; ppm > p.Base {
				d.Report(document.Deref(v), "", "price min is above base")
			}
		}
	}
	if v := f["max"]; v == nil {
		d.Report(n, "add max: the most that a cost is ever multiplied by, as in 8", "a %s price needs the field %q", p.Mode, "max")
	} else if ppm, ok := d.priceOf(v, "price max"); ok {
		if p.Max = ppm; ppm < p.Base {
			d.Report(document.Deref(v), "", "price max is below base")
		}
	}
}

// priceOf reads a price.
func (d *decoder) priceOf(n *yaml.Node, what string) (PPM, bool) {
	const advice = "write a number above 0, as in 1.5"
	s, ok := d.Scalar(n, what, advice)
	if !ok {
		return 0, false
	}
	n = document.Deref(n)
	ppm, err := document.Decimal(s, 6)
	switch {
	case err != nil:
		d.Report(n, advice, "%s %.32q %v", what, s, err)
	case ppm == 0:
		d.Report(n, "for a budget that only counts, write ceiling: observe", "%s cannot be 0", what)
	case ppm > maxPrice*million:
		d.Report(n, "", "%s is %s, at most %d is allowed", what, document.Clip(s), maxPrice)
	default:
		return PPM(ppm), true
	}
	return 0, false
}
