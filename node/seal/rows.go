package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Signed rows are
//
//	version, number, for each row: length and the row, or 0 and its hash; signature
//
// A row is a message of package ledger with that row alone, as its holder wrote it: a node of another version passes it on as it is.
// What is signed is the list of all hashes, so that rows can go on without those beside them, for the price of their hashes.

const (
	// MaxRows is how many rows go under one signature: above it, one that travels on alone costs more in hashes than a signature of its
	// own would.
	MaxRows = 6

	hashBytes = 16
	maxRow    = 4096
)

type hash [hashBytes]byte

// Rows are rows of one holder under one signature. They are not changed once made.
type Rows struct {
	holder holder
	sig    []byte
	hashes []hash
	raw    [][]byte // nil where only the hash is known
}

type holder = ledger.Holder

func hashOf(raw []byte) (h hash) {
	sum := sha256.Sum256(raw)
	copy(h[:], sum[:])
	return h
}

func rowsSaid(h ledger.Holder, hashes []hash) []byte {
	b := make([]byte, 0, len(hashes)*hashBytes)
	for i := range hashes {
		b = append(b, hashes[i][:]...)
	}
	return said("swarmpurse rows 1\n", []byte(h.Node), binary.BigEndian.AppendUint64(nil, h.Gen), b)
}

// Rows signs 1 to MaxRows rows of the signer's, all of one generation.
func (s *Signer) Rows(rows ...*ledger.Row) *Rows {
	r := &Rows{holder: rows[0].Holder}
	for _, row := range rows {
		raw := ledger.Encode([]ledger.Row{*row})
		r.raw = append(r.raw, raw)
		r.hashes = append(r.hashes, hashOf(raw))
	}
	r.sig = ed25519.Sign(s.key, rowsSaid(r.holder, r.hashes))
	return r
}

// Len is how many rows there are, with those of which only the hash is known.
func (r *Rows) Len() int { return len(r.raw) }

// Append writes the rows for which keep holds, nil for all; of the others the hashes.
func (r *Rows) Append(b []byte, keep func(i int) bool) []byte {
	b = append(b, version, byte(len(r.raw)))
	for i, raw := range r.raw {
		if raw == nil || keep != nil && !keep(i) {
			b = append(b, 0)
			b = append(b, r.hashes[i][:]...)
			continue
		}
		b = append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
	}
	return append(b, r.sig...)
}

// ParseRows takes signed rows apart. It checks no signature. rows has nil for each row of which only the hash is known.
func ParseRows(msg []byte) (r *Rows, rows []*ledger.Row, err error) {
	bad := func(why string) (*Rows, []*ledger.Row, error) {
		return nil, nil, refuse(Malformed, "signed rows of %d bytes: %s", len(msg), why)
	}
	if len(msg) < 2+ed25519.SignatureSize || msg[0] < version {
		return bad("too short")
	}
	n := int(msg[1])
	if n == 0 || n > MaxRows {
		return bad("too many")
	}
	body := msg[:len(msg)-ed25519.SignatureSize]
	r = &Rows{sig: bytes.Clone(msg[len(body):]), hashes: make([]hash, n), raw: make([][]byte, n)}
	rows = make([]*ledger.Row, n)
	c := cursor{b: body[2:]}
	for i := range n {
		size := c.uint()
		if size == 0 {
			copy(r.hashes[i][:], c.take(hashBytes))
			continue
		}
		raw := c.take(size)
		if c.bad || size > maxRow {
			return bad("a row is cut off, or too long")
		}
		m, err := ledger.Decode(raw)
		if err != nil {
			return bad(err.Error())
		}
		one, ok := m.([]ledger.Row)
		if !ok || len(one) != 1 {
			return bad("there is something else than a row in it")
		}
		rows[i] = &one[0]
		if r.holder != (ledger.Holder{}) && rows[i].Holder != r.holder {
			return bad("rows of two holders")
		}
		r.holder = rows[i].Holder
		r.raw[i], r.hashes[i] = bytes.Clone(raw), hashOf(raw)
	}
	if c.bad || len(c.b) > 0 || r.holder == (ledger.Holder{}) {
		return bad("it does not end where it should")
	}
	return r, rows, nil
}

// Holder is whose rows they are.
func (r *Rows) Holder() ledger.Holder { return r.holder }

// id names the list that is signed, with its signature.
func (r *Rows) id() [32]byte {
	h := sha256.New()
	h.Write(r.sig)
	h.Write(rowsSaid(r.holder, r.hashes))
	return [32]byte(h.Sum(nil))
}

// mostLives is how many generations follow each other in a directory at most. What is further on is of a directory that was made
// later, a quarter of a second at the least (store.Identity.Gen): of a node that lost the one before, and whose new key has not come yet.
const mostLives = 1 << 24

// CheckRows checks the signature of rows that from passed on, unless that was done before. A proof is returned, and nothing refused
// for it, if their holder has signed another row of the same version.
func (b *Book) CheckRows(now int64, from string, r *Rows, rows []*ledger.Row) (*Proof, error) {
	id := r.id()
	b.mu.Lock()
	pin := b.keyOf(r.holder.Node, r.holder.Gen)
	if pin == nil {
		b.mu.Unlock()
		return nil, refuse(UnknownKey, "rows of %v, whose key is not known here", r.holder)
	}
	key, dir := pin.Key, pin.Dir
	if b.convicted[[32]byte(key)] != nil {
		b.mu.Unlock()
		return nil, refuse(Convicted, "rows of %v, whose key is refused for good", r.holder)
	}
	if b.checked.Contains(id) {
		b.mu.Unlock()
		return nil, nil // compared, too
	}
	err := b.mayCheck(now, from)
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !verify(key, rowsSaid(r.holder, r.hashes), r.sig) {
		if r.holder.Gen-dir >= mostLives {
			return nil, refuse(UnknownKey, "rows of %v, whose key of a directory later than %x is not known here", r.holder, dir)
		}
		return nil, refuse(Forged, "rows of %v with a signature that is not its", r.holder)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.checked.Add(id, struct{}{})
	return b.compare(r, rows), nil
}

// Wrote takes note of rows that this node has signed itself.
func (b *Book) Wrote(r *Rows, rows []*ledger.Row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.compare(r, rows)
}

// Key is the same for the same rows, whichever of them are left out.
func (r *Rows) Key() []byte { return r.sig[:8] }
