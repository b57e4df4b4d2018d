package policy

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Signers are the operators who must sign changes of the policy, mints and words on dead members once the document is in force, in its
// order; nil if nobody need sign. The caller must not change it.
func (p *Policy) Signers() []trust.Signer { return p.signers }

// Enrols reports whether nodes listen only to nodes that a signer has enrolled once the document is in force.
func (p *Policy) Enrols() bool { return p.enrol }

func sameSigners(a, b []trust.Signer) bool { return slices.Equal(a, b) }

// checkTrust looks for lists with which operators shut themselves out, and for what signers make void.
func (p *Policy) checkTrust(warn func(Pos, string, ...any)) {
	if len(p.signers) == 0 {
		return
	}
	if len(p.signers) == 1 {
		warn(p.signersPos, "only %q signs: if that key is lost, nobody can change the policy any more; list a second operator", p.signers[0].Name)
	}
	if p.rollout != nil && p.rollout.Bake > 0 && !p.rollout.Shadow() {
		warn(p.signersPos, "with signers a candidate is not promoted by itself when it has baked: an operator signs that, with swarmpurse policy promote")
	}
}
