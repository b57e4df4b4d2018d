package wire

import (
	"errors"
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const (
	maxSigners = trust.MaxSigners * (trust.MaxName + 32 + 16)
	// maxSigned is the most that one signed word takes, in bytes.
	maxSigned = rollout.MaxNode + rollout.MaxWhy + policy.MaxZones*(policy.MaxName+4) + 2*policy.MaxName + maxSigners + 512
	// maxSignedWords bounds those of one record; messages hold fewer.
	maxSignedWords = rollout.MaxEntries * trust.MaxSigners * 5
	// SignedAtOnce is how many words one message holds.
	SignedAtOnce = 16
)

// Trust is what a node knows of signed words on revisions, or a part of it: where its trust begins, nil if nowhere, and words.
type Trust struct {
	Anchor *rollout.Anchor
	Words  []rollout.Signed
}

// EncodeTrust is the inverse of DecodeTrust.
func EncodeTrust(t *Trust) []byte {
	anchor := []byte{}
	if a := t.Anchor; a != nil {
		anchor = encode(a.Revision, a.Hash[:], encodeWordOf(&a.Whole), encodeSigners(a.Signers))
	}
	fields := []any{anchor}
	for i := range t.Words {
		w := &t.Words[i]
		how := []byte{}
		if w.Kind == trust.Try {
			how = encode(howFields(&w.How)...)
		}
		fields = append(fields, encode(w.Kind, w.Revision, w.Hash[:], w.From.Revision, w.From.Hash[:], w.At, w.Why, how, encodeSigners(w.Next), w.Who[:], w.Sig[:], w.Node))
	}
	return encode(fields...)
}

// Death is an operator's signed word that members are dead: to whom it was given, and what was signed.
type Death struct {
	Heir, Generation string
	Dead             []string
	Stock, Limits    []trust.Stated
	Unseen           bool
	Why              string
	By               trust.Key
	At               int64
	Sig              [64]byte
}

// Statement is what is signed, in the cluster of a charter.
func (d *Death) Statement(charter string) *trust.Statement {
	return trust.OfDeath(charter, d.At, d.Heir, d.Generation, d.Dead, d.Stock, d.Limits, d.Unseen, d.Why)
}

// EncodeDeath is the inverse of DecodeDeath.
func EncodeDeath(d *Death) []byte {
	stated := func(in []trust.Stated) []byte {
		var fields []any
		for _, s := range in {
			fields = append(fields, s.Instance, s.Amount)
		}
		return encode(fields...)
	}
	var dead []any
	for _, n := range d.Dead {
		dead = append(dead, n)
	}
	return encode(d.Heir, d.Generation, encode(dead...), stated(d.Stock), stated(d.Limits), flag(d.Unseen), d.Why, d.By[:], d.At, d.Sig[:])
}

// DecodeDeath reads such a word. Its signature is not checked.
func DecodeDeath(b []byte) (d Death, err error) {
	r, _ := open(b, 10)
	d.Heir, d.Generation = string(r.bytes(ledger.MaxNameLen)), string(r.bytes(16))
	if p, n := r.part(ledger.MaxVouched*(ledger.MaxNameLen+4)+8, 0); p != nil {
		if n > ledger.MaxVouched {
			p.fail(fmt.Errorf("%d members", n))
		}
		for i := 0; i < n && p.err == nil; i++ {
			d.Dead = append(d.Dead, string(p.bytes(ledger.MaxNameLen)))
		}
		r.fail(p.err)
	}
	d.Stock, d.Limits = r.stated(), r.stated()
	d.Unseen, d.Why = r.int() != 0, string(r.bytes(ledger.MaxSaid))
	r.hash((*[32]byte)(&d.By))
	d.At = r.int()
	r.signature(&d.Sig)
	if r.err == nil && (d.Heir == "" || len(d.Dead) == 0) {
		r.fail(errors.New("a word on nobody, or given to nobody"))
	}
	if r.err != nil {
		return Death{}, r.err
	}
	return d, nil
}

// maxInstance is the most that the name of an instance takes, as operators write it, in bytes.
const maxInstance = 4096

func (r *reader) stated() (list []trust.Stated) {
	p, n := r.part(ledger.MaxStated*(maxInstance+16), 0)
	if p == nil {
		return nil
	}
	if n > 2*ledger.MaxStated || n%2 != 0 {
		p.fail(fmt.Errorf("%d fields of amounts", n))
	}
	for i := 0; i < n/2 && p.err == nil; i++ {
		list = append(list, trust.Stated{Instance: string(p.bytes(maxInstance)), Amount: p.int()})
	}
	r.fail(p.err)
	return list
}

func (r *reader) signature(into *[64]byte) {
	b := r.bytes(len(into))
	if r.err == nil && len(b) != len(into) {
		r.fail(fmt.Errorf("a signature of %d bytes", len(b)))
	}
	copy(into[:], b)
}

func encodeSigners(list []trust.Signer) []byte {
	var fields []any
	for i := range list {
		fields = append(fields, list[i].Name, list[i].Key[:])
	}
	return encode(fields...)
}

// DecodeTrust reads what a peer knows. What it returns is valid in form; no signature is checked.
func DecodeTrust(b []byte) (t Trust, err error) {
	r, n := open(b, 1)
	if n-1 > maxSignedWords {
		r.fail(fmt.Errorf("%d signed words, at most %d are allowed", n-1, maxSignedWords))
	}
	if p, _ := r.part(maxEntry+maxSigners, 4); p != nil {
		a := &rollout.Anchor{Key: rollout.Key{Revision: p.int()}}
		p.hash(&a.Hash)
		a.Whole = p.word()
		a.Signers = p.signers()
		if p.err == nil {
			p.fail(a.Valid())
		}
		r.fail(p.err)
		t.Anchor = a
	}
	for i := 1; i < n; i++ {
		one := r.bytes(maxSigned)
		if r.err != nil {
			return Trust{}, r.err
		}
		w, err := decodeSigned(one)
		if err != nil {
			return Trust{}, err
		}
		t.Words = append(t.Words, w)
	}
	if r.err != nil {
		return Trust{}, r.err
	}
	return t, nil
}

func decodeSigned(b []byte) (w rollout.Signed, err error) {
	r, _ := open(b, 12)
	w.Kind = string(r.bytes(64))
	w.Revision = r.int()
	r.hash(&w.Hash)
	w.From.Revision = r.int()
	r.hash(&w.From.Hash)
	w.At, w.Why = r.int(), string(r.bytes(rollout.MaxWhy))
	if p, n := r.part(maxSigned, 6); p != nil {
		w.How = p.how(n)
		r.fail(p.err)
	}
	w.Next = r.signers()
	r.hash((*[32]byte)(&w.Who))
	r.signature(&w.Sig)
	w.Node = string(r.bytes(rollout.MaxNode))
	if r.err == nil {
		r.fail(w.Valid())
	}
	return w, r.err
}

// signers reads a list that is a field.
func (r *reader) signers() (list []trust.Signer) {
	p, n := r.part(maxSigners, 0)
	if p == nil {
		return nil
	}
	if n > 2*trust.MaxSigners || n%2 != 0 {
		p.fail(fmt.Errorf("%d fields of signers", n))
	}
	for i := 0; i < n/2 && p.err == nil; i++ {
		s := trust.Signer{Name: string(p.bytes(trust.MaxName))}
		p.hash((*[32]byte)(&s.Key))
		list = append(list, s)
	}
	r.fail(p.err)
	return list
}
