package store

import (
	"bytes"
	"maps"
	"slices"
)

// memory is the engine of a store without a directory. Guarded by Store.mu.
type memory [lastBucket + 1]map[string][]byte

func (m *memory) commit(ws []Write) {
	for _, w := range ws {
		if w.Value == nil {
			delete(m[w.Bucket], w.Key)
			continue
		}
		if m[w.Bucket] == nil {
			m[w.Bucket] = make(map[string][]byte)
		}
		m[w.Bucket][w.Key] = bytes.Clone(w.Value)
	}
}

func (m *memory) get(b Bucket, key string) []byte { return bytes.Clone(m[b][key]) }

func (m *memory) all(b Bucket) []record {
	rs := make([]record, 0, len(m[b]))
	for _, k := range slices.Sorted(maps.Keys(m[b])) {
		rs = append(rs, record{k, bytes.Clone(m[b][k])})
	}
	return rs
}
