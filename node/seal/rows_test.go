package seal

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Rows go on from node to node, whole or without some of those beside them, and are checked once.
func TestRowsTravel(t *testing.T) {
	n1 := signer("n1", 7)
	signed := n1.Rows(row("n1", 7, "a", 1, 10), row("n1", 7, "b", 2, 20), row("n1", 7, "c", 3, 30))
	b := meet(t, "n3", n1)
	msg := signed.Append(nil, nil)
	r, rows, err := ParseRows(msg)
	if err != nil || len(rows) != 3 || !reflect.DeepEqual(rows[1], row("n1", 7, "b", 2, 20)) || r.Holder() != rows[0].Holder {
		t.Fatalf("%+v, %v", rows, err)
	}
	if proof, err := b.CheckRows(0, "n1", r, rows); err != nil || proof != nil {
		t.Fatal(proof, err)
	}
	for hop := range 3 { // n3 tells n4 the second alone, n4 tells it n5, …
		r, rows, err = ParseRows(r.Append(nil, func(i int) bool { return i == 1 }))
		if err != nil || rows[0] != nil || rows[1] == nil || rows[2] != nil {
			t.Fatalf("hop %d: %+v, %v", hop, rows, err)
		}
		if proof, err := meet(t, "n9", n1).CheckRows(0, "n4", r, rows); err != nil || proof != nil {
			t.Fatal(proof, err)
		}
	}
	b.buckets.Add("n4", &bucket{}) // may have nothing checked
	if _, err := b.CheckRows(0, "n4", r, rows); err != nil {
		t.Errorf("a signature that was checked is checked again: %v", err)
	}
}

