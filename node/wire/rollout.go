package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// maxEntry is the most that one entry takes, in bytes: four words, and how it is tried.
const maxEntry = 4*(rollout.MaxNode+rollout.MaxBy+rollout.MaxWhy+64) + policy.MaxZones*(policy.MaxName+4) + policy.MaxName + 256

// maxRow is the most that the counters of one run take, in bytes.
const maxRow = rollout.MaxNode + 2*(6+rollout.WaitSteps)*9 + 2*(2*rollout.Groups*binary.MaxVarintLen64+8) + 64

// HaveRollout says what a node knows of the life of revisions.
type HaveRollout struct {
	Node string
	Hash [32]byte
}

// EncodeHaveRollout is the inverse of DecodeHaveRollout.
func EncodeHaveRollout(h *HaveRollout) []byte { return encode(h.Node, h.Hash[:]) }

// DecodeHaveRollout reads what a node knows.
func DecodeHaveRollout(b []byte) (HaveRollout, error) {
	r, _ := open(b, 2)
	h := HaveRollout{Node: string(r.bytes(ledger.MaxNameLen))}
	r.hash(&h.Hash)
	return h, r.err
}

// EncodeWant asks for the document of a revision.
func EncodeWant(k rollout.Key) []byte { return encode(k.Revision, k.Hash[:]) }

// DecodeWant is the inverse of EncodeWant.
func DecodeWant(b []byte) (k rollout.Key, err error) {
	r, _ := open(b, 2)
	k.Revision = r.int()
	r.hash(&k.Hash)
	return k, r.err
}

// EncodeEntries is the inverse of DecodeEntries; at most rollout.MaxEntries.
func EncodeEntries(es []rollout.Entry) []byte {
	fields := make([]any, len(es))
	for i := range es {
		fields[i] = encodeEntry(&es[i])
	}
	return encode(fields...)
}

func encodeWordOf(w *rollout.Word) []byte {
	if w == nil {
		return []byte{}
	}
	return encode(w.At, w.Node, w.By, w.Why)
}

func encodeEntry(e *rollout.Entry) []byte {
	trial, pause := []byte{}, []byte{}
	if t := e.Trial; t != nil {
		trial = encode(append([]any{encodeWordOf(&t.Word)}, howFields(&t.How)...)...)
	}
	if p := e.Pause; p != nil {
		pause = encode(encodeWordOf(&p.Word), flag(p.On))
	}
	return encode(e.Revision, e.Hash[:], trial, pause, encodeWordOf(e.Whole), encodeWordOf(e.Back))
}

// howFields are how a revision is tried.
func howFields(h *policy.Rollout) []any {
	zones := make([]any, len(h.Zones))
	for i, z := range h.Zones {
		zones[i] = z
	}
	return []any{h.Canary, h.By, encode(zones...), h.Bake.Milliseconds(), h.Guard.DenyRate, h.Guard.P99Wait, h.Guard.OutputLength, h.Guard.Cost}
}

// how reads howFields, of which n are there; versions before lengths and costs wrote six, and guarded neither.
func (r *reader) how(n int) (h policy.Rollout) {
	h.Canary, h.By = r.int(), string(r.bytes(2*policy.MaxName))
	zones, many := open(r.bytes(maxEntry), 0)
	if many > policy.MaxZones {
		zones.fail(fmt.Errorf("%d zones", many))
	}
	for range many {
		if zones.err != nil {
			break
		}
		h.Zones = append(h.Zones, string(zones.bytes(policy.MaxName)))
	}
	r.fail(zones.err)
	bake := r.int()
	if bake < 0 || bake > policy.MaxBake.Milliseconds() {
		r.fail(fmt.Errorf("a bake of %d ms", bake))
	}
	h.Bake = time.Duration(bake) * time.Millisecond
	h.Guard = policy.Guard{DenyRate: r.int(), P99Wait: r.int(), OutputLength: policy.Unguarded, Cost: policy.Unguarded}
	if n >= 8 {
		h.Guard.OutputLength, h.Guard.Cost = r.int(), r.int()
	}
	return h
}

