package policy

import (
	"cmp"
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// decoder reads policies.
type decoder struct {
	document.Decoder
	flags []string // names that expressions may look at
	pools []pool   // what upstreams say of budgets
}

// Parse reads, checks and compiles one document. file is only its name, for errors. The error is an
// *Errors with every mistake found, up to MaxErrors. src is copied.
func Parse(file string, src []byte) (*Policy, error) { return parse(file, src, false, false, 0, 0) }

// ParseNewer is Parse for a document that a node has checked which may be of a newer version: fields that this version does not
// know are passed over, and named by Ignored, unless the document requires them.
func ParseNewer(file string, src []byte) (*Policy, error) {
	return parse(file, src, false, true, 0, 0)
}

// ParsePart is Parse for a document that is a part of a file: its first line is the one that comes after below
// others, and its lines are indented there by right characters. Positions are those of the file.
func ParsePart(file string, src []byte, below, right int) (*Policy, error) {
	return parse(file, src, false, false, below, right)
}

// parse is ParsePart; builtin allows revision 0, which is older than every other, and newer fields that are not known.
func parse(file string, src []byte, builtin, newer bool, below, right int) (*Policy, error) {
	d := &decoder{Decoder: document.Decoder{
		File: cmp.Or(file, "policy"), Noun: "policy", Start: "start with apiVersion: " + apiVersion, Below: below, Right: right, Lenient: newer,
	}}
	src, root := d.Open(src)
	if root == nil {
		return nil, d.Err()
	}
	p := &Policy{
		file: file, start: d.At(1, 1), source: src, hash: sha256.Sum256(src), zone: time.UTC, guards: ledger.DefaultGuards, audit: defaultAudit,
		tokenBy: map[string]*tokenType{}, classBy: map[string]*Class{}, budgetBy: map[string]*Budget{},
		tenants: map[string]int{},
	}
	d.document(p, root, builtin || p.hash == builtinHash())
	if err := d.Err(); err != nil {
		return nil, err
	}
	p.ignored = d.Ignored
	return p, nil
}

func (d *decoder) document(p *Policy, root *yaml.Node, builtin bool) {
	f := d.Mapping(root, documentShape)
	if f == nil {
		return
	}
	if n := f["apiVersion"]; n != nil {
		if s, ok := d.Text(n, "apiVersion"); ok && s != apiVersion {
			d.Report(n, "write "+apiVersion, "this version does not know apiVersion %q", document.Clip(s))
		}
	}
	if n := f["revision"]; n != nil {
		p.revision = d.revision(n, builtin)
	}
	if n := f["requires"]; n != nil {
		d.requires(n)
	}
	if n := f["timezone"]; n != nil {
		p.zone = d.timezone(n)
	}
	d.guards(p, f)
	if n := f["audit"]; n != nil {
		d.audit(p, n)
	}
	if n := f["rollout"]; n != nil {
		p.rollout = d.rollout(n, nil)
	}
	if n := f["tokens"]; n != nil {
		d.tokens(p, n)
	}
	d.classes(p, f["classes"])
	if n := f["tenants"]; n != nil {
		d.tenants(p, n)
	}
	if n := f["backpressure"]; n != nil {
		d.backpressure(p, n)
	}
	if n := f["data"]; n != nil {
		d.datasets(p, n)
	}
	if n := f["upstreams"]; n != nil {
		d.upstreams(p, n)
	}
	if n := f["callers"]; n != nil {
		d.callers(p, n)
	}
	if n := f["trust"]; n != nil {
		d.trust(p, n)
	}
	if n := f["budgets"]; n != nil {
		for i, item := range d.Items(n, "budgets", "write a list of budgets, or leave the field out", MaxBudgets) {
			if b := d.budget(p, item, i); b != nil {
				p.budgets = append(p.budgets, b)
			}
		}
	}
	if n := f["flags"]; n != nil {
		d.readFlags(p, n)
	}
	d.flags = p.flagNames()
	if n := f["experiments"]; n != nil {
		d.experiments(p, n)
	}
	d.upstreamDraws(p)
	if n := f["rules"]; n != nil {
		d.rules(p, n)
	}
	d.meters(p)
	if n := f["ratelimit"]; n != nil {
		d.rateDomains(p, n)
	}
	if n := f["default"]; n != nil {
		switch s, ok := d.Text(n, "default"); {
		case !ok:
		case s == "admit":
			p.admit = true
		case s != "deny":
			d.Report(n, "write admit or deny", "default cannot be %q", document.Clip(s))
		}
	}
	if len(p.reads.attrs) > maxAttrs {
		d.Report(root, "", "rules and budgets look at %d different attributes, at most %d are allowed", len(p.reads.attrs), maxAttrs)
	}
}

func (d *decoder) revision(n *yaml.Node, builtin bool) int64 {
	n = document.Deref(n)
	const advice = "write a whole number from 1, and raise it with every change"
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.Report(n, advice, "revision must be a whole number, not %s", document.KindOf(n))
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || v < 1 && !builtin || v < 0 || v > int64(ledger.MaxTokens) {
		d.Report(n, advice, "revision cannot be %s", document.Clip(n.Value))
		return 0
	}
	return v
}

// zones holds every zone that was loaded, so that two policies with one time zone have equal Specs: a
// Spec holds the *time.Location. Only names that exist get in, so it stays small.
var zones sync.Map // string -> *time.Location

func (d *decoder) timezone(n *yaml.Node) *time.Location {
	s, ok := d.Text(n, "timezone")
	if !ok {
		return time.UTC
	}
	const advice = "write an IANA name, as in UTC or Europe/Berlin"
	// Local is a different zone on every machine.
	if s == "" || s == "Local" {
		d.Report(n, advice, "timezone cannot be %q", s)
		return time.UTC
	}
	if z, ok := zones.Load(s); ok {
		return z.(*time.Location)
	}
	loaded, err := time.LoadLocation(s)
	if err != nil {
		d.Report(n, advice, "unknown timezone %q", document.Clip(s))
		return time.UTC
	}
	z, _ := zones.LoadOrStore(s, loaded)
	return z.(*time.Location)
}

func (d *decoder) tokens(p *Policy, n *yaml.Node) {
	list := d.Entries(n, "tokens", "write token types by name, as in compute: {unit: token}")
	if len(list) > MaxTokenType {
		d.Report(list[MaxTokenType].Key, "", "there are %d token types, at most %d are allowed", len(list), MaxTokenType)
		list = list[:MaxTokenType]
	}
	for _, e := range list {
		if !d.NameOK(e.Key, "a token type's name", e.Key.Value) {
			continue
		}
		t := &tokenType{name: e.Key.Value, pos: d.Pos(e.Key)}
		p.tokens = append(p.tokens, t)
		p.tokenBy[t.name] = t
		p.points = p.points || t.name == PriorityToken
		f := d.Mapping(e.Value, tokenShape)
		if n := f["unit"]; n != nil {
			if s, ok := d.Text(n, "unit"); ok {
				t.unitPos = d.Pos(document.Deref(n))
				switch {
				case s == "" || len(s) > MaxName || !utf8.ValidString(s) || strings.ContainsAny(s, "\n\t"):
					d.Report(n, "", "unit must be a short word of 1 to %d bytes", MaxName)
				default:
					t.unit = singular(s)
				}
			}
		}
		if n := f["decay"]; n != nil {
			if n := d.Mapping(n, decayShape)["half_life"]; n != nil {
				if life, ok := d.Duration(n, "half_life"); ok {
					if life < time.Second {
						d.Report(n, "", "half_life must be 1s or more")
					}
					t.halfLife = ledger.Millis(life.Milliseconds())
				}
			}
		}
	}
}

// singular lets people write the plural of the units that have a default cost.
func singular(unit string) string {
	if one, ok := strings.CutSuffix(unit, "s"); ok {
		if _, known := unitCosts[one]; known {
			return one
		}
	}
	return unit
}

func (p *Policy) classNames() []string {
	list := make([]string, len(p.classes))
	for i, c := range p.classes {
		list[i] = c.Name
	}
	return list
}

func (p *Policy) budgetNames() []string {
	list := make([]string, len(p.budgets))
	for i, b := range p.budgets {
		list[i] = b.Name
	}
	return list
}
