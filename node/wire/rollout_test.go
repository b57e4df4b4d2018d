package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

func manyEntries() []rollout.Entry {
	w := func(at int64) *rollout.Word { return &rollout.Word{At: at, Node: "n1", By: "op", Why: "why"} }
	how := policy.Rollout{Canary: 100_000, By: "attributes.team", Bake: 10 * time.Minute, Guard: policy.Guard{DenyRate: 50_000, P99Wait: policy.Unguarded, OutputLength: 1, Cost: policy.Unguarded}}
	zones := policy.Rollout{Zones: []string{"eu", "us"}, Guard: policy.Guard{DenyRate: policy.Unguarded, P99Wait: 0}}
	return []rollout.Entry{
		{Key: rollout.Key{Revision: 1, Hash: [32]byte{1}}, Whole: w(1)},
		{Key: rollout.Key{Revision: 2}, Trial: &rollout.Trial{Word: *w(2), How: how}, Pause: &rollout.Pause{Word: *w(3), On: true}},
		{Key: rollout.Key{Revision: 3}, Trial: &rollout.Trial{Word: *w(4), How: zones}, Whole: w(5), Back: w(6)},
	}
}

func manyRows() []rollout.Row {
	r := rollout.Row{Life: rollout.Life{Node: "n1", Began: 7}}
	r.Stable.Calls, r.Candidate.Refused, r.Candidate.Longer[19] = 1<<40, 3, 4
	r.Stable.Groups[0].Calls, r.Candidate.Groups[31].Refused = 1<<40, 9
	r.Stable.Dear, r.Candidate.Outputs, r.Candidate.Long = 5, 6, 7
	return []rollout.Row{r, {Life: rollout.Life{Node: "n2"}}}
}

func fuzzRollout(t *testing.T, b []byte) {
	if es, err := DecodeEntries(b); err == nil {
		if again, err := DecodeEntries(EncodeEntries(es)); err != nil || !reflect.DeepEqual(again, es) {
			t.Errorf("%+v became %+v, %v", es, again, err)
		}
		for i := range es {
			if err := es[i].Valid(); err != nil {
				t.Errorf("%+v: %v", es[i], err)
			}
		}
	}
	if of, rows, err := DecodeTally(b); err == nil {
		if again, more, err := DecodeTally(EncodeTally(of, rows)); err != nil || again != of || !reflect.DeepEqual(more, rows) {
			t.Errorf("%v %+v became %v %+v, %v", of, rows, again, more, err)
		}
	}
	if k, err := DecodeWant(b); err == nil {
		if again, err := DecodeWant(EncodeWant(k)); err != nil || again != k {
			t.Errorf("%v became %v, %v", k, again, err)
		}
	}
	if h, err := DecodeHaveRollout(b); err == nil {
		if again, err := DecodeHaveRollout(EncodeHaveRollout(&h)); err != nil || again != h {
			t.Errorf("%v became %v, %v", h, again, err)
		}
	}
}

func TestRolloutRoundTrips(t *testing.T) {
	if got, err := DecodeEntries(EncodeEntries(manyEntries())); err != nil || !reflect.DeepEqual(got, manyEntries()) {
		t.Errorf("%+v, %v", got, err)
	}
	if of, got, err := DecodeTally(EncodeTally(rollout.Key{Revision: 9}, manyRows())); err != nil || of.Revision != 9 || !reflect.DeepEqual(got, manyRows()) {
		t.Errorf("%v %+v, %v", of, got, err)
	}
	if k, err := DecodeWant(EncodeWant(rollout.Key{Revision: 9, Hash: [32]byte{3}})); err != nil || k.Revision != 9 || k.Hash[0] != 3 {
		t.Errorf("%v, %v", k, err)
	}
	// The largest entry fits.
	long := func(n int) string { return strings.Repeat("x", n) }
	w := &rollout.Word{At: 1 << 52, Node: long(rollout.MaxNode), By: long(rollout.MaxBy), Why: long(rollout.MaxWhy)}
	how := policy.Rollout{Bake: policy.MaxBake, Guard: policy.Guard{DenyRate: 1, P99Wait: 50_000}}
	for i := range policy.MaxZones {
		how.Zones = append(how.Zones, fmt.Sprintf("%02d", i)+long(policy.MaxName-2))
	}
	large := []rollout.Entry{{Key: rollout.Key{Revision: 1 << 50}, Trial: &rollout.Trial{Word: *w, How: how}, Pause: &rollout.Pause{Word: *w}, Whole: w, Back: w}}
	if got, err := DecodeEntries(EncodeEntries(large)); err != nil || !reflect.DeepEqual(got, large) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestRolloutOfOlderVersions: those that knew nothing of lengths and costs guard neither, and count none.
func TestRolloutOfOlderVersions(t *testing.T) {
	es, err := DecodeEntries(encode(encode(int64(2), make([]byte, 32), encode(encode(int64(1), "n", "", ""), int64(5), "agent", encode(), int64(0), int64(1), int64(-1)), "", "", "")))
	want := policy.Guard{DenyRate: 1, P99Wait: policy.Unguarded, OutputLength: policy.Unguarded, Cost: policy.Unguarded}
	if err != nil || es[0].Trial.How.Guard != want {
		t.Errorf("%+v, %v", es, err)
	}
	row := []any{"n1", int64(1)}
	for i := range 2 * (2 + rollout.WaitSteps) {
		row = append(row, int64(i))
	}
	_, rows, err := DecodeTally(encode(int64(1), make([]byte, 32), encode(row...)))
	if err != nil || rows[0].Candidate.Longer[rollout.WaitSteps-1] != 2*(2+rollout.WaitSteps)-1 || rows[0].Candidate.Drift != (rollout.Drift{}) {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestRolloutMalformed(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":             {},
		"too many":          append([]byte{version, 0xdd}, 0, 0, 0xff, 0xff),
		"4 GB":              {version, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff},
		"no entry in it":    encode("a"),
		"says nothing":      encode(encode(int64(1), make([]byte, 32), "", "", "", "")),
		"revision 0":        encode(encode(int64(0), make([]byte, 32), "", "", encode(int64(1), "n", "", ""), "")),
		"a word of nobody":  encode(encode(int64(1), make([]byte, 32), "", "", encode(int64(1), "", "", ""), "")),
		"a trial of no one": encode(encode(int64(1), make([]byte, 32), encode(encode(int64(1), "n", "", ""), int64(0), "agent", encode(), int64(0), int64(-1), int64(-1)), "", "", "")),
		"a trial, no word":  encode(encode(int64(1), make([]byte, 32), encode("", int64(5), "agent", encode(), int64(0), int64(-1), int64(-1)), "", "", "")),
	} {
		if es, err := DecodeEntries(b); !errors.Is(err, ErrMalformed) || es != nil {
			t.Errorf("%s: %v, error %v", name, es, err)
		}
	}
	row := []any{"n1", int64(1)}
	for range 2 * (2 + rollout.WaitSteps) {
		row = append(row, int64(-1))
	}
	for name, b := range map[string][]byte{
		"empty":       {},
		"negative":    encode(int64(1), make([]byte, 32), encode(row...)),
		"short":       encode(int64(1), make([]byte, 32), encode("n1", int64(1))),
		"empty row":   encode(int64(1), make([]byte, 32), ""),
		"short hash":  encode(int64(1), "x"),
		"no counters": encode(int64(1)),
	} {
		if _, rows, err := DecodeTally(b); !errors.Is(err, ErrMalformed) || rows != nil {
			t.Errorf("%s: %v, error %v", name, rows, err)
		}
	}
}
