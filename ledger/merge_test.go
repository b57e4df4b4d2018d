package ledger_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

// known is what a replica knows of others, as a value: the rows of every instance and their digest.
type known struct {
	Rows   map[InstanceID][]Row
	Digest []HolderDigest
}

// TestMergeLaws: merge of rows is idempotent, commutative and associative; news is reported once; and equal
// knowledge has equal digests. A row has one writer, so holder, instance and version fix it.
func TestMergeLaws(t *testing.T) {
	charter, err := NewCharter("test", []Holder{{Node: "me", Gen: 1}}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	var ids []InstanceID
	for i := range 2 {
		id, _ := NewInstanceID(charter.ID, fmt.Sprintf("b%d", i), "compute", Grant, nil, nil)
		ids = append(ids, id)
	}
	row := func(t *rapid.T) Row { // few of each, so that ties are common
		h := Holder{Node: rapid.SampledFrom([]string{"a", "b", "me"}).Draw(t, "node"), Gen: uint64(rapid.IntRange(1, 2).Draw(t, "gen"))}
		if h.Node == "me" {
			h.Gen = 0 // an earlier life of this node
		}
		v := rapid.Uint64Range(1, 4).Draw(t, "version")
		id := rapid.SampledFrom(ids).Draw(t, "id")
		return Row{Holder: h, Instance: id, Version: v, Issued: 100, Spent: Tokens(v) * 7, In: Tokens(h.Gen), Surplus: Tokens(len(id)) % Tokens(v+1)}
	}
	rows := func(t *rapid.T, what string) []Row { return rapid.SliceOfN(rapid.Custom(row), 0, 8).Draw(t, what) }
	// after is what a replica knows after those messages, and how many rows it passed on as news.
	after := func(messages ...any) (k known, news int) {
		w := &world{now: testStart, fatalf: t.Fatalf, logf: t.Logf}
		n := &wnode{w: w, self: charter.Founders[0], disk: map[string][]byte{}}
		w.nodes = []*wnode{n}
		w.model = newModel(w)
		n.start(1)
		n.r.Found(charter)
		for _, m := range messages {
			if err := n.r.Receive(w.now, m); err != nil {
				t.Fatal(err)
			}
		}
		n.r.Writes(w.now)
		k = known{Rows: map[InstanceID][]Row{}}
		for _, id := range ids {
			for _, x := range n.r.Rows(w.now, id) {
				k.Rows[id] = append(k.Rows[id], x.Row)
			}
		}
		k.Digest = n.r.Digest().Holders
		return k, len(n.r.Commit(w.now).Spreads)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rows(t, "a"), rows(t, "b"), rows(t, "c")
		abc, news := after(a, b, c)
		same := func(law string, messages ...any) {
			if got, _ := after(messages...); !reflect.DeepEqual(got, abc) {
				t.Fatalf("not %s:\n%+v\n%+v", law, abc, got)
			}
		}
		same("commutative", c, b, a)
		same("commutative", b, c, a)
		same("idempotent", a, a, b, c, b, a, c)
		// Replicas of one process that are given the very same rows know the same, whatever each of them knows beside.
		shared := func(rows []Row) (ms []any) {
			for i := range rows {
				ms = append(ms, &SharedRow{Row: rows[i]})
			}
			return ms
		}
		as, bs, cs := shared(a), shared(b), shared(c)
		after(slices.Concat(bs, as)...)
		after(slices.Concat([]any{a}, cs, bs)...)
		same("the same with shared rows", slices.Concat(as, bs, cs)...)
		same("the same with shared rows", slices.Concat(cs, as, bs, as)...)
		// (a·b)·c and a·(b·c): what one replica knows of two messages is told on as one.
		told := func(k known) (all []Row) {
			for _, id := range ids {
				all = append(all, k.Rows[id]...)
			}
			return all
		}
		ab, _ := after(a, b)
		bc, _ := after(b, c)
		same("associative", told(ab), c)
		same("associative", a, told(bc))
		if _, again := after(a, b, c, told(abc)); again != news {
			t.Fatalf("%d rows were news, %d when all came once more", news, again)
		}
		// The digest tells any two states of knowledge apart.
		if !reflect.DeepEqual(ab.Rows, abc.Rows) == reflect.DeepEqual(ab.Digest, abc.Digest) {
			t.Fatalf("knowledge and digest disagree:\n%+v\n%+v", ab, abc)
		}
	})
}
