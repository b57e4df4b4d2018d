package policy

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

const (
	// minRenew bounds how often all of a budget begins anew.
	minRenew = 60 * time.Second
	// renewFills is how many times longer than its burst takes to fill a rate's instance must live: it begins with what has come since
	// the turn, so that for so long after it calls may find less.
	renewFills = 10
)

// renew reads how long instances live.
func (d *decoder) renew(p *Policy, b *Budget, n *yaml.Node, f map[string]*yaml.Node) {
	const advice = "write whole seconds that divide a day (1h, 6h), or whole days (24h, 7d)"
	life, ok := d.Duration(n, "renew")
	if !ok {
		return
	}
	n = document.Deref(n)
	s := &b.Spec
	length := ledger.Millis(life.Milliseconds())
	c := ledger.Calendar{Length: length, Loc: p.zone}
	switch {
	case len(b.Per) == 0:
		d.Report(n, "add per, or leave it out", "a budget without per has one instance, which stays")
		return
	case s.Kind == ledger.Grant || s.Kind == ledger.Slots:
		d.Report(n, "use a window, or leave it out: instances bounds how many there are", "%s cannot be renewed: what was spent must never be forgotten", s.Kind)
		return
	case s.RolloverPPM > 0:
		d.Report(n, "leave one of them out", "renew does not go with rollover: nothing is carried from one life to the next")
		return
	case f["guarantee"] != nil || f["feedback"] != nil:
		d.Report(n, "leave it out", "renew does not go with guarantee and feedback")
		return
	case f["price"] != nil && moves(f["price"]):
		d.Report(n, "leave it out, or write a fixed price", "renew does not go with a price that moves: it would begin anew, too")
		return
	case life < minRenew:
		d.Report(n, "", "renew is %s, it must be at least %s", life, minRenew)
		return
	case length == 0 || c.Valid() != nil:
		d.Report(n, advice, "instances cannot be renewed every %s", life)
		return
	}
	switch s.Kind {
	case ledger.Windowed:
		const day = ledger.Millis(24 * 60 * 60 * 1000)
		w := s.Calendar.Length
		if s.Calendar.Months > 0 || w == 0 || length%w != 0 || (length < day) != (w < day) {
			d.Report(n, "write a multiple of the window: below a day if that is shorter than a day, else of whole days", "instances that are renewed every %s do not have whole windows", life)
			return
		}
	case ledger.Rate:
		if s.Per > 0 && float64(s.Amount)*float64(s.PerMillis)/float64(s.Per)*renewFills > float64(length) {
			d.Report(n, "write a longer time, or a smaller burst", "instances must live %d times as long as the burst takes to fill", renewFills)
			return
		}
	}
	b.Renew, b.Renews = c, true
}

// moves reports whether a price has a mode that moves. What is wrong with it is said elsewhere.
func moves(n *yaml.Node) bool {
	n = document.Deref(n)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Kind == yaml.MappingNode && n.Content[i].Value == "mode" {
			return document.Deref(n.Content[i+1]).Value != priceModes[FixedPrice]
		}
	}
	return false
}
