package seal

import (
	"encoding/binary"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// A node gives each of its rows a version of its own, of all its rows together. So two different rows of one version, both
// with its signature, are proof that it lies, or that two processes run on copies of one directory.

// Proof is that.
type Proof struct {
	Holder  ledger.Holder
	Version uint64
	a, b    *Rows
	i, j    int
}

// recentRows is of how many versions of a holder the rows are kept to be compared. A power of two.
const recentRows = 32

type recent [recentRows]struct {
	version uint64
	rows    *Rows
	i       int
}

// compare must be called under mu.
func (b *Book) compare(r *Rows, rows []*ledger.Row) (proof *Proof) {
	last, ok := b.watched.Get(r.holder)
	if !ok {
		last = &recent{}
		b.watched.Add(r.holder, last)
	}
	for i, row := range rows {
		if row == nil {
			continue
		}
		at := &last[row.Version%recentRows]
		switch {
		case at.rows == nil || row.Version > at.version:
			at.version, at.rows, at.i = row.Version, r, i
		case row.Version == at.version && r.hashes[i] != at.rows.hashes[at.i] && proof == nil:
			proof = &Proof{r.holder, row.Version, at.rows, r, at.i, i}
		}
	}
	return proof
}

// Encode is the inverse of ParseProof.
func (p *Proof) Encode() []byte {
	one := func(b []byte, r *Rows, i int) []byte {
		raw := r.Append(nil, func(k int) bool { return k == i })
		return append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
	}
	return one(one([]byte{version}, p.a, p.i), p.b, p.j)
}

// ParseProof reads a proof, and checks that it is one if both signatures are the holder's.
func ParseProof(msg []byte) (*Proof, error) {
	if len(msg) < 2 || msg[0] < version {
		return nil, refuse(Malformed, "a proof of %d bytes", len(msg))
	}
	c := cursor{b: msg[1:]}
	one := func() (*Rows, *ledger.Row, int, error) {
		r, rows, err := ParseRows(c.take(c.uint()))
		if err != nil {
			return nil, nil, 0, err
		}
		for i, row := range rows {
			if row != nil {
				return r, row, i, nil
			}
		}
		return nil, nil, 0, refuse(Malformed, "a proof without a row")
	}
	a, x, i, err := one()
	if err != nil {
		return nil, err
	}
	b, y, j, err := one()
	if err != nil {
		return nil, err
	}
	if x.Holder != y.Holder || x.Version != y.Version || a.hashes[i] == b.hashes[j] {
		return nil, refuse(Malformed, "what is said to be a proof shows no two different rows of one version")
	}
	return &Proof{x.Holder, x.Version, a, b, i, j}, nil
}

// Convict checks the signatures of a proof, and refuses all that the key signs from then on. It reports whether that is news.
func (b *Book) Convict(now int64, from string, p *Proof) (news bool, err error) {
	b.mu.Lock()
	pin := b.keyOf(p.Holder.Node, p.Holder.Gen)
	if pin == nil {
		b.mu.Unlock()
		return false, refuse(UnknownKey, "a proof against %v, whose key is not known here", p.Holder)
	}
	key := pin.Key
	known := b.convicted[[32]byte(key)] != nil
	if !known {
		err = b.mayCheck(now, from)
	}
	b.mu.Unlock()
	if known || err != nil {
		return false, err
	}
	for _, r := range []*Rows{p.a, p.b} {
		if !verify(key, rowsSaid(r.holder, r.hashes), r.sig) {
			return false, refuse(Forged, "a proof against %v with a signature that is not its", p.Holder)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.convicted[[32]byte(key)] != nil {
		return false, nil
	}
	if len(b.convicted) >= maxConvicted {
		for k := range b.convicted { // any: so many are an attack or a disaster, and reported
			delete(b.convicted, k)
			break
		}
	}
	b.convicted[[32]byte(key)] = p
	return true, nil
}

// Proofs lists what was proved, in no order.
func (b *Book) Proofs() (list []*Proof) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.convicted {
		list = append(list, p)
	}
	return list
}
