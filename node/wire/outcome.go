package wire

import (
	"fmt"
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
)

// maxSums is the most that the sums of one run take, in bytes.
const maxSums = ledger.MaxNameLen + outcome.MaxValues*9 + 64

// EncodeSums is the inverse of DecodeSums: sums of what became of calls, by who counted them.
func EncodeSums(id outcome.ID, rows []outcome.Row) []byte {
	fields := []any{id[:]}
	for i := range rows {
		row := []any{rows[i].Node, rows[i].Began}
		for _, v := range rows[i].Values {
			row = append(row, int64(math.Float64bits(v)))
		}
		fields = append(fields, encode(row...))
	}
	return encode(fields...)
}

// DecodeSums reads sums, all of which are valid, or none.
func DecodeSums(b []byte) (id outcome.ID, rows []outcome.Row, err error) {
	r, n := open(b, 1)
	if raw := r.bytes(len(id)); r.err == nil && copy(id[:], raw) != len(id) {
		r.fail(fmt.Errorf("an id of %d bytes", len(raw)))
	}
	if n--; n > outcome.MaxLives {
		r.fail(fmt.Errorf("sums of %d runs, at most %d are allowed", n, outcome.MaxLives))
	}
	for range n {
		p, n := r.part(maxSums, 2)
		if p == nil {
			r.fail(fmt.Errorf("sums of nobody"))
			return id, nil, r.err
		}
		x := outcome.Row{Life: outcome.Life{Node: string(p.bytes(ledger.MaxNameLen)), Began: p.int()}}
		if n -= 2; n > outcome.MaxValues {
			p.fail(fmt.Errorf("%d sums, at most %d are allowed", n, outcome.MaxValues))
		}
		for range n {
			if p.err != nil {
				break
			}
			x.Values = append(x.Values, math.Float64frombits(uint64(p.int())))
		}
		if p.err == nil {
			p.fail(x.Valid())
		}
		if p.err != nil {
			return id, nil, p.err
		}
		rows = append(rows, x)
	}
	return id, rows, r.err
}
