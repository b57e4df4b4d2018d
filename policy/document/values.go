package document

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Duration reads a duration as ParseDuration does.
func (d *Decoder) Duration(n *yaml.Node, what string) (time.Duration, bool) {
	s, ok := d.Scalar(n, what, "write it as in 250ms, 10s, 1h or 7d")
	if !ok {
		return 0, false
	}
	v, err := ParseDuration(s)
	if err != nil {
		d.ScalarErr(Deref(n), what, err)
		return 0, false
	}
	return v, true
}

// Amount reads an amount as ParseAmount does.
func (d *Decoder) Amount(n *yaml.Node, what string) (ledger.Tokens, bool) {
	s, ok := d.Scalar(n, what, "write a whole number, as in 5000, 5k or 2.5M")
	if !ok {
		return 0, false
	}
	v, err := ParseAmount(s)
	if err != nil {
		d.ScalarErr(Deref(n), what, err)
		return 0, false
	}
	return v, true
}

// Percent reads a fraction as parts per million, as ParsePPM does.
func (d *Decoder) Percent(n *yaml.Node, what string) (int64, bool) {
	s, ok := d.Scalar(n, what, "write it as in 10%")
	if !ok {
		return 0, false
	}
	v, err := ParsePPM(s)
	if err != nil {
		d.ScalarErr(Deref(n), what, err)
		return 0, false
	}
	return v, true
}

// Unique reports whether a name is new in first, which holds the nodes that gave the others.
func (d *Decoder) Unique(first map[string]*yaml.Node, n *yaml.Node, name, what string) bool {
	n = Deref(n)
	if was, ok := first[name]; ok {
		d.Report(n, "", "%s %q is given twice, first on line %d", what, name, was.Line)
		return false
	}
	first[name] = n
	return true
}
