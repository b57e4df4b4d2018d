package policy

import (
	"bytes"
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Parse reads, checks and compiles one document. file is only its name, for errors. The error is an
// *Errors with every mistake found, up to MaxErrors. src is copied.
func Parse(file string, src []byte) (*Policy, error) { return parse(file, src, false) }

// parse is Parse; builtin allows revision 0, which is older than every other.
func parse(file string, src []byte, builtin bool) (*Policy, error) {
	d := &decoder{file: file}
	if len(src) > MaxSource {
		d.errAt(Pos{File: file}, "", "the document has %d bytes, at most %d are allowed", len(src), MaxSource)
		return nil, d.errs.result()
	}
	src = canonical(src)
	d.lines = strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")
	if line, column, ok := badUTF8(d.lines); !ok {
		d.errAt(Pos{file, line, column}, "save it as UTF-8", "the file is not UTF-8 text")
		return nil, d.errs.result()
	}
	p := &Policy{
		file: file, source: src, hash: sha256.Sum256(src), zone: time.UTC,
		tokenBy: map[string]*tokenType{}, classBy: map[string]*Class{}, budgetBy: map[string]*Budget{},
	}
	if root := d.load(src); root != nil {
		builtin = builtin || p.hash == builtinHash()
		d.document(p, root, builtin)
	}
	if err := d.errs.result(); err != nil {
		return nil, err
	}
	return p, nil
}

// canonical removes what editors add and what means nothing: a byte order mark and carriage returns
// at the ends of lines.
func canonical(src []byte) []byte {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	return bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")) // always a copy
}

func badUTF8(lines []string) (line, column int, ok bool) {
	for i, l := range lines {
		if utf8.ValidString(l) {
			continue
		}
		for j, r := range l {
			if r == utf8.RuneError {
				if _, size := utf8.DecodeRuneInString(l[j:]); size == 1 {
					return i + 1, utf8.RuneCountInString(l[:j]) + 1, false
				}
			}
		}
	}
	return 0, 0, true
}

func (d *decoder) document(p *Policy, root *yaml.Node, builtin bool) {
	f := d.fields(root, documentShape)
	if f == nil {
		return
	}
	if n := f["apiVersion"]; n != nil {
		if s, ok := d.text(n, "apiVersion"); ok && s != apiVersion {
			d.err(n, "write "+apiVersion, "this version does not know apiVersion %q", clip(s))
		}
	}
	if n := f["revision"]; n != nil {
		p.revision = d.revision(n, builtin)
	}
	if n := f["timezone"]; n != nil {
		p.zone = d.timezone(n)
	}
	if n := f["tokens"]; n != nil {
		d.tokens(p, n)
	}
	d.classes(p, f["classes"])
	if n := f["budgets"]; n != nil {
		for i, item := range d.items(n, "budgets", "write a list of budgets, or leave the field out", MaxBudgets) {
			if b := d.budget(p, item, i); b != nil {
				p.budgets = append(p.budgets, b)
			}
		}
	}
	if n := f["rules"]; n != nil {
		d.rules(p, n)
	}
	if n := f["default"]; n != nil {
		switch s, ok := d.text(n, "default"); {
		case !ok:
		case s == "admit":
			p.admit = true
		case s != "deny":
			d.err(n, "write admit or deny", "default cannot be %q", clip(s))
		}
	}
	if len(p.reads.attrs) > maxAttrs {
		d.err(root, "", "rules and budgets look at %d different attributes, at most %d are allowed", len(p.reads.attrs), maxAttrs)
	}
}

func (d *decoder) revision(n *yaml.Node, builtin bool) int64 {
	n = deref(n)
	const advice = "write a whole number from 1, and raise it with every change"
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.err(n, advice, "revision must be a whole number, not %s", kindOf(n))
		return 0
	}
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil || v < 1 && !builtin || v < 0 || v > int64(ledger.MaxTokens) {
		d.err(n, advice, "revision cannot be %s", clip(n.Value))
		return 0
	}
	return v
}

// zones holds every zone that was loaded, so that two policies with one time zone have equal Specs: a
// Spec holds the *time.Location. Only names that exist get in, so it stays small.
var zones sync.Map // string -> *time.Location

func (d *decoder) timezone(n *yaml.Node) *time.Location {
	s, ok := d.text(n, "timezone")
	if !ok {
		return time.UTC
	}
	const advice = "write an IANA name, as in UTC or Europe/Berlin"
	// Local is a different zone on every machine.
	if s == "" || s == "Local" {
		d.err(n, advice, "timezone cannot be %q", s)
		return time.UTC
	}
	if z, ok := zones.Load(s); ok {
		return z.(*time.Location)
	}
	loaded, err := time.LoadLocation(s)
	if err != nil {
		d.err(n, advice, "unknown timezone %q", clip(s))
		return time.UTC
	}
	z, _ := zones.LoadOrStore(s, loaded)
	return z.(*time.Location)
}

