package outcome

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// ID names what is counted: a hash of its definition.
type ID [16]byte

// Bounds of a Board.
const (
	// MaxLives bounds the runs of nodes that a Board knows. Beyond it the last by name are left out: a sample is enough.
	MaxLives = 4096
	// MaxValues bounds the sums of one run.
	MaxValues = 256
	maxNode   = 128
	// maxValue keeps sums of all runs finite.
	maxValue = 1e60
)

// Life is one run of a node: who counts. Each run counts from nothing.
type Life struct {
	Node  string
	Began int64 // Unix ms
}

func (l Life) compare(o Life) int {
	return cmp.Or(strings.Compare(l.Node, o.Node), cmp.Compare(l.Began, o.Began))
}

// Row is what one run of a node has counted: sums of numbers that are not negative, so that each only grows.
type Row struct {
	Life
	Values []float64
}

// Valid reports what is wrong with a row that comes from a peer; nil if nothing is.
func (r *Row) Valid() error {
	if r.Node == "" || len(r.Node) > maxNode || r.Began < 0 {
		return errors.New("sums of nobody")
	}
	if len(r.Values) > MaxValues {
		return fmt.Errorf("%d sums, at most %d are allowed", len(r.Values), MaxValues)
	}
	for _, v := range r.Values {
		if !(v >= 0 && v <= maxValue) {
			return fmt.Errorf("a sum of %g", v)
		}
	}
	return nil
}

// Board is the sums of all runs that a node knows of. Merging takes the larger of each sum, so states merge in any order, any number of
// times, by any way. A Board has one owner. The zero value is empty.
type Board struct{ rows []Row }

// Rows are all rows, by life. The caller must not change them.
func (b *Board) Rows() []Row { return b.rows }

// Merge takes a row over and reports whether it said anything new. The row must be valid; its values are copied.
func (b *Board) Merge(r Row) (news bool) {
	i, known := slices.BinarySearchFunc(b.rows, r.Life, func(r Row, l Life) int { return r.compare(l) })
	if !known {
		if len(b.rows) == MaxLives {
			if i == MaxLives {
				return false
			}
			b.rows = b.rows[:MaxLives-1]
		}
		r.Values = slices.Clone(r.Values)
		b.rows = slices.Insert(b.rows, i, r)
		return true
	}
	old := &b.rows[i]
	for j, v := range r.Values {
		switch {
		case j == len(old.Values): // of a newer version, which counts more
			old.Values, news = append(old.Values, v), true
		case v > old.Values[j]:
			old.Values[j], news = v, true
		}
	}
	return news
}

// Sum adds up the sums of all runs, by place.
func (b *Board) Sum() (values []float64) {
	for i := range b.rows {
		for j, v := range b.rows[i].Values {
			if j == len(values) {
				values = append(values, 0)
			}
			values[j] = math.Min(values[j]+v, math.MaxFloat64)
		}
	}
	return values
}