// DecodeEntries reads entries, all of which are valid, or none.
func DecodeEntries(b []byte) ([]rollout.Entry, error) {
	r, n := open(b, 0)
	if n > rollout.MaxEntries {
		r.fail(fmt.Errorf("%d revisions, at most %d are allowed", n, rollout.MaxEntries))
	}
	var es []rollout.Entry
	for range n {
		one := r.bytes(maxEntry)
		if r.err != nil {
			return nil, r.err
		}
		e, err := decodeEntry(one)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	return es, r.err
}

// part is a field that holds an array of its own, and of how many fields; nil if it is not there.
func (r *reader) part(most, need int) (*reader, int) {
	b := r.bytes(most)
	if r.err != nil || len(b) == 0 {
		return nil, 0
	}
	return open(b, need)
}

func (r *reader) word() (w rollout.Word) {
	p, _ := r.part(maxEntry, 4)
	if p == nil {
		if r.err == nil {
			r.fail(fmt.Errorf("a word is missing"))
		}
		return w
	}
	w = p.wordHere()
	r.fail(p.err)
	return w
}

func (r *reader) wordHere() rollout.Word {
	return rollout.Word{At: r.int(), Node: string(r.bytes(rollout.MaxNode)), By: string(r.bytes(rollout.MaxBy)), Why: string(r.bytes(rollout.MaxWhy))}
}

func decodeEntry(b []byte) (rollout.Entry, error) {
	r, _ := open(b, 6)
	var e rollout.Entry
	e.Revision = r.int()
	r.hash(&e.Hash)
	if p, n := r.part(maxEntry, 7); p != nil {
		t := &rollout.Trial{Word: p.word()}
		t.How = p.how(n - 1)
		r.fail(p.err)
		e.Trial = t
	}
	if p, _ := r.part(maxEntry, 2); p != nil {
		e.Pause = &rollout.Pause{Word: p.word(), On: p.int() != 0}
		r.fail(p.err)
	}
	for _, into := range []**rollout.Word{&e.Whole, &e.Back} {
		if p, _ := r.part(maxEntry, 4); p != nil {
			w := p.wordHere()
			r.fail(p.err)
			*into = &w
		}
	}
	if r.err == nil {
		r.fail(e.Valid())
	}
	return e, r.err
}

// EncodeTally is the inverse of DecodeTally: counters of a rollout by who counted them.
func EncodeTally(of rollout.Key, rows []rollout.Row) []byte {
	fields := []any{of.Revision, of.Hash[:]}
	for i := range rows {
		x := &rows[i]
		row := []any{x.Node, x.Began}
		for _, c := range []*rollout.Counts{&x.Stable, &x.Candidate} {
			row = append(row, c.Calls, c.Refused)
			for _, v := range c.Longer {
				row = append(row, v)
			}
		}
		for _, c := range []*rollout.Drift{&x.Stable.Drift, &x.Candidate.Drift} {
			row = append(row, c.Outputs, c.Long, c.Costs, c.Dear)
		}
		row = append(row, encodeGroups(&x.Stable.Groups), encodeGroups(&x.Candidate.Groups))
		fields = append(fields, encode(row...))
	}
	return encode(fields...)
}

// encodeGroups writes calls and refusals of each group as unsigned varints; nothing if there are none.
func encodeGroups(gs *[rollout.Groups]rollout.Group) []byte {
	b := []byte{}
	if *gs == ([rollout.Groups]rollout.Group{}) {
		return b
	}
	for _, g := range gs {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(g.Calls)), uint64(g.Refused)) //nolint:gosec // neither is below 0
	}
	return b
}

func (r *reader) groups(gs *[rollout.Groups]rollout.Group) {
	b := r.bytes(2 * rollout.Groups * binary.MaxVarintLen64)
	if len(b) == 0 {
		return
	}
	next := func() int64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > math.MaxInt64 {
			r.fail(errors.New("groups of callers that do not end where they should"))
			return 0
		}
		b = b[n:]
		return int64(v)
	}
	for i := range gs {
		if gs[i] = (rollout.Group{Calls: next(), Refused: next()}); r.err != nil {
			return
		}
	}
	if len(b) > 0 {
		r.fail(errors.New("more groups of callers than there are"))
	}
}

// DecodeTally reads counters, all of which are valid, or none.
func DecodeTally(b []byte) (of rollout.Key, rows []rollout.Row, err error) {
	r, n := open(b, 2)
	of.Revision = r.int()
	r.hash(&of.Hash)
	if n -= 2; n > rollout.MaxLives {
		r.fail(fmt.Errorf("counters of %d runs, at most %d are allowed", n, rollout.MaxLives))
	}
	for range n {
		const first = 2 + 2*(2+rollout.WaitSteps) // fields, of the version that had no more
		p, n := r.part(maxRow, first)
		if p == nil {
			r.fail(fmt.Errorf("counters of nobody"))
			return of, nil, r.err
		}
		x := rollout.Row{Life: rollout.Life{Node: string(p.bytes(rollout.MaxNode)), Began: p.int()}}
		for _, c := range []*rollout.Counts{&x.Stable, &x.Candidate} {
			c.Calls, c.Refused = p.int(), p.int()
			for i := range c.Longer {
				c.Longer[i] = p.int()
			}
		}
		if n >= first+8 {
			for _, c := range []*rollout.Drift{&x.Stable.Drift, &x.Candidate.Drift} {
				c.Outputs, c.Long, c.Costs, c.Dear = p.int(), p.int(), p.int(), p.int()
			}
		}
		if n >= first+10 {
			p.groups(&x.Stable.Groups)
			p.groups(&x.Candidate.Groups)
		}
		if p.fail(x.Valid()); p.err != nil {
			return of, nil, p.err
		}
		rows = append(rows, x)
	}
	if r.err != nil {
		return of, nil, r.err
	}
	return of, rows, nil
}