func TestRowsOfAnother(t *testing.T) {
	n1, n2 := signer("n1", 7), signer("n2", 7)
	b := meet(t, "n3", n1, n2)
	for _, c := range []struct {
		name string
		rows *Rows
		why  Reason
	}{
		{"n2 signs for n1", n2.Rows(row("n1", 7, "a", 1, 10)), Forged},
		{"n2 signs for what follows on that in the same directory", n2.Rows(row("n1", 7+mostLives-1, "a", 1, 10)), Forged},
		{"a generation of a later directory, whose key is not known yet", n2.Rows(row("n1", 7+mostLives, "a", 1, 10)), UnknownKey},
		{"a generation before the directory", n1.Rows(row("n1", 6, "a", 1, 10)), UnknownKey},
		{"of a node that is not known", n2.Rows(row("n4", 7, "a", 1, 10)), UnknownKey},
	} {
		r, rows, err := ParseRows(c.rows.Append(nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.CheckRows(0, "n2", r, rows)
		want(t, c.name, err, c.why)
	}
	msg := n1.Rows(row("n1", 7, "a", 1, 10), row("n1", 7, "b", 2, 10)).Append(nil, nil)
	for i := range msg {
		bad := append([]byte(nil), msg...)
		bad[i] ^= 1
		r, rows, err := ParseRows(bad)
		if err == nil {
			_, err = b.CheckRows(0, "n2", r, rows)
		}
		if err == nil && bad[0] < 2 { // a newer version may say what it likes behind it
			t.Fatalf("byte %d changed, and the rows were taken", i)
		}
	}
	two := n1.Rows(row("n1", 7, "a", 1, 10), row("n2", 7, "b", 1, 10))
	_, _, err := ParseRows(two.Append(nil, nil))
	want(t, "rows of two holders", err, Malformed)
	_, _, err = ParseRows(two.Append(nil, func(int) bool { return false }))
	want(t, "hashes alone", err, Malformed)
}

// Two different rows of one version are proof, whatever instances they are of, also to who saw neither; from then on the key counts
// for nothing.
func TestEquivocation(t *testing.T) {
	n1, n2 := signer("n1", 7), signer("n2", 7)
	for _, other := range []*ledger.Row{row("n1", 7, "a", 5, 11), row("n1", 7, "b", 5, 10)} {
		b := meet(t, "n3", n1, n2)
		first, second := n1.Rows(row("n1", 7, "a", 5, 10)), n1.Rows(row("n1", 7, "c", 4, 1), other)
		read := func(b *Book, r *Rows) (*Proof, error) {
			r, rows, err := ParseRows(r.Append(nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			return b.CheckRows(0, "n2", r, rows)
		}
		if proof, err := read(b, first); proof != nil || err != nil {
			t.Fatal(proof, err)
		}
		proof, err := read(b, second)
		if proof == nil || err != nil || proof.Holder.Node != "n1" || proof.Version != 5 {
			t.Fatalf("%+v, %v", proof, err)
		}
		parsed, err := ParseProof(proof.Encode())
		if err != nil {
			t.Fatal(err)
		}
		far := meet(t, "n4", n1, n2)
		for i, wantNews := range []bool{true, false} {
			if news, err := far.Convict(0, "n3", parsed); news != wantNews || err != nil {
				t.Fatalf("time %d: news %v, %v", i, news, err)
			}
		}
		_, err = read(far, n1.Rows(row("n1", 7, "a", 6, 12)))
		want(t, "a row of it", err, Convicted)
		_, _, err = far.OpenLetter(0, "n1", n1.Letter("n4", false, []byte("x")))
		want(t, "a letter of it", err, Convicted)
		want(t, "its key, once more", far.Meet("n1", 8, n1.pin.Key), Convicted)
		next := signer("n1", 9)
		if err := far.Meet("n1", 9, next.pin.Key); err != nil {
			t.Errorf("an empty directory: %v", err)
		}
		if _, err := read(far, next.Rows(row("n1", 9, "a", 1, 1))); err != nil {
			t.Errorf("a row of it: %v", err)
		}
	}
	// Nobody can make one against another.
	forged := &Proof{Holder: ledger.Holder{Node: "n1", Gen: 7}, Version: 5, a: n2.Rows(row("n1", 7, "a", 5, 1)), b: n2.Rows(row("n1", 7, "a", 5, 2))}
	p, err := ParseProof(forged.Encode())
	if err != nil {
		t.Fatal(err)
	}
	_, err = meet(t, "n3", n1, n2).Convict(0, "n2", p)
	want(t, "a proof that n2 made against n1", err, Forged)
	same := &Proof{Holder: ledger.Holder{Node: "n1", Gen: 7}, Version: 5, a: n1.Rows(row("n1", 7, "a", 5, 1)), b: n1.Rows(row("n1", 7, "a", 5, 1), row("n1", 7, "b", 6, 1))}
	_, err = ParseProof(same.Encode())
	want(t, "one row under two signatures", err, Malformed)
}

// Whatever goes through, in whatever order and however often, honest holders are never convicted.
func TestHonestHoldersAreNotConvicted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n1 := signer("n1", 7)
		var sent []*Rows
		version := uint64(0)
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			var rows []*ledger.Row
			for range rapid.IntRange(1, MaxRows).Draw(t, "rows") {
				version += rapid.Uint64Range(1, 40).Draw(t, "step")
				rows = append(rows, row("n1", 7, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "instance"), version, 1))
			}
			sent = append(sent, n1.Rows(rows...))
		}
		b := NewBook("n3")
		if err := b.Meet("n1", 7, n1.pin.Key); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			r := rapid.SampledFrom(sent).Draw(t, "heard")
			keep := rapid.IntRange(0, r.Len()-1).Draw(t, "kept")
			r, rows, err := ParseRows(r.Append(nil, func(i int) bool { return i >= keep }))
			if err != nil {
				t.Fatal(err)
			}
			if proof, err := b.CheckRows(0, "n2", r, rows); proof != nil || err != nil {
				t.Fatal(proof, err)
			}
		}
	})
}

func FuzzParseRows(f *testing.F) {
	n1 := signer("n1", 7)
	r := n1.Rows(row("n1", 7, "a", 1, 10), row("n1", 7, "b", 2, 20))
	f.Add(r.Append(nil, nil))
	f.Add(r.Append(nil, func(i int) bool { return i == 1 }))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, rows, err := ParseRows(msg)
		if err != nil {
			return
		}
		again, rows2, err := ParseRows(r.Append(nil, nil))
		if err != nil || again.id() != r.id() || len(rows2) != len(rows) {
			t.Fatalf("what was read is not read again: %v", err)
		}
		if _, err := meet(t, "n2", n1).CheckRows(0, "n1", r, rows); err == nil {
			for i, x := range rows {
				if x != nil && (x.Holder != ledger.Holder{Node: "n1", Gen: 7} || hashOf(r.raw[i]) != r.hashes[i]) {
					t.Fatalf("a row of %v was taken", x.Holder)
				}
			}
		}
	})
}

