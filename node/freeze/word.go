package freeze

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Bounds of a word, in bytes. Names are as long as calls may have them.
const (
	MaxField    = 256 // tenant, agent
	MaxInstance = 256
	MaxNode     = 128
	MaxBy       = 256
	MaxWhy      = 512
)

// maxAt bounds the time of a word, so that a later one can always be said.
const maxAt = 1 << 53

// Key names what is frozen: one instance of a budget, by its name as in "tenant-day/search"; or a tenant; or an agent of a
// tenant, of any tenant if Tenant is "".
type Key struct{ Instance, Tenant, Agent string }

// Valid reports what is wrong with a key; nil if nothing is.
func (k Key) Valid() error {
	switch {
	case k == Key{}:
		return errors.New("nothing is named: name an instance, a tenant or an agent")
	case k.Instance != "" && (k.Tenant != "" || k.Agent != ""):
		return errors.New("an instance is named with a tenant or an agent: name either")
	case len(k.Instance) > MaxInstance || len(k.Tenant) > MaxField || len(k.Agent) > MaxField:
		return fmt.Errorf("a name is too long: an instance has at most %d bytes, a tenant or an agent %d", MaxInstance, MaxField)
	}
	return nil
}

// Kind is "instance", "tenant" or "agent".
func (k Key) Kind() string {
	switch {
	case k.Instance != "":
		return "instance"
	case k.Agent != "":
		return "agent"
	}
	return "tenant"
}

func (k Key) String() string {
	switch {
	case k.Instance != "":
		return fmt.Sprintf("instance %q", k.Instance)
	case k.Agent == "":
		return fmt.Sprintf("tenant %q", k.Tenant)
	case k.Tenant == "":
		return fmt.Sprintf("agent %q", k.Agent)
	}
	return fmt.Sprintf("agent %q of tenant %q", k.Agent, k.Tenant)
}

func (k Key) compare(o Key) int {
	return cmp.Or(strings.Compare(k.Instance, o.Instance), strings.Compare(k.Tenant, o.Tenant), strings.Compare(k.Agent, o.Agent))
}

// Word is what an operator said last of a key: that it is frozen, or that it is not any more.
type Word struct {
	Key
	Frozen bool
	At     int64  // Unix ms by the clock of the node that was asked, or later than the word that this one followed there
	Node   string // that was asked
	By     string // who asked; "" if it is signed
	Why    string

	Who trust.Key // the operator who signed it; zero for none
	Sig [64]byte
}

// Signed reports whether an operator has signed the word.
func (w *Word) Signed() bool { return w.Who != trust.Key{} }

// Statement is what is signed, in the cluster of a charter.
func (w *Word) Statement(charter string) *trust.Statement {
	return trust.OfFreeze(w.Frozen, charter, w.At, w.Instance, w.Tenant, w.Agent, w.Why)
}

// Valid reports what is wrong with a word; nil if nothing is.
func (w Word) Valid() error {
	switch {
	case w.At < 0 || w.At > maxAt:
		return fmt.Errorf("a word of the time %d", w.At)
	case w.Signed() && w.By != "":
		return errors.New("a word that is signed, and says beside that who gave it")
	case w.Node == "" || len(w.Node) > MaxNode || len(w.By) > MaxBy || len(w.Why) > MaxWhy:
		return errors.New("a word that does not say who gave it, or more than it may")
	}
	return w.Key.Valid()
}

// later orders the words of one key totally: by time, then by node; one node says one thing at one time, and if it forgot
// that (its directory was lost), frozen is later, then what is greater as text.
func (w Word) later(o Word) bool {
	frozen := func(w Word) int {
		if w.Frozen {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(w.At, o.At), strings.Compare(w.Node, o.Node), cmp.Compare(frozen(w), frozen(o)),
		strings.Compare(w.By, o.By), strings.Compare(w.Why, o.Why), bytes.Compare(w.Who[:], o.Who[:]), bytes.Compare(w.Sig[:], o.Sig[:])) > 0
}

// Reason tells the caller of a call that the word refuses.
func (w Word) Reason() string {
	s := fmt.Sprintf("%s is frozen by an operator since %s", w.Key, time.UnixMilli(w.At).UTC().Format("2006-01-02 15:04:05 UTC"))
	if w.Why != "" {
		s += ": " + w.Why
	}
	return s
}
