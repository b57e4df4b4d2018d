package enrol

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Bounds of a word, in bytes.
const (
	MaxNode = 128
	MaxWhy  = 512
)

// maxAt bounds the time of a word, so that a later one can be said.
const maxAt = 1 << 53

// Identity is a node as it signs: a name, and the public key of its data directory. A directory that is made anew has another key.
type Identity struct {
	Node string
	Key  trust.Key
}

func (id Identity) compare(o Identity) int {
	return cmp.Or(strings.Compare(id.Node, o.Node), bytes.Compare(id.Key[:], o.Key[:]))
}

// Word is what an operator says of a node: that it belongs to the swarm, or does not any more. All of it is signed.
type Word struct {
	Identity
	Expelled bool
	At       int64 // Unix ms by the operator's clock, or later than the word that this one follows
	Why      string
	Who      trust.Key // who signed
	Sig      [64]byte
}

// Statement is what is signed, in the cluster of a charter.
func (w *Word) Statement(charter string) *trust.Statement {
	kind := trust.Enrol
	if w.Expelled {
		kind = trust.Expel
	}
	return trust.OfNode(kind, charter, w.At, w.Node, w.Key, w.Why)
}

// Valid reports what is wrong with the form of a word; nil if nothing is.
func (w *Word) Valid() error {
	switch {
	case w.Node == "" || len(w.Node) > MaxNode || len(w.Why) > MaxWhy:
		return errors.New("a word on a node that names none, or says more than it may")
	case w.At < 0 || w.At > maxAt:
		return fmt.Errorf("a word of the time %d", w.At)
	}
	return nil
}

// later orders the words on one node totally: by time, then those that expel.
func (w *Word) later(o *Word) bool { return w.order(o) > 0 }

func (w *Word) order(o *Word) int {
	expelled := func(w *Word) int {
		if w.Expelled {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(w.At, o.At), cmp.Compare(expelled(w), expelled(o)), bytes.Compare(w.Who[:], o.Who[:]),
		strings.Compare(w.Why, o.Why), bytes.Compare(w.Sig[:], o.Sig[:]))
}

// Reason is why a word is not taken.
type Reason uint8

const (
	Stranger Reason = iota // nobody who signs now has signed it
	Forged                 // the signature is not that of the key which it names
)

// Refused is the error of a word that is not taken.
type Refused struct {
	Why  Reason
	What string
}

func (r *Refused) Error() string { return r.What }

// Check reports why a word that is valid in form is not taken, where signers sign in the cluster of a charter: a *Refused; nil if it is.
func (w *Word) Check(charter string, signers []trust.Signer) error {
	switch {
	case trust.Rank(signers, w.Who) < 0:
		return &Refused{Stranger, fmt.Sprintf("a word on node %.64q, whose key %s is not one of those that sign now", w.Node, w.Who)}
	case !w.Who.Verify(w.Statement(charter), w.Sig):
		return &Refused{Forged, fmt.Sprintf("a word on node %.64q with a signature that is not that of its key %s", w.Node, w.Who)}
	}
	return nil
}
