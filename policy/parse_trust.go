package policy

import (
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// trust reads who signs what operators do.
func (d *decoder) trust(p *Policy, n *yaml.Node) {
	f := d.Mapping(n, trustShape)
	if f == nil {
		return
	}
	if f["signers"] != nil {
		d.signers(p, f["signers"])
	}
	if n := f["enrol"]; n != nil {
		p.enrol = d.Boolean(n, "enrol")
		if p.enrol && len(p.signers) == 0 {
			d.Report(document.Deref(n), "list the operators who enrol nodes under trust.signers, or leave enrol out", "enrol needs signers")
		}
	}
}

// signers reads the operators' keys.
func (d *decoder) signers(p *Policy, n *yaml.Node) {
	names, keys := map[string]*yaml.Node{}, map[string]*yaml.Node{}
	p.signersPos = d.Pos(document.Deref(n))
	for _, item := range d.Items(n, "signers", "write a list of operators' keys, or leave the field out", trust.MaxSigners) {
		g := d.Mapping(item, signerShape)
		if g == nil {
			continue
		}
		var s trust.Signer
		if n := g["name"]; n != nil {
			if v, ok := d.Name(n, "a signer's name"); ok && d.Unique(names, n, v, "signer") {
				s.Name = v
			}
		}
		if n := g["key"]; n != nil {
			s.Key = d.signerKey(n, keys)
		}
		p.signers = append(p.signers, s)
	}
}

// signerKey reads an operator's public key. What it quotes of a mistake is not the text: it may be the secret.
func (d *decoder) signerKey(n *yaml.Node, first map[string]*yaml.Node) trust.Key {
	const advice = "write ed25519: and 64 hexadecimal digits, as swarmpurse keys operator prints them"
	s, ok := d.Text(n, "key")
	if !ok {
		return trust.Key{}
	}
	k, err := trust.ParseKey(s)
	switch {
	case trust.IsSecret(s):
		d.Report(document.Deref(n), advice+"; and make another key: this one is known now to all who have read the document", "key must be the public key of an operator, not the secret one")
	case err != nil:
		d.Report(document.Deref(n), advice, "key is no public key of an operator")
	case d.Unique(first, n, k.String(), "key"):
		return k
	}
	return trust.Key{}
}
