package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// The tree is tlog's: same hashes at the same places, same root, and its proofs hold.
func TestTreeIsTlogs(t *testing.T) {
	l, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: testKey(t, "n1"), open: hasty, SegmentBytes: 2000})
	var stored []tlog.Hash
	read := tlog.HashReaderFunc(func(at []int64) (hs []tlog.Hash, err error) {
		for _, i := range at {
			hs = append(hs, stored[i])
		}
		return hs, nil
	})
	var points []Checkpoint
	for i := range 100 {
		if err := l.Append(int64(i), [][]byte{entry(i)}); err != nil {
			t.Fatal(err)
		}
		hs, err := tlog.StoredHashes(int64(i), entry(i), read)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hs...)
		root, err := tlog.TreeHash(int64(i+1), read)
		_, c := l.Head()
		if err != nil || c.Root != root {
			t.Fatalf("%d records: root %v, want %v (%v)", i+1, c.Root, root, err)
		}
		points = append(points, c)
	}
	d := l.Dir()
	if len(d.segs) < 3 {
		t.Fatalf("%d segments", len(d.segs))
	}
	for _, old := range points {
		p, err := tlog.ProveTree(100, old.Size, d)
		if err == nil {
			err = tlog.CheckTree(p, 100, points[99].Root, old.Size, old.Root)
		}
		if err != nil {
			t.Fatalf("%d: %v", old.Size, err)
		}
	}
}

