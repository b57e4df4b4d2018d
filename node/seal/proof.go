package seal

import (
	"encoding/binary"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// A node gives each of its rows a version of its own, of all its rows together. So two different rows of one version, both
// with its signature, are proof that it lies, or that two processes run on copies of one directory. A start that has heard of another one proves it
// before there is any row.

// Proof is that.
type Proof struct {
	Holder  ledger.Holder // of starts: the node in the generation with which its directory began
	Version uint64        // of the rows; 0: it is of starts
	a, b    *Rows
	i, j    int
	starts  [2]*Start
}

// OfStarts reports whether it shows two starts, not two rows.
func (p *Proof) OfStarts() bool { return p.starts[0] != nil }

// versionStarts is the version of a proof of two starts.
const versionStarts = version + 1

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
			proof = &Proof{Holder: r.holder, Version: row.Version, a: at.rows, b: r, i: at.i, j: i}
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
	if p.OfStarts() {
		b := []byte{versionStarts}
		for _, s := range p.starts {
			b = append(binary.AppendUvarint(b, uint64(len(s.raw))), s.raw...)
		}
		return b
	}
	return one(one([]byte{version}, p.a, p.i), p.b, p.j)
}

// ParseProof reads a proof, and checks that it is one if both signatures are the holder's.
func ParseProof(msg []byte) (*Proof, error) {
	if len(msg) < 2 || msg[0] < version {
		return nil, refuse(Malformed, "a proof of %d bytes", len(msg))
	}
	c := cursor{b: msg[1:]}
	if msg[0] == versionStarts {
		return parseStarts(&c)
	}
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
	return &Proof{Holder: x.Holder, Version: x.Version, a: a, b: b, i: i, j: j}, nil
}

func parseStarts(c *cursor) (*Proof, error) {
	var p Proof
	for i := range p.starts {
		s, err := ParseStart(c.take(c.uint()))
		if err != nil {
			return nil, err
		}
		p.starts[i] = s
	}
	x, y := p.starts[0], p.starts[1]
	if !outlives(x, y) {
		return nil, refuse(Malformed, "what is said to be a proof shows no process that goes on after another has begun")
	}
	p.Holder = ledger.Holder{Node: x.Node, Gen: x.Dir}
	return &p, nil
}

// signed are what a proof rests on.
func (p *Proof) signed() (said, sigs [2][]byte) {
	if p.OfStarts() {
		return [2][]byte{p.starts[0].said, p.starts[1].said}, [2][]byte{p.starts[0].sig, p.starts[1].sig}
	}
	return [2][]byte{rowsSaid(p.a.holder, p.a.hashes), rowsSaid(p.b.holder, p.b.hashes)}, [2][]byte{p.a.sig, p.b.sig}
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
	said, sigs := p.signed()
	for i := range said {
		if !verify(key, said[i], sigs[i]) {
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
