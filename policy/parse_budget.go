package policy

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// budget reads one budget. It returns one with a name even when the rest is wrong, so that rules that
// draw on it are not reported too.
func (d *decoder) budget(p *Policy, n *yaml.Node, index int) *Budget {
	f := d.fields(n, budgetShape)
	if f == nil {
		return nil
	}
	b := &Budget{Pos: d.pos(deref(n)), Price: 1, pricePPM: million, index: index}
	if n := f["name"]; n != nil {
		if s, ok := d.name(n, "a budget's name"); ok {
			if was, twice := p.budgetBy[s]; twice {
				d.err(deref(n), "", "budget %q is given twice, first on line %d", s, was.Pos.Line)
			} else {
				b.Name = s
				p.budgetBy[s] = b
			}
		}
	}
	var token *tokenType
	if n := f["token"]; n != nil {
		if s, ok := d.text(n, "token"); ok {
			if token, ok = p.tokenBy[s]; !ok {
				advice := didYouMean(s, p.Tokens())
				if advice == "" {
					advice = "declare it, as in tokens: {compute: {unit: token}}"
				}
				d.err(deref(n), advice, "unknown token type %q", clip(s))
			} else {
				b.Token, b.Unit = token.name, token.unit
			}
		}
	}
	if n := f["per"]; n != nil {
		d.per(p, b, n)
	}
	if n := f["supply"]; n != nil {
		d.supply(p, b, n)
	}
	if n := f["ceiling"]; n != nil {
		d.ceiling(b, n)
	}
	if n := f["price"]; n != nil {
		d.price(b, n)
	}
	if token != nil {
		if b.Spec.Kind == ledger.Grant || b.Spec.Kind == ledger.Windowed {
			b.Spec.HalfLife = token.halfLife
		}
		if b.Spec.Kind == ledger.Slots && token.unit != "" && unitCosts[token.unit] != "1" {
			d.err(deref(f["supply"]), "draw on a token type with unit: slot",
				"slots count calls, but a %s of token type %q is none", token.unit, token.name)
		}
	}
	return b
}

func (d *decoder) per(p *Policy, b *Budget, n *yaml.Node) {
	const advice = "write a list of tenant, agent, run, class, model, attributes.NAME"
	for _, item := range d.items(n, "per", advice, MaxPer) {
		s, ok := d.text(item, "per")
		if !ok {
			continue
		}
		item = deref(item)
		a := attr{field: slices.Index(fieldNames, s)}
		if a.field < 0 {
			a.field = fieldAttribute
			if a.name, ok = strings.CutPrefix(s, "attributes."); !ok || len(a.name) > MaxName || !isAttribute(a.name) {
				if near := nearest(s, fieldNames); near != "" {
					d.err(item, didYouMean(s, fieldNames), "per cannot hold %q", clip(s))
				} else {
					d.err(item, advice, "per cannot hold %q", clip(s))
				}
				continue
			}
		}
		if slices.Contains(b.Per, s) {
			d.err(item, "", "per holds %q twice", s)
			continue
		}
		b.Per = append(b.Per, s)
		b.per = append(b.per, a)
	}
}

