package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// Folding. Once everything between this generation and a claimed one is booked here, the pairwise records with it are
// dropped: the account's sums have them, and of the claimed generation only the fact stays that it is closed. It is kept by
// node, as ranges, since generations of a directory follow each other by number: however often a node moves on, it is one.

const (
	keyPast       = "past/" // + node
	kindPast byte = 85
	maxSpans      = 1 << 16 // of one node
)

// span is generations of a node from one to another, both included.
type span struct{ from, to uint64 }

// past is the generations that are closed, by node.
type past map[string][]span

func (p past) has(h Holder) bool {
	ss := p[h.Node]
	i, ok := slices.BinarySearchFunc(ss, h.Gen, func(s span, gen uint64) int {
		switch {
		case s.to < gen:
			return -1
		case s.from > gen:
			return 1
		}
		return 0
	})
	return ok && ss[i].from <= h.Gen
}

// add closes a generation.
func (p past) add(h Holder) {
	if p.has(h) {
		return
	}
	ss := p[h.Node]
	i, _ := slices.BinarySearchFunc(ss, h.Gen, func(s span, gen uint64) int {
		if s.from < gen {
			return -1
		}
		return 1
	})
	ss = slices.Insert(ss, i, span{h.Gen, h.Gen})
	if i+1 < len(ss) && ss[i].to+1 == ss[i+1].from {
		ss[i].to = ss[i+1].to
		ss = slices.Delete(ss, i+1, i+2)
	}
	if i > 0 && ss[i-1].to+1 == ss[i].from {
		ss[i-1].to = ss[i].to
		ss = slices.Delete(ss, i, i+1)
	}
	p[h.Node] = ss
}

func encodePast(ss []span) []byte {
	w := newWriter(kindPast)
	w.array(2 * len(ss))
	for _, s := range ss {
		w.uint(s.from)
		w.uint(s.to)
	}
	return w.done()
}

func decodePast(b []byte) (ss []span, err error) {
	r := newReader(b, kindPast)
	for range r.array(0, 2*min(maxSpans, r.left())) / 2 {
		s := span{r.uint(), r.uint()}
		if k := len(ss); s.to < s.from || k > 0 && s.from <= ss[k-1].to {
			r.fail("generations from %d to %d", s.from, s.to)
		}
		if r.err != nil {
			break
		}
		ss = append(ss, s)
	}
	return ss, r.err
}

// readPast reads a record of closed generations; false if it is another's.
func (p past) read(key string, value []byte) (ok bool, err error) {
	node, ok := strings.CutPrefix(key, keyPast)
	if !ok {
		return false, nil
	}
	ss, err := decodePast(value)
	if err == nil && (node == "" || strings.ContainsRune(node, 0)) {
		err = fmt.Errorf("%w: not the key of closed generations", ErrWire)
	}
	if err == nil {
		p[node] = ss
	}
	return true, err
}

// fold drops the pairwise records with a claimed generation, once all of them are closed and on disk. It reports whether
// that has to wait.
func (r *Replica) fold(f *final) (waits bool) {
	var es []edgeRef
	for _, in := range r.order {
		e := in.edges[f.of]
		if e == nil {
			if f.accounts[in.id].entry(r.self) != (Entry{}) {
				return true
			}
			continue
		}
		if !e.Closed || e.dirty || e.listed {
			return true
		}
		es = append(es, edgeRef{in, e})
	}
	for _, id := range f.order {
		if r.instances[id] == nil && !r.ended(r.lastSlow, id) && f.accounts[id].entry(r.self) != (Entry{}) {
			return true
		}
	}
	if len(es) == 0 || len(r.past[f.of.Node]) >= maxSpans {
		return false
	}
	for _, x := range es {
		delete(x.in.edges, f.of)
		r.edges--
		r.meta(entryKey(x.in.id, f.of), nil)
	}
	if r.past == nil {
		r.past = past{}
	}
	r.past.add(f.of)
	r.meta(keyPast+f.of.Node, encodePast(r.past[f.of.Node]))
	return false
}

// Folded reports whether the pairwise records with a claimed generation were dropped: all that was between it and this one
// is booked.
func (r *Replica) Folded(h Holder) bool { return r.past.has(h) }
