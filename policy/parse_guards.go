package policy

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Bounds of a lease and of autonomy. A lease is renewed at a third of its time, and its margin is a tenth of it: with less
// than the shortest one, what a busy disk and a lost packet take would end it.
const (
	minLease    = 10 * time.Second
	minAutonomy = time.Second
	maxGuarding = 24 * time.Hour
)

// guards reads what the document says about guardians; what it does not say keeps its default.
func (d *decoder) guards(p *Policy, f map[string]*yaml.Node) {
	if n := f["guardians"]; n != nil {
		const advice = "write 3 or 5, or 0 for none: a dead node's rights then come back only with its data directory"
		if s, ok := d.Scalar(n, "guardians", advice); ok {
			count, err := strconv.Atoi(s)
			if err != nil || count != 0 && count != 3 && count != 5 {
				d.Report(document.Deref(n), advice, "guardians cannot be %s", document.Clip(s))
			}
			p.guards.Guardians = count
		}
	}
	between := func(name string, least time.Duration, to *ledger.Millis) {
		n := f[name]
		if n == nil {
			return
		}
		v, ok := d.Duration(n, name)
		switch {
		case !ok:
		case v < least || v > maxGuarding:
			d.Report(document.Deref(n), "", "%s is %s, from %s to %s is allowed", name, v, least, maxGuarding)
		default:
			*to = ledger.Millis(v.Milliseconds())
		}
	}
	between("lease", minLease, &p.guards.Lease)
	between("autonomy", minAutonomy, &p.guards.Autonomy)
}
