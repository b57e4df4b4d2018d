package policy

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Audit says what of calls goes into a node's audit log.
type Audit struct {
	// Parts per million of calls that are admitted and refused, chosen by their ids.
	Admitted, Refused uint32
	// Refuse has calls deferred while the log cannot be written; else what does not fit is dropped, and counted.
	Refuse bool
}

const allCalls = 1_000_000

var defaultAudit = Audit{Admitted: allCalls, Refused: allCalls}

// Audit says what of calls goes into the audit log.
func (p *Policy) Audit() Audit { return p.audit }

func (d *decoder) audit(p *Policy, n *yaml.Node) {
	f := d.Mapping(n, auditShape)
	if n := f["decisions"]; n != nil {
		const advice = "write all, refusals, none, or a part of all calls as in 5%"
		switch s, ok := d.Scalar(n, "decisions", advice); {
		case !ok || s == "all":
		case s == "refusals":
			p.audit.Admitted = 0
		case s == "none":
			p.audit.Admitted, p.audit.Refused = 0, 0
		case strings.HasSuffix(s, "%"):
			if ppm, ok := d.Percent(n, "decisions"); ok {
				if ppm > allCalls {
					d.Report(document.Deref(n), advice, "decisions is %s: there are no more calls than all", document.Clip(s))
					return
				}
				p.audit.Admitted, p.audit.Refused = uint32(ppm), uint32(ppm)
			}
		default:
			d.Report(document.Deref(n), advice, "decisions cannot be %s", document.Clip(s))
		}
	}
	if n := f["on_full"]; n != nil {
		switch s, ok := d.Text(n, "on_full"); {
		case !ok || s == "drop":
		case s == "refuse":
			p.audit.Refuse = true
		default:
			d.Report(document.Deref(n), "write drop or refuse", "on_full cannot be %s", document.Clip(s))
		}
	}
}
