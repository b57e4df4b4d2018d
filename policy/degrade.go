package policy

import (
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Degrade is how a rule makes calls cheaper when a budget that it draws on runs low, or refuses them. A plan has those of
// the rules that matched.
type Degrade struct {
	Rule      string
	Below     int64  // of the limit that is left, in parts per million: then calls run cheaper at once. 0: only instead of a refusal
	Model     string // that the call is to use; "" leaves it as it is
	MaxOutput int64  // tokens of output that the call may have at most; 0 leaves it as it is

	// Unlift says that this is no rule's: a call that was to be lifted a class runs in its own, since points lack.
	Unlift bool

	draws uint32 // of the plan's draws: those of the rule, a bit each
}

// Watches reports whether the i-th draw of the plan is one of the rule's own: when it runs low, or is short, calls run cheaper.
func (g *Degrade) Watches(draw int) bool { return g.draws&(1<<draw) != 0 }

// Apply makes a call cheaper. It returns false if that changes nothing: the call is as cheap already, or states amounts
// outright, which would stay what they are.
func (g *Degrade) Apply(c *Call) bool {
	if g.Unlift {
		was := c.Priority
		c.Priority = false
		return was
	}
	if len(c.Tokens) > 0 {
		return false
	}
	changed := false
	if g.Model != "" && c.Model != g.Model {
		c.Model, changed = g.Model, true
	}
	if g.MaxOutput > 0 && c.MaxOutputTokens > g.MaxOutput {
		c.MaxOutputTokens, changed = g.MaxOutput, true
	}
	return changed
}

// degrade reads a rule's degrade.
func (d *decoder) degrade(r *rule, n *yaml.Node) {
	f := d.Mapping(n, degradeShape)
	if f == nil {
		return
	}
	n = document.Deref(n)
	g := &Degrade{Rule: r.name}
	if v := f["below"]; v != nil {
		if ppm, ok := d.Percent(v, "below"); ok && (ppm == 0 || ppm > million) {
			d.Report(document.Deref(v), "write a part of the limit, as in 20%, or leave it out: then calls run cheaper only instead of being refused", "below must be above 0%% and at most 100%%")
		} else {
			g.Below = ppm
		}
	}
	if v := f["model"]; v != nil {
		if s, ok := d.Text(v, "model"); ok {
			if s == "" || len(s) > MaxFieldLen {
				d.Report(document.Deref(v), "", "model has %d bytes, it must have 1 to %d", len(s), MaxFieldLen)
			}
			g.Model = s
		}
	}
	if v := f["max_output_tokens"]; v != nil {
		a, _ := d.Amount(v, "max_output_tokens")
		g.MaxOutput = int64(a)
	}
	if f["model"] == nil && f["max_output_tokens"] == nil {
		d.Report(n, "add model, max_output_tokens or both", "degrade changes nothing")
	}
	r.degrade = g
}
