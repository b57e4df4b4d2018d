package wire

import (
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/outcome"
)

func manySums() []outcome.Row {
	return []outcome.Row{{Life: outcome.Life{Node: "n1", Began: 5}, Values: []float64{0, 1, 0.5, 1e30}}, {Life: outcome.Life{Node: "n2"}}}
}

func TestSums(t *testing.T) {
	id := outcome.ID{1, 2}
	if gotID, got, err := DecodeSums(EncodeSums(id, manySums())); err != nil || gotID != id || !reflect.DeepEqual(got, manySums()) {
		t.Errorf("%v %v, %v", gotID, got, err)
	}
	for name, b := range map[string][]byte{
		"nothing":      nil,
		"a short id":   encode([]byte{1}),
		"nobody":       encode(id[:], []byte{}),
		"no name":      EncodeSums(id, []outcome.Row{{Life: outcome.Life{Began: 1}}}),
		"a negative":   EncodeSums(id, []outcome.Row{{Life: outcome.Life{Node: "n"}, Values: []float64{-1}}}),
		"no number":    EncodeSums(id, []outcome.Row{{Life: outcome.Life{Node: "n"}, Values: []float64{math.NaN()}}}),
		"endless":      EncodeSums(id, []outcome.Row{{Life: outcome.Life{Node: "n"}, Values: []float64{math.Inf(1)}}}),
		"too many":     EncodeSums(id, []outcome.Row{{Life: outcome.Life{Node: "n"}, Values: make([]float64, outcome.MaxValues+1)}}),
		"too many all": EncodeSums(id, make([]outcome.Row, outcome.MaxLives+1)),
	} {
		if _, rows, err := DecodeSums(b); !errors.Is(err, ErrMalformed) || rows != nil {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
}

func fuzzSums(t *testing.T, b []byte) {
	id, rows, err := DecodeSums(b)
	if err != nil {
		return
	}
	if id2, again, err := DecodeSums(EncodeSums(id, rows)); err != nil || id2 != id || !reflect.DeepEqual(again, rows) {
		t.Errorf("%v became %v, %v", rows, again, err)
	}
	for i := range rows {
		if err := rows[i].Valid(); err != nil {
			t.Errorf("%v: %v", rows[i], err)
		}
	}
}