// isAttribute reports whether s can stand after "attributes." in per.
func isAttribute(s string) bool {
	return s != "" && (isName(s) && (s[0] < '0' || s[0] > '9') || s[0] == '_' && (len(s) == 1 || isName("a"+s[1:])))
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
	f := d.fields(n, supplyShape)
	if f == nil {
		return
	}
	n = deref(n)
	chosen := -1
	for i, s := range supplyFields {
		if f[s.fields[0]] == nil {
			continue
		}
		if chosen >= 0 {
			d.err(n, supplyAdvice, "supply has both %s and %s", supplyFields[chosen].fields[0], s.fields[0])
			return
		}
		chosen = i
	}
	if chosen < 0 {
		d.err(n, supplyAdvice, "supply has none of grant, window, rate and slots")
		return
	}
	mine := supplyFields[chosen]
	for _, s := range supplyFields {
		for _, name := range s.fields {
			if v := f[name]; v != nil && !slices.Contains(mine.fields, name) {
				d.err(deref(v), "leave it out", "%s goes with %s, but this supply is %s", name, s.fields[0], mine.fields[0])
			}
		}
	}
	b.Spec.Kind = mine.kind
	amount := func(name string) {
		if v := f[name]; v != nil {
			b.Spec.Amount, _ = d.amount(v, name)
		} else {
			field, _ := supplyShape.find(name)
			d.err(n, "add "+name+": "+lowerFirst(field.doc), "a %s needs the field %q", mine.fields[0], name)
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
			b.Spec.RolloverPPM, _ = d.percent(v, "rollover")
		}
	case ledger.Rate:
		d.rate(b, f["rate"])
		amount("burst")
		b.Spec.Lend = ledger.DefaultLend
		if v := f["lend"]; v != nil {
			if life, ok := d.duration(v, "lend"); ok {
				if life < minLend || life > maxLend {
					d.err(deref(v), "", "lend is %s, it must be between %s and %s", life, minLend, maxLend)
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
	s, ok := d.scalar(n, "window", advice)
	if !ok {
		return
	}
	n = deref(n)
	c := ledger.Calendar{Loc: p.zone}
	if s == "month" {
		c.Months = 1
	} else {
		length, err := ParseDuration(s)
		if err != nil {
			message, _, _ := strings.Cut(err.Error(), "; ")
			d.err(n, advice, "window: %s", message)
			return
		}
		if length == 0 {
			d.err(n, advice, "window cannot be zero")
			return
		}
		c.Length = ledger.Millis(length.Milliseconds())
	}
	if c.Valid() != nil { // the advice says what is valid
		d.err(n, advice, "window cannot be %s", clip(s))
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
	const advice = "write it as in 50000/s, 90k/m or 1M/h"
	s, ok := d.scalar(n, "rate", advice)
	if !ok {
		return
	}
	n = deref(n)
	number, per, _ := strings.Cut(s, "/")
	for _, u := range rateUnits {
		if u.name == per {
			b.Spec.PerMillis = u.millis
		}
	}
	if b.Spec.PerMillis == 0 {
		d.err(n, advice, "rate %q does not say per what", clip(s))
		return
	}
	v, err := ParseAmount(number)
	if err != nil {
		d.scalarErr(n, "rate", err)
		return
	}
	b.Spec.Per = v
}

func (d *decoder) ceiling(b *Budget, n *yaml.Node) {
	const advice = "write hard, observe or {soft: 10%}"
	n = deref(n)
	if n.Kind == yaml.MappingNode {
		f := d.fields(n, ceilingShape)
		b.Spec.Ceiling = ledger.Soft
		if v := f["soft"]; v != nil {
			ppm, ok := d.percent(v, "soft")
			if ok && ppm == 0 {
				d.err(deref(v), "write ceiling: hard", "a soft ceiling that may be overdrawn by nothing is a hard one")
			}
			b.Spec.OverdraftPPM = ppm
		}
		return
	}
	s, ok := d.scalar(n, "ceiling", advice)
	switch {
	case !ok:
	case s == "hard":
	case s == "observe":
		b.Spec.Ceiling = ledger.Observe
	case s == "soft":
		d.err(n, "write {soft: 10%}", "a soft ceiling must say how far it may be overdrawn")
	default:
		d.err(n, advice, "ceiling cannot be %q", clip(s))
	}
}

// maxPrice bounds price.base.
const maxPrice = 1_000_000

func (d *decoder) price(b *Budget, n *yaml.Node) {
	f := d.fields(n, priceShape)
	if v := f["mode"]; v != nil {
		switch s, ok := d.text(v, "mode"); {
		case !ok, s == "fixed":
		case s == "dynamic", s == "hybrid":
			d.err(deref(v), "write fixed", "price mode %q is not supported by this version", s)
		default:
			d.err(deref(v), "write fixed", "unknown price mode %q", clip(s))
		}
	}
	if v := f["base"]; v != nil {
		const advice = "write a number above 0, as in 1.5"
		s, ok := d.scalar(v, "base", advice)
		if !ok {
			return
		}
		v = deref(v)
		ppm, err := decimal(s, 6)
		switch {
		case err != nil:
			d.err(v, advice, "price base %.32q %v", s, err)
		case ppm == 0:
			d.err(v, "for a budget that only counts, write ceiling: observe", "price base cannot be 0")
		case ppm > maxPrice*million:
			d.err(v, "", "price base is %s, at most %d is allowed", clip(s), maxPrice)
		default:
			b.pricePPM, b.Price = ppm, float64(ppm)/million
		}
	}
}
