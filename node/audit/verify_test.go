package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// made is a log of some segments, the oldest of which are deleted, and the checkpoints that were signed on the way.
func made(t testing.TB, records, batch int) (dir string, heads [][]byte) {
	t.Helper()
	dir = filepath.Join(scratch(t), "audit")
	l, _ := open(t, Options{Dir: dir, Key: testKey(t, "n1"), open: hasty, MaxBytes: 14_000, SegmentBytes: 2500})
	heads = fill(t, l, records, batch)
	_ = l.Close()
	return dir, heads
}

// place is what a byte of a segment belongs to: record, and whether it is a record's.
func place(b []byte, first int64, at int) (record int64, of byte) {
	if at < headLen {
		return first, 'h'
	}
	record = first
	for i := headLen; i < len(b); {
		kind, _, n, err := nextFrame(b[i:])
		if err != nil {
			panic(err)
		}
		if at < i+n {
			return record, kind
		}
		if i += n; kind == frameRecord {
			record++
		}
	}
	panic("beyond the end")
}

// hashOf is the record whose hashes a byte of a hash file is among.
func hashOf(first int64, at int) int64 {
	x := tlog.StoredHashCount(first) + int64(at/tlog.HashSize)
	n := first
	for tlog.StoredHashCount(n+1) <= x {
		n++
	}
	return n
}

// TestEveryByte: a change of any single byte of any file of a log is found, and the first record that was changed is named.
func TestEveryByte(t *testing.T) {
	dir, _ := made(t, 330, 9)
	was := files(t, dir)
	if len(was) < 8 || was[prunedName] == nil {
		t.Fatalf("%d files", len(was))
	}
	if r := verify(t, dir); !r.OK() {
		t.Fatalf("%+v", r)
	}
	names := []string{}
	for name := range was {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "file")
		b := was[name]
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		flip := rapid.ByteRange(1, 255).Draw(t, "flip")
		changed := slices.Clone(b)
		changed[at] ^= flip
		check(t, dir, name, b, changed, at)
	})
	if testing.Short() {
		return
	}
	for _, name := range names { // and every 41st byte of them, with another bit each
		b := was[name]
		for at := range b {
			if at%41 != 3 {
				continue
			}
			changed := slices.Clone(b)
			changed[at] ^= 1 << (at % 8)
			check(t, dir, name, b, changed, at)
		}
	}
}

// TestEveryByteOfASegment: each bit of each byte of a small log, its segment and all that stands beside it, one after the other.
func TestEveryByteOfASegment(t *testing.T) {
	dir, _ := made(t, 9, 3)
	was := files(t, dir)
	changes := 0
	for name, b := range was {
		for at := range 8 * len(b) {
			changed := slices.Clone(b)
			changed[at/8] ^= 1 << (at % 8)
			check(t, dir, name, b, changed, at/8)
			changes++
		}
	}
	if n := len(was[segName(0)+segSuffix]); n < 1000 || n > 3000 || changes < 8*n {
		t.Errorf("a segment of %d bytes, %d changes", n, changes)
	}
}

func check(t interface{ Fatalf(string, ...any) }, dir, name string, b, changed []byte, at int) {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	r, err := Verify(dir, "", nil)
	if e := os.WriteFile(path, b, 0o600); err != nil || e != nil {
		t.Fatalf("%v %v", err, e)
	}
	if r.OK() {
		t.Fatalf("byte %d of %s was changed, and nothing found", at, name)
	}
	p := r.Problems[0]
	switch filepath.Ext(name) {
	case segSuffix:
		first, _ := firstOf(name)
		record, of := place(b, first, at)
		if of == frameRecord && p.Record != record || of != frameRecord && (p.Record > record || p.Last+1 < record) {
			t.Fatalf("byte %d of %s is of %q %d; found: %+v", at, name, of, record, p)
		}
	case hashSuffix:
		first, _ := firstOf(name[:20] + segSuffix)
		if record := hashOf(first, at); p.Record != record || p.Last != record {
			t.Fatalf("byte %d of %s is of record %d; found: %+v", at, name, record, p)
		}
	}
}

// forge changes one byte of a record and mends the checksum.
func forge(b []byte, first, record int64) []byte {
	b = slices.Clone(b)
	n := first
	for i := headLen; i < len(b); {
		kind, payload, size, err := nextFrame(b[i:])
		if err != nil {
			panic(err)
		}
		if kind == frameRecord {
			if n == record {
				at := bytes.Index(payload, []byte("admit"))
				copy(payload[at:], "adm1t")
				end := i + size - 4
				binary.BigEndian.PutUint32(b[end:], crc32.Checksum(b[i:end], castagnoli))
				return b
			}
			n++
		}
		i += size
	}
	panic("no such record")
}

