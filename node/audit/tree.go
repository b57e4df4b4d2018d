package audit

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// edge is the right edge of a tree: the hashes of the largest whole subtrees that make it up, from the left. It is all that
// is needed to go on from there, and to prove what comes after.
type edge struct {
	size  int64
	stack []tlog.Hash
}

func (e *edge) clone() edge { return edge{e.size, append([]tlog.Hash(nil), e.stack...)} }

// add appends a record's hash and gives stored the hashes that are complete now, in the order of tlog.StoredHashIndex.
func (e *edge) add(h tlog.Hash, stored func(tlog.Hash)) {
	stored(h)
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.stack) - 1
		h = tlog.NodeHash(e.stack[last], h)
		e.stack = e.stack[:last]
		stored(h)
	}
	e.stack = append(e.stack, h)
	e.size++
}

func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		h, _ := tlog.TreeHash(0, nil)
		return h
	}
	last := len(e.stack) - 1
	h := e.stack[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.stack[i], h)
	}
	return h
}

// edgeIndexes are where tlog stores the hashes of the edge of a tree of n records.
func edgeIndexes(n int64) []int64 {
	var at []int64
	for l := 63; l >= 0; l-- {
		if n>>l&1 == 1 {
			at = append(at, tlog.StoredHashIndex(l, n>>l-1))
		}
	}
	return at
}

// readEdge reads the edge of a tree of n records.
func readEdge(n int64, r tlog.HashReader) (edge, error) {
	at := edgeIndexes(n)
	if len(at) == 0 {
		return edge{}, nil
	}
	hs, err := r.ReadHashes(at)
	return edge{n, hs}, err
}

// whole reports whether an edge has as many hashes as its size needs.
func (e *edge) whole() bool { return e.size >= 0 && len(e.stack) == bits.OnesCount64(uint64(e.size)) }