// A log goes on where it was after it was closed, and after it was cut anywhere in a batch that was not signed.
func TestCutAnywhere(t *testing.T) {
	for _, segment := range []int64{1200, 1 << 20} {
		t.Run(fmt.Sprint(segment), func(t *testing.T) {
			key, dir := testKey(t, "n1"), filepath.Join(scratch(t), "audit")
			o := Options{Dir: dir, Key: key, open: hasty, SegmentBytes: segment}
			l, rec := open(t, o)
			if !rec.Began {
				t.Error("a new log is not said to be new")
			}
			fill(t, l, 20, 3)
			before := files(t, dir)
			_, was := l.Head()
			fill(t, l, 4, 4)
			_ = l.Close()
			after := files(t, dir)
			for name, b := range after {
				if filepath.Ext(name) != segSuffix || len(b) == len(before[name]) {
					continue
				}
				for cut := len(before[name]); cut < len(b); cut++ {
					dir := filepath.Join(scratch(t), "audit")
					if err := os.Mkdir(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					for n, old := range after {
						write(t, dir, n, old)
					}
					write(t, dir, name, b[:cut])
					if cut%3 == 0 { // hashes are not synced with each batch
						write(t, dir, name[:20]+hashSuffix, nil)
					}
					l, rec, err := Open(Options{Dir: dir, Key: key, open: hasty, SegmentBytes: segment})
					if err != nil {
						t.Fatalf("cut at %d of %d: %v", cut, len(b), err)
					}
					_, c := l.Head()
					if c != was || rec.Cut != int64(cut-len(before[name])) {
						t.Fatalf("cut at %d: %+v, want %+v; %+v", cut, c, was, rec)
					}
					fill(t, l, 5, 2)
					_ = l.Close()
					if r := verify(t, dir); !r.OK() || r.Size != 25 {
						t.Fatalf("cut at %d: %+v", cut, r)
					}
				}
			}
		})
	}
}

// Records are those that were written, also after many restarts, and old segments go.
func TestBoundOnDisk(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	o := Options{Dir: dir, Key: testKey(t, "n1"), open: hasty, MaxBytes: 12_000, SegmentBytes: 2000}
	var heads [][]byte
	for range 8 {
		l, _ := open(t, o)
		heads = append(heads, fill(t, l, 40, 7)...)
		_ = l.Close()
	}
	l, rec := open(t, o)
	u := l.Usage()
	if rec != (Recovered{}) || u.Size != 320 || u.From == 0 || u.Bytes > o.MaxBytes+o.SegmentBytes {
		t.Fatalf("%+v %+v", rec, u)
	}
	next := u.From
	if err := l.Dir().Each(0, func(e *Entry) bool {
		if e.Index != next || !bytes.Equal(e.Raw, entry(int(next))) {
			t.Fatalf("record %d, want %d", e.Index, next)
		}
		next++
		return true
	}); err != nil || next != 320 {
		t.Fatal(next, err)
	}
	if err := l.Dir().Back(func(e *Entry) bool {
		next--
		if e.Index != next || e.Record.ID != fmt.Sprintf("n1.%d", next) {
			t.Fatalf("record %d, want %d", e.Index, next)
		}
		return true
	}); err != nil || next != u.From {
		t.Fatal(next, err)
	}
	// All heads since what was deleted are proved, older ones are said to be too old.
	var seen []Sighting
	for _, h := range heads {
		seen = append(seen, Sighting{"n2", testKey(t, "n1").Verifier(), h})
	}
	r := verify(t, dir, seen...)
	if !r.OK() || r.From != u.From || r.Size != 320 {
		t.Fatalf("%+v", r)
	}
	for _, p := range r.Peers {
		if want := map[bool]string{true: Proved, false: TooOld}[p.Size >= u.From]; p.Verdict != want {
			t.Errorf("a checkpoint of %d records is %s, want %s", p.Size, p.Verdict, want)
		}
	}
	// Proofs from the edge of what was deleted hold.
	_, c := l.Head()
	proof, err := tlog.ProveTree(c.Size, u.From, l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := readEdge(u.From, l.Dir())
	if err != nil || tlog.CheckTree(proof, c.Size, c.Root, u.From, e.root()) != nil {
		t.Error(err)
	}
}

// A crash between the note of what is deleted and the deletion leaves segments that the next start deletes.
func TestDeletionCutShort(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	o := Options{Dir: dir, Key: testKey(t, "n1"), open: hasty, MaxBytes: 12_000, SegmentBytes: 2000}
	l, _ := open(t, o)
	fill(t, l, 60, 5)
	old := files(t, dir)
	fill(t, l, 200, 5)
	_ = l.Close()
	for name, b := range old {
		if _, err := os.Stat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
			write(t, dir, name, b)
		}
	}
	want := l.Usage()
	l, _ = open(t, o)
	if got := l.Usage(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if r := verify(t, dir); !r.OK() {
		t.Errorf("%+v", r)
	}
	left := 0
	for name := range files(t, dir) {
		if filepath.Ext(name) == segSuffix {
			left++
		}
	}
	if left != want.Segments {
		t.Errorf("%d segments are left, want %d", left, want.Segments)
	}
}

// faulty fails writes and syncs when it is told to, after a part of the write.
type faulty struct {
	*os.File
	on *bool
}

var errDisk = errors.New("no space left on device")

func (f faulty) WriteAt(b []byte, at int64) (int, error) {
	if *f.on {
		n, _ := f.File.WriteAt(b[:len(b)/2], at)
		return n, errDisk
	}
	return f.File.WriteAt(b, at)
}

func (f faulty) Sync() error {
	if *f.on {
		return errDisk
	}
	return f.File.Sync()
}

// A batch that a full disk refuses leaves the log as it was, and may be tried again.
func TestFullDisk(t *testing.T) {
	dir, full := filepath.Join(scratch(t), "audit"), false
	o := Options{Dir: dir, Key: testKey(t, "n1"), SegmentBytes: 1500, open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		return faulty{f, &full}, err
	}}
	l, _ := open(t, o)
	for i := range 40 {
		full = i%3 != 0
		for l.Append(int64(i), [][]byte{entry(2 * i), entry(2*i + 1)}) != nil {
			full = false
		}
		if r := verify(t, dir); !r.OK() || r.Size != int64(2*i+2) {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	_ = l.Close()
	if l, rec := open(t, o); rec.Cut != 0 || l.Usage().Size != 80 {
		t.Errorf("%+v %+v", rec, l.Usage())
	}
}

// A log that was changed is not gone on with, and not touched.
func TestOpenRefusesWhatWasChanged(t *testing.T) {
	dir := filepath.Join(scratch(t), "audit")
	o := Options{Dir: dir, Key: testKey(t, "n1"), open: hasty, SegmentBytes: 1 << 20}
	l, _ := open(t, o)
	fill(t, l, 20, 4)
	_ = l.Close()
	was := files(t, dir)
	b := slices.Clone(was[segName(0)+segSuffix])
	b[headLen+20] ^= 1
	write(t, dir, segName(0)+segSuffix, b)
	now := files(t, dir)
	if _, _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("%v", err)
	}
	for name, b := range files(t, dir) {
		if !bytes.Equal(b, now[name]) {
			t.Errorf("%s was touched", name)
		}
	}
	o.Key = testKey(t, "n2")
	write(t, dir, segName(0)+segSuffix, was[segName(0)+segSuffix])
	if _, _, err := Open(o); !errors.Is(err, ErrDamaged) {
		t.Errorf("a log of another key was opened: %v", err)
	}
}

// Whatever batches come, with restarts between them, the log is as one that was written at once.
func TestBatchesDoNotMatter(t *testing.T) {
	base := scratch(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		o := Options{Dir: dir, Key: testKey(t, "n1"), open: hasty, SegmentBytes: int64(rapid.IntRange(200, 4000).Draw(rt, "segment"))}
		var e edge
		size := 0
		for range rapid.IntRange(1, 4).Draw(rt, "starts") {
			l, _, err := Open(o)
			if err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(0, 6).Draw(rt, "batches") {
				var recs [][]byte
				for range rapid.IntRange(1, 9).Draw(rt, "records") {
					recs = append(recs, entry(size))
					e.add(tlog.RecordHash(entry(size)), func(tlog.Hash) {})
					size++
				}
				if err := l.Append(int64(size), recs); err != nil {
					rt.Fatal(err)
				}
			}
			if _, c := l.Head(); size > 0 && (c.Size != int64(size) || c.Root != e.root()) {
				rt.Fatalf("%+v", c)
			}
			_ = l.Close()
		}
		if r, err := Verify(dir, "", nil); err != nil || !r.OK() || r.Size != int64(size) {
			rt.Fatalf("%+v %v", r, err)
		}
	})
}

func BenchmarkAppendLog(b *testing.B) {
	l, _ := open(b, Options{Dir: filepath.Join(scratch(b), "audit"), Key: testKey(b, "n1"), MaxBytes: 64 << 20})
	const batch = 1000
	var recs [][]byte
	for i := range batch {
		recs = append(recs, append(entry(i), bytes.Repeat([]byte{0}, 150)...))
	}
	for b.Loop() {
		if err := l.Append(1, recs); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/record")
}
