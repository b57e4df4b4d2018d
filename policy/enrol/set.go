package enrol

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const (
	// MaxNodes is how many nodes may be spoken of until words on others are refused at the node that is asked.
	MaxNodes = 8192
	// maxKept bounds the nodes of a Set, those that were expelled included: their words must be kept, or the older word that they
	// belong would count again.
	maxKept = 2 * MaxNodes
	// Buckets is in how many parts Sets are compared.
	Buckets = 64
)

// ErrFull says that too many nodes are spoken of.
var ErrFull = errors.New("too many nodes are enrolled or expelled")

// Set is of each node the last word of each operator. Sets merge as words do that come alone: in any order, any number of times
// (semilattice), as long as they speak of no more than maxKept nodes. Beyond that those are forgotten on whom nobody has said anything for
// longest: they do not belong then. What counts is judged by who signs at the time, so that the words of a key that was taken off the list
// count for nothing, and do again if it is put back. A Set has one owner. The zero value is empty.
type Set struct {
	words map[Identity][]Word // at most one of each operator
}

// Merge takes words over that are later than those known of their operators, and returns these. Signatures are not checked. signers are
// those who sign now: where the operators of one node become too many, others are forgotten first.
func (s *Set) Merge(ws []Word, signers []trust.Signer) (news []Word) {
	if s.words == nil {
		s.words = map[Identity][]Word{}
	}
	for _, w := range ws {
		list := s.words[w.Identity]
		i := slices.IndexFunc(list, func(o Word) bool { return o.Who == w.Who })
		switch {
		case i >= 0 && !w.later(&list[i]):
			continue
		case i >= 0:
			list[i] = w
		default:
			if list = append(list, w); len(list) > trust.MaxSigners {
				list = forgetOne(list, signers)
			}
			s.words[w.Identity] = list
		}
		if slices.Contains(list, w) {
			news = append(news, w)
		}
	}
	for len(s.words) > maxKept {
		s.forget()
	}
	return slices.DeleteFunc(news, func(w Word) bool { return !slices.Contains(s.words[w.Identity], w) })
}

// forgetOne drops the oldest word of those who do not sign now; there is one, as signers are no more than the words that stay.
func forgetOne(list []Word, signers []trust.Signer) []Word {
	least := -1
	for i := range list {
		if trust.Rank(signers, list[i].Who) < 0 && (least < 0 || list[least].later(&list[i])) {
			least = i
		}
	}
	return slices.Delete(list, max(0, least), max(0, least)+1)
}

// forget drops the node that was spoken of last of all.
func (s *Set) forget() {
	var least Identity
	var of *Word
	for id, list := range s.words {
		last := &list[0]
		for i := range list {
			if list[i].later(last) {
				last = &list[i]
			}
		}
		if of == nil || of.later(last) || !last.later(of) && id.compare(least) < 0 {
			least, of = id, last
		}
	}
	delete(s.words, least)
}

// Has reports whether that word, or a later one of its operator on that node, is known: it need not be checked.
func (s *Set) Has(w *Word) bool {
	return slices.ContainsFunc(s.words[w.Identity], func(o Word) bool { return o.Who == w.Who && !w.later(&o) })
}

// Of is the word on a node that counts where signers sign; false if there is none.
func (s *Set) Of(id Identity, signers []trust.Signer) (last Word, ok bool) {
	for _, w := range s.words[id] {
		if trust.Rank(signers, w.Who) >= 0 && (!ok || w.later(&last)) {
			last, ok = w, true
		}
	}
	return last, ok
}

// Belongs are the nodes that belong to the swarm where signers sign.
func (s *Set) Belongs(signers []trust.Signer) map[Identity]bool {
	in := map[Identity]bool{}
	for id := range s.words {
		if w, ok := s.Of(id, signers); ok && !w.Expelled {
			in[id] = true
		}
	}
	return in
}

// Room reports why a word on a node is not taken by a Set that is asked for it; nil if it is.
func (s *Set) Room(id Identity) error {
	if s.words[id] == nil && len(s.words) >= MaxNodes {
		return fmt.Errorf("%w: words on %d of them are kept, at most %d are", ErrFull, len(s.words), MaxNodes)
	}
	return nil
}

// All are all words, by node and operator, also of those who do not sign any more.
func (s *Set) All() []Word { return s.list(func(*Word) bool { return true }) }

// Last are the words that count where signers sign, one on each node, by node.
func (s *Set) Last(signers []trust.Signer) (ws []Word) {
	for _, id := range slices.SortedFunc(maps.Keys(s.words), Identity.compare) {
		if w, ok := s.Of(id, signers); ok {
			ws = append(ws, w)
		}
	}
	return ws
}

func (s *Set) list(keep func(*Word) bool) (ws []Word) {
	for _, id := range slices.SortedFunc(maps.Keys(s.words), Identity.compare) {
		at := len(ws)
		for _, w := range s.words[id] {
			if keep(&w) {
				ws = append(ws, w)
			}
		}
		slices.SortFunc(ws[at:], func(a, b Word) int { return slices.Compare(a.Who[:], b.Who[:]) })
	}
	return ws
}

// Digest tells Sets apart: a hash of each of their parts.
type Digest [Buckets]uint64

// Hash is one for all parts.
func (d *Digest) Hash() [32]byte {
	var b []byte
	for _, n := range d {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(b)
}

func (id Identity) bucket() int { return int(id.Key[0]^id.Key[31]) % Buckets }

// Digest is of the words of those who sign.
func (s *Set) Digest(signers []trust.Signer) (d Digest) {
	var parts [Buckets][]byte
	for _, w := range s.list(func(w *Word) bool { return trust.Rank(signers, w.Who) >= 0 }) {
		x := w.Statement("")
		b := &parts[w.bucket()]
		said := x.Bytes()
		*b = append(binary.AppendUvarint(*b, uint64(len(said))), said...)
		*b = append(append(*b, w.Who[:]...), w.Sig[:]...)
	}
	for i, b := range parts {
		if len(b) > 0 {
			sum := sha256.Sum256(b)
			d[i] = binary.BigEndian.Uint64(sum[:])
		}
	}
	return d
}

// Differ are the words of those who sign in the parts in which this Set is not as a digest says.
func (s *Set) Differ(d *Digest, signers []trust.Signer) []Word {
	mine := s.Digest(signers)
	return s.list(func(w *Word) bool {
		k := w.bucket()
		return mine[k] != d[k] && trust.Rank(signers, w.Who) >= 0
	})
}