// Who mends the checksums too is found by the hashes; who mends also these, by the signed checkpoints; who has the node's key and
// signs anew, by what peers keep. Each names the first record that can be told.
func TestForgers(t *testing.T) {
	key := testKey(t, "n1")
	dir, heads := made(t, 60, 6) // checkpoints of 6, 12, … records
	was := files(t, dir)
	seg := segName(0) + segSuffix
	seen := func(sizes ...int) (ss []Sighting) {
		for _, n := range sizes {
			ss = append(ss, Sighting{"n2", key.Verifier(), heads[n/6-1]})
		}
		return ss
	}
	if r := verify(t, dir, seen(6, 30, 60)...); !r.OK() {
		t.Fatalf("%+v", r)
	}
	first := func(r *Report) [2]int64 {
		t.Helper()
		if r.OK() {
			t.Fatal("nothing found")
		}
		return [2]int64{r.Problems[0].Record, r.Problems[0].Last}
	}

	write(t, dir, seg, forge(was[seg], 0, 9))
	if got := first(verify(t, dir)); got != [2]int64{9, 9} {
		t.Errorf("with the checksum mended: %v", got)
	}

	// All hashes on file are made anew, too: the checkpoint of 12 records is the first that is wrong.
	rehash(t, dir)
	if got := first(verify(t, dir)); got != [2]int64{6, 11} {
		t.Errorf("with the hashes mended: %v", got)
	}

	// The whole log is written and signed anew with the node's key.
	dir = filepath.Join(scratch(t), "audit")
	l, _ := open(t, Options{Dir: dir, Key: key, open: hasty, MaxBytes: 14_000, SegmentBytes: 2500})
	for i := 0; i < 60; i += 6 {
		var recs [][]byte
		for j := i; j < i+6; j++ {
			r := entry(j)
			if j == 9 {
				r = bytes.Replace(r, []byte("admit"), []byte("adm1t"), 1)
			}
			recs = append(recs, r)
		}
		if err := l.Append(int64(1000+i), recs); err != nil {
			t.Fatal(err)
		}
	}
	_ = l.Close()
	if r := verify(t, dir); !r.OK() {
		t.Fatalf("a log that was signed anew is whole in itself: %+v", r)
	}
	r := verify(t, dir, seen(6, 30, 60)...)
	if got := first(r); got != [2]int64{6, 29} {
		t.Errorf("with a new signature: %v", got)
	}
	if r.Peers[0].Verdict != Proved || r.Peers[1].Verdict != Changed {
		t.Errorf("%+v", r.Peers)
	}

	// Cut off, with peers that know more.
	dir, _ = made(t, 48, 6)
	if r := verify(t, dir, seen(30, 60)...); first(r) != [2]int64{48, 59} || r.Peers[1].Verdict != CutOff {
		t.Errorf("%+v", r)
	}
	// Another key, and a forged note.
	forged := slices.Clone(heads[0])
	forged[len("swarmpurse/n1\n")]++
	r = verify(t, dir, Sighting{"n2", testKey(t, "n1x").Verifier(), heads[0]}, Sighting{"n3", key.Verifier(), forged})
	if r.Peers[0].Verdict != Forged || r.Peers[1].Verdict != Forged {
		t.Errorf("%+v", r.Peers)
	}
}

// rehash makes the hash files what the records come to, without signing.
func rehash(t *testing.T, dir string) {
	t.Helper()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var e edge
	for _, s := range d.segs {
		b, err := d.read(s)
		if err != nil {
			t.Fatal(err)
		}
		var hashes []byte
		for at := headLen; at < len(b); {
			kind, payload, n, err := nextFrame(b[at:])
			if err != nil {
				t.Fatal(err)
			}
			if kind == frameRecord {
				e.add(tlog.RecordHash(payload), func(h tlog.Hash) { hashes = append(hashes, h[:]...) })
			}
			at += n
		}
		write(t, dir, segName(s.first)+hashSuffix, hashes)
	}
}

// FuzzSegment: whatever a segment holds, opening, reading and verifying it neither panics nor believes it.
func FuzzSegment(f *testing.F) {
	dir, _ := made(f, 20, 5)
	good := files(f, dir)[segName(0)+segSuffix]
	f.Add(good)
	f.Add(good[:headLen])
	f.Add(good[:len(good)-9])
	key := testKey(f, "n1")
	n := 0
	root := scratch(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		write(t, dir, keyName, []byte(key.Verifier()+"\n"))
		write(t, dir, segName(0)+segSuffix, b)
		d, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Each(0, func(*Entry) bool { return true })
		_ = d.Back(func(*Entry) bool { return true })
		r, err := Verify(dir, key.Verifier(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size > 0 && !bytes.HasPrefix(b, good[:headLen+40]) {
			t.Errorf("records were believed that were not signed")
		}
		if l, _, err := Open(Options{Dir: dir, Key: key, open: hasty}); err == nil {
			if err := l.Append(1, [][]byte{entry(1)}); err != nil {
				t.Error(err)
			}
			_ = l.Close()
			if r, err := Verify(dir, key.Verifier(), nil); err != nil || !r.OK() {
				t.Errorf("%+v %v", r, err)
			}
		}
	})
}

// FuzzCheckpoint: a checkpoint that is read says what was signed.
func FuzzCheckpoint(f *testing.F) {
	key := testKey(f, "n1")
	c := Checkpoint{Origin: "swarmpurse/n1", Size: 7, At: 1000}
	msg, err := c.Sign(key.Signer())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(msg)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := OpenCheckpoint(b, key.Verifier()); err == nil && got != c {
			t.Errorf("%+v", got)
		}
		if got, err := parseCheckpoint(string(b)); err == nil && (got.Size < 0 || got.Origin == "") {
			t.Errorf("%+v", got)
		}
	})
}
