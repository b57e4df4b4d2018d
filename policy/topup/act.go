package topup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Bounds of an act, in bytes; and of its key, in values.
const (
	MaxNode  = 128
	MaxField = 256 // of the budget, and of each value of the key
	MaxKey   = 8
	MaxID    = 128
	MaxWhy   = 512
)

// maxAt bounds the time of an act.
const maxAt = 1 << 53

// Act is a top-up of one instance at one holder, as an operator signed it. All but Who and Sig is signed.
type Act struct {
	Holder ledger.Holder
	Budget string
	Key    []string // values of the budget's per
	Amount ledger.Tokens
	ID     string // an act is done once by it
	Why    string
	At     int64 // Unix ms by the operator's clock; at most trust.Lasts from that of the holder when it was done
	Who    trust.Key
	Sig    [64]byte
}

// Statement is what is signed, in the cluster of a charter.
func (a *Act) Statement(charter string) *trust.Statement {
	return trust.OfMint(charter, a.At, a.Holder.Node, strconv.FormatUint(a.Holder.Gen, 16), a.Budget, a.Key, int64(a.Amount), a.ID, a.Why)
}

// Valid reports what is wrong with the form of an act; nil if nothing is.
func (a *Act) Valid() error {
	switch {
	case a.Holder.Node == "" || len(a.Holder.Node) > MaxNode || a.Holder.Gen == 0:
		return errors.New("a top-up at no holder")
	case a.Budget == "" || len(a.Budget) > MaxField || len(a.Key) > MaxKey || slices.ContainsFunc(a.Key, func(k string) bool { return len(k) > MaxField }):
		return errors.New("a top-up of no instance")
	case a.Amount <= 0 || a.Amount > ledger.MaxTokens:
		return fmt.Errorf("a top-up of %d tokens", a.Amount)
	case a.ID == "" || len(a.ID) > MaxID || len(a.Why) > MaxWhy:
		return errors.New("a top-up without an id, or that says more than it may")
	case a.At < 0 || a.At > maxAt:
		return fmt.Errorf("a top-up of the time %d", a.At)
	}
	return nil
}

// order is total over acts that are the same but for their times, reasons and signers: the latest counts where the earlier one does, and longer.
func (a *Act) order(o *Act) int {
	return cmp.Or(cmp.Compare(a.At, o.At), bytes.Compare(a.Who[:], o.Who[:]), strings.Compare(a.Why, o.Why), bytes.Compare(a.Sig[:], o.Sig[:]))
}

// Reason is why an act is not taken.
type Reason uint8

const (
	Stranger Reason = iota // nobody who is known to sign, or to have signed, has signed it
	Forged                 // the signature is not that of the key which it names
)

// Refused is the error of an act that is not taken.
type Refused struct {
	Why  Reason
	What string
}

func (r *Refused) Error() string { return r.What }

// Check reports why an act that is valid in form is not taken in the cluster of a charter: a *Refused; nil if it is. signs says whose signatures
// count: of all who have signed since trust began, as what was minted under a signature stays when its signer is taken off the list.
func (a *Act) Check(charter string, signs func(trust.Key) bool) error {
	switch {
	case !signs(a.Who):
		return &Refused{Stranger, fmt.Sprintf("a top-up of %.64q at %v, whose key %s is on no list of signers", a.Budget, a.Holder, a.Who)}
	case !a.Who.Verify(a.Statement(charter), a.Sig):
		return &Refused{Forged, fmt.Sprintf("a top-up of %.64q at %v with a signature that is not that of its key %s", a.Budget, a.Holder, a.Who)}
	}
	return nil
}