func (d *decoder) tokens(p *Policy, n *yaml.Node) {
	list := d.entries(n, "tokens", "write token types by name, as in compute: {unit: token}")
	if len(list) > MaxTokenType {
		d.err(list[MaxTokenType].key, "", "there are %d token types, at most %d are allowed", len(list), MaxTokenType)
		list = list[:MaxTokenType]
	}
	for _, e := range list {
		if !d.nameOK(e.key, "a token type's name", e.key.Value) {
			continue
		}
		t := &tokenType{name: e.key.Value, pos: d.pos(e.key)}
		p.tokens = append(p.tokens, t)
		p.tokenBy[t.name] = t
		f := d.fields(e.value, tokenShape)
		if n := f["unit"]; n != nil {
			if s, ok := d.text(n, "unit"); ok {
				t.unitPos = d.pos(deref(n))
				switch {
				case s == "" || len(s) > MaxName || !utf8.ValidString(s) || strings.ContainsAny(s, "\n\t"):
					d.err(n, "", "unit must be a short word of 1 to %d bytes", MaxName)
				default:
					t.unit = singular(s)
				}
			}
		}
		if n := f["decay"]; n != nil {
			if n := d.fields(n, decayShape)["half_life"]; n != nil {
				if life, ok := d.duration(n, "half_life"); ok {
					if life < time.Second {
						d.err(n, "", "half_life must be 1s or more")
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

func (d *decoder) duration(n *yaml.Node, what string) (time.Duration, bool) {
	s, ok := d.scalar(n, what, "write it as in 250ms, 10s, 1h or 7d")
	if !ok {
		return 0, false
	}
	v, err := ParseDuration(s)
	if err != nil {
		d.scalarErr(deref(n), what, err)
		return 0, false
	}
	return v, true
}

func (d *decoder) amount(n *yaml.Node, what string) (ledger.Tokens, bool) {
	s, ok := d.scalar(n, what, "write a whole number, as in 5000, 5k or 2.5M")
	if !ok {
		return 0, false
	}
	v, err := ParseAmount(s)
	if err != nil {
		d.scalarErr(deref(n), what, err)
		return 0, false
	}
	return v, true
}

func (d *decoder) percent(n *yaml.Node, what string) (int64, bool) {
	s, ok := d.scalar(n, what, "write it as in 10%")
	if !ok {
		return 0, false
	}
	v, err := parsePPM(s)
	if err != nil {
		d.scalarErr(deref(n), what, err)
		return 0, false
	}
	return v, true
}

// Class of a document without classes.
const (
	defaultClassName = "standard"
	defaultLatency   = 2 * time.Second
	maxLatency       = time.Hour
)

func (d *decoder) classes(p *Policy, n *yaml.Node) {
	var items []*yaml.Node
	if n != nil {
		items = d.items(n, "classes", "write a list of classes, or leave the field out", MaxClasses)
	}
	first, defaultIndex := map[string]*yaml.Node{}, -1
	for _, item := range items {
		f := d.fields(item, classShape)
		if f == nil {
			continue
		}
		c := Class{Weight: 1, LatencyBudget: defaultLatency, Index: len(p.classes)}
		if n := f["name"]; n != nil {
			s, ok := d.name(n, "a class's name")
			if ok && d.unique(first, n, s, "class") {
				c.Name = s
			}
		}
		if n := f["weight"]; n != nil {
			s, ok := d.scalar(n, "weight", "write a whole number from 1 to 1000")
			w, err := strconv.Atoi(s)
			if ok && (err != nil || w < 1 || w > MaxWeight) {
				d.err(deref(n), "write a whole number from 1 to 1000", "weight cannot be %s", clip(s))
			}
			c.Weight = w
		}
		if n := f["latency_budget"]; n != nil {
			if v, ok := d.duration(n, "latency_budget"); ok {
				if v > maxLatency {
					d.err(deref(n), "", "latency_budget is %s, at most %s is allowed", v, maxLatency)
				}
				c.LatencyBudget = v
			}
		}
		if n := f["default"]; n != nil && d.boolean(n, "default") {
			if defaultIndex >= 0 {
				d.err(n, "mark one class only", "class %q is the default already", p.classes[defaultIndex].Name)
			} else {
				defaultIndex = c.Index
			}
		}
		p.classes = append(p.classes, c)
	}
	if len(p.classes) == 0 {
		p.classes = []Class{{Name: defaultClassName, Weight: 1, LatencyBudget: defaultLatency}}
	}
	for i := range p.classes {
		if c := &p.classes[i]; c.Name != "" {
			p.classBy[c.Name] = c
		}
	}
	p.defaultClass = &p.classes[max(0, defaultIndex)]
}

// unique reports whether a name is new in first, which holds the nodes that gave the others.
func (d *decoder) unique(first map[string]*yaml.Node, n *yaml.Node, name, what string) bool {
	n = deref(n)
	if was, ok := first[name]; ok {
		d.err(n, "", "%s %q is given twice, first on line %d", what, name, was.Line)
		return false
	}
	first[name] = n
	return true
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
