package ledger

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestPast: what was closed is closed, nothing else is; generations that follow each other take the room of one; and it
// comes back from disk as it was.
func TestPast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, closed := past{}, map[Holder]bool{}
		for range rapid.IntRange(0, 40).Draw(t, "generations") {
			h := Holder{Node: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node"), Gen: rapid.Uint64Range(0, 20).Draw(t, "gen")}
			p.add(h)
			closed[h] = true
		}
		for _, node := range []string{"a", "b", "c"} {
			spans := 0
			for gen := range uint64(22) {
				h := Holder{Node: node, Gen: gen}
				if p.has(h) != closed[h] {
					t.Fatalf("%v: closed %v in %v", h, closed[h], p)
				}
				if closed[h] && (gen == 0 || !closed[Holder{Node: node, Gen: gen - 1}]) {
					spans++
				}
			}
			if len(p[node]) != spans {
				t.Fatalf("%d ranges for %d: %v", len(p[node]), spans, p)
			}
			q := past{}
			if len(p[node]) == 0 {
				continue
			}
			if ok, err := q.read(keyPast+node, encodePast(p[node])); !ok || err != nil || !reflect.DeepEqual(q[node], p[node]) {
				t.Fatalf("%v comes back as %v: %v", p[node], q[node], err)
			}
		}
	})
}

// FuzzPast: whatever a disk says of closed generations is an error or comes back as it was.
func FuzzPast(f *testing.F) {
	f.Add(encodePast([]span{{1, 4}, {7, 7}}))
	f.Add(encodePast([]span{{4, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ss, err := decodePast(b)
		if err != nil {
			return
		}
		if again, err := decodePast(encodePast(ss)); err != nil || !reflect.DeepEqual(again, ss) {
			t.Fatalf("%v comes back as %v: %v", ss, again, err)
		}
	})
}

// TestDueRoundTrip: what an heir was credited comes back from disk, and takes no more room than what it tells.
func TestDueRoundTrip(t *testing.T) {
	for _, c := range []struct {
		taken  Taken
		fields byte
	}{
		{Taken{Issued: 5, In: -3, Out: -3, Spent: 4, Lapsed: 2}, 8},
		{Taken{Issued: 5, Lapsed: 2, Burned: 1}, 10},
		{Taken{Issued: 5, Minted: 4}, 11},
		{Taken{Issued: 5, Lapsed: 3, Decayed: 2, Burned: 1, Minted: 4}, 11},
	} {
		d := Due{Shares: 7, Window: 9, Tokens: 3, Taken: c.taken}
		b := encodeDue(&d)
		if got, err := decodeDue(b); err != nil || got != d || b[2] != 0x90|c.fields {
			t.Errorf("%+v comes back as %+v of %x: %v", d, got, b, err)
		}
	}
}