func FuzzParseProof(f *testing.F) {
	n1 := signer("n1", 7)
	p := &Proof{Holder: ledger.Holder{Node: "n1", Gen: 7}, Version: 5, a: n1.Rows(row("n1", 7, "a", 5, 1)), b: n1.Rows(row("n1", 7, "a", 5, 2))}
	f.Add(p.Encode())
	f.Add(begin(n1, 100, 200, 2).Outlived(begin(n1, 100, 200, 2).start(0), begin(n1, 100, 300, 3).start(0)).Encode())
	f.Fuzz(func(t *testing.T, msg []byte) {
		p, err := ParseProof(msg)
		if err != nil {
			return
		}
		if news, err := meet(t, "n2", signer("n3", 1)).Convict(0, "n4", p); news || err == nil {
			t.Fatal("a node that never signed was convicted")
		}
	})
}

// BenchmarkSignedRows is what 1,000 rows take to sign, and to check where they are new, by how many go under one signature, and the
// bytes that this adds to each row: while all travel together, and when one travels on alone.
func BenchmarkSignedRows(b *testing.B) {
	n1 := signer("node-17", 7)
	for _, k := range []int{1, 2, 3, MaxRows} {
		var rows []*ledger.Row
		plain := 0
		for i := range k {
			x := row("node-17", 7, fmt.Sprintf("tenant-day/tenant-%d", i), uint64(i+1), 1_234_567)
			rows = append(rows, x)
			plain += len(ledger.Encode([]ledger.Row{*x}))
		}
		signed := n1.Rows(rows...)
		all, one := signed.Append(nil, nil), signed.Append(nil, func(i int) bool { return i == 0 })
		sizes := func(b *testing.B) {
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/float64(k)*1000, "ms/1000rows")
			b.ReportMetric(float64(plain)/float64(k), "B/row")
			b.ReportMetric(float64(1+len(all)-plain)/float64(k), "added-B/row")
			b.ReportMetric(float64(1+len(one)-plain/k), "added-B/alone")
		}
		b.Run(fmt.Sprintf("sign/%d", k), func(b *testing.B) {
			for b.Loop() {
				n1.Rows(rows...)
			}
			sizes(b)
		})
		b.Run(fmt.Sprintf("check/%d", k), func(b *testing.B) {
			book := meet(b, "n3", n1)
			for b.Loop() {
				r, got, err := ParseRows(all)
				if err != nil {
					b.Fatal(err)
				}
				book.checked.Purge()
				book.buckets.Purge()
				if _, err := book.CheckRows(0, "n2", r, got); err != nil {
					b.Fatal(err)
				}
			}
			sizes(b)
		})
		b.Run(fmt.Sprintf("again/%d", k), func(b *testing.B) {
			book := meet(b, "n3", n1)
			for b.Loop() {
				r, got, err := ParseRows(all)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := book.CheckRows(0, "n2", r, got); err != nil {
					b.Fatal(err)
				}
			}
			sizes(b)
		})
	}
}

// BenchmarkLetter is what a message to one peer takes, by how many go together.
func BenchmarkLetter(b *testing.B) {
	n1 := signer("node-17", 7)
	ask := ledger.Encode(&ledger.Ask{ID: 1234567, From: ledger.Holder{Node: "node-17", Gen: 7}, Instance: "tenant-day/search@0123456789ab", Need: 1800, Want: 9000, At: 1_700_000_000_000, Patience: 2000})
	for _, k := range []int{1, 4, 16} {
		var payloads [][]byte
		for range k {
			payloads = append(payloads, ask)
		}
		letter := n1.Letter("n3", false, payloads...)
		report := func(b *testing.B) {
			b.ReportMetric(float64(len(ask)), "B/message")
			b.ReportMetric(float64(1+len(letter)-k*len(ask))/float64(k), "added-B/message")
		}
		b.Run(fmt.Sprintf("sign/%d", k), func(b *testing.B) {
			for b.Loop() {
				n1.Letter("n3", false, payloads...)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("open/%d", k), func(b *testing.B) {
			book := meet(b, "n3", n1)
			for b.Loop() {
				book.buckets.Purge()
				book.pins["node-17"][0].window = nil
				if _, _, err := book.OpenLetter(0, "node-17", letter); err != nil {
					b.Fatal(err)
				}
			}
			report(b)
		})
	}
}
