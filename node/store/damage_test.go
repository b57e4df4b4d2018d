package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Damage must show as an error, or not matter. The worst answer is a wrong one: a node that reads an
// older account spends its tokens twice.

// TestFlippedBitsAreNoticedOrHarmless flips one bit in thousands of bytes of a database and runs Open's check.
func TestFlippedBitsAreNoticedOrHarmless(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	file := readFile(t, dir, dbName)
	last, st, err := recordsOf(file)
	if err != nil || !equal(last, want) {
		t.Fatalf("the sample is not sound: %v", err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	noticed, harmless, older := 0, 0, 0
	page := os.Getpagesize()
	for at := range usedPages(t, file) {
		if at%page > 120 && at%41 != 0 {
			continue // all of the heads of pages, and some of what records hold
		}
		bit := byte(1) << r.IntN(8)
		file[at] ^= bit
		got, gst, err := recordsOf(file)
		file[at] ^= bit
		switch {
		case err != nil:
			noticed++
		case equal(got, want) && gst == st:
			harmless++
		case gst.Tx == st.Tx-1 && at/page < 2:
			older++ // the newest meta page: the counter of commits tells, see below
		default:
			t.Fatalf("byte %d, bit %x: other records than the ones committed, and no error", at, bit)
		}
	}
	t.Logf("%d bytes: %d noticed, %d harmless, %d give the state one commit earlier", len(file), noticed, harmless, older)
	if noticed < 1000 || harmless == 0 || older == 0 {
		t.Error("the flips did not reach what they should")
	}
}

// TestOpenOnDamage opens directories whose files were flipped, cut, zeroed and mixed with older pages, reads
// everything, commits, and opens them again.
func TestOpenOnDamage(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	sound := readFile(t, dir, dbName)
	used := usedPages(t, sound)
	page := os.Getpagesize()
	r := rand.New(rand.NewPCG(5, 6))
	type damage struct {
		name string
		file []byte
	}
	var cases []damage
	mutate := func(name string, f func(b []byte) []byte) {
		cases = append(cases, damage{name, f(bytes.Clone(sound))})
	}
	for range 150 {
		at, bit := r.IntN(len(used)), byte(1)<<r.IntN(8)
		mutate(fmt.Sprintf("bit %x of byte %d", bit, at), func(b []byte) []byte { b[at] ^= bit; return b })
	}
	for at := range 2 * page { // both meta pages' heads
		if at%page < 80 && at%3 == 0 {
			mutate(fmt.Sprintf("byte %d", at), func(b []byte) []byte { b[at] ^= 0x40; return b })
		}
	}
	for n := 0; n < len(used); n += 1 + len(used)/40 {
		mutate(fmt.Sprintf("cut to %d bytes", n), func(b []byte) []byte { return b[:n] })
	}
	for p := 0; p < len(used); p += page {
		mutate(fmt.Sprintf("page %d zeroed", p/page), func(b []byte) []byte { clear(b[p : p+page]); return b })
		q := r.IntN(len(used)/page) * page
		mutate(fmt.Sprintf("page %d over page %d", q/page, p/page), func(b []byte) []byte { copy(b[p:p+page], sound[q:]); return b })
		mutate(fmt.Sprintf("page %d half written", p/page), func(b []byte) []byte {
			for i := p + page/2; i < p+page; i++ {
				b[i] = 0xAA
			}
			return b
		})
	}
	mutate("random bytes", func(b []byte) []byte { return randBytes(r, len(b)) })
	mutate("text", func(b []byte) []byte { return []byte("not a database\n") })
	mutate("longer", func(b []byte) []byte { return append(b, make([]byte, 5000)...) })

	refused := 0
	for i, c := range cases {
		d := filepath.Join(t.TempDir(), fmt.Sprint(i))
		copyDir(t, dir, d)
		writeFile(t, c.file, d, dbName)
		s, err := Open(options(d))
		if err != nil {
			refused++
			wantHint(t, c.name, err, ErrCorrupt)
			if got := readFile(t, d, dbName); !bytes.Equal(got, c.file) {
				t.Errorf("%s: Open refused the database and changed it", c.name)
			}
			continue
		}
		got := mustContents(t, s)
		if !equal(got, want) {
			t.Errorf("%s: %d records that are not the %d committed ones", c.name, len(got), len(want))
		}
		// Harmless damage must stay harmless when pages are written again.
		mustCommit(t, s, Write{Meta, "after", make([]byte, 9000)})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, err = Open(options(d))
		if err != nil {
			t.Errorf("%s: opened once, and after a commit not: %v", c.name, err)
			continue
		}
		got = mustContents(t, s)
		delete(got, "meta/after")
		if !equal(got, want) {
			t.Errorf("%s: other records after a commit", c.name)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d were refused", refused, len(cases))
	if refused < len(cases)/3 || refused == len(cases) {
		t.Error("the damage did not reach what it should")
	}
}

// metaOf says on which page the newest and the older meta page are.
func metaOf(t *testing.T, file []byte) (newestPage, olderPage int) {
	t.Helper()
	m, torn, err := newest(bytes.NewReader(file), int64(len(file)))
	if err != nil || torn != nil {
		t.Fatal(err, torn)
	}
	return int(m.tx % 2), int(1 - m.tx%2)
}

func TestALostCommitIsNoticed(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	sound := readFile(t, dir, dbName)
	seq := readFile(t, dir, seqName)
	page := os.Getpagesize()
	newPage, oldPage := metaOf(t, sound)
	owner, tx, err := decodeCounter(seq)
	if err != nil {
		t.Fatal(err)
	}
	breakPage := func(p int) []byte {
		b := bytes.Clone(sound)
		b[p*page+40] ^= 1
		return b
	}
	for _, tt := range []struct {
		name string
		db   []byte
		seq  []byte // nil: the file is missing
		ok   bool
	}{
		{"newest meta page damaged", breakPage(newPage), seq, false},
		{"newest meta page and the counter damaged", breakPage(newPage), []byte("x"), false},
		{"newest meta page damaged, counter missing", breakPage(newPage), nil, false},
		{"older meta page damaged", breakPage(oldPage), seq, true},
		{"older meta page damaged, counter missing", breakPage(oldPage), nil, false}, // nobody can tell it from the first
		{"counter damaged", sound, []byte("garbage"), true},
		{"counter missing", sound, nil, true},
		{"counter ahead", sound, encodeCounter(owner, tx+1), false},
		{"counter behind, as after a crash", sound, encodeCounter(owner, tx-1), true},
		{"counter of another directory", sound, encodeCounter([16]byte{1}, tx), false},
	} {
		d := filepath.Join(t.TempDir(), "d")
		copyDir(t, dir, d)
		writeFile(t, tt.db, d, dbName)
		if tt.seq != nil {
			writeFile(t, tt.seq, d, seqName)
		} else if err := os.Remove(filepath.Join(d, seqName)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(options(d))
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err != nil {
			wantHint(t, tt.name, err, ErrCorrupt, ErrForeign)
			continue
		}
		if got := mustContents(t, s); !equal(got, want) {
			t.Errorf("%s: other records", tt.name)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if owner2, tx2, err := decodeCounter(readFile(t, d, seqName)); err != nil || owner2 != owner || tx2 != tx {
			t.Errorf("%s: the counter was left as %d %v, want %d", tt.name, tx2, err, tx)
		}
	}
}

// TestACommitThatWasNeverReportedMayBeDropped: the meta page was torn by a crash in the middle of writing it, and
// nothing was reported, so the state before it is the right one.
func TestACommitThatWasNeverReportedMayBeDropped(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	seq := readFile(t, dir, seqName)
	s := mustOpen(t, options(dir))
	mustCommit(t, s, Write{Meta, "unreported", []byte("x")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := readFile(t, dir, dbName)
	newPage, _ := metaOf(t, b)
	clear(b[newPage*os.Getpagesize()+30:][:50])
	writeFile(t, b, dir, dbName)
	writeFile(t, seq, dir, seqName)
	if got := mustContents(t, mustOpen(t, options(dir))); !equal(got, want) {
		t.Error("other records than before the torn commit")
	}
}

func TestAnOlderCopyOfTheDatabaseIsNoticed(t *testing.T) {
	dir := t.TempDir()
	sample(t, dir)
	old := readFile(t, dir, dbName)
	s := mustOpen(t, options(dir))
	mustCommit(t, s, Write{Accounts, "a", []byte("spent more")})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, old, dir, dbName)
	_, err := Open(options(dir))
	wantHint(t, "older copy", err, ErrCorrupt)
}

// TestDamageWhileOpen damages the file under an open store: reads and commits answer with an error or with what
// was committed, and never take the process down.
func TestDamageWhileOpen(t *testing.T) {
	page := os.Getpagesize()
	for name, f := range map[string]func(t *testing.T, path string, size int64){
		"cut": func(t *testing.T, path string, size int64) {
			if err := os.Truncate(path, int64(2*page)); err != nil {
				t.Fatal(err)
			}
		},
		"zeroed": func(t *testing.T, path string, size int64) {
			overwrite(t, path, make([]byte, size-int64(2*page)), int64(2*page))
		},
		"random": func(t *testing.T, path string, size int64) {
			overwrite(t, path, randBytes(rand.New(rand.NewPCG(7, 8)), int(size)-2*page), int64(2*page))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			want := sample(t, dir)
			s, err := Open(options(dir))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, dbName)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			f(t, path, info.Size())
			if got, err := contents(s); err == nil && !equal(got, want) {
				t.Error("wrong records")
			} else if err != nil {
				wantHint(t, "Each", err, ErrCorrupt)
			}
			for i := range 90 {
				key := fmt.Sprintf("tenant-day/%02d@1f0c94a2b7e3", i)
				if v, err := s.Get(Accounts, key); err == nil && v != nil && string(v) != want["accounts/"+key] {
					t.Errorf("%s: wrong value", key)
				}
			}
			err = s.Commit([]Write{{Accounts, "tenant-day/03@1f0c94a2b7e3", []byte("x")}, {Policy, "1", nil}})
			if err == nil {
				t.Error("a commit on a file that is gone")
			} else if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFailed) {
				t.Errorf("%v", err)
			}
			if err := s.Commit([]Write{{Meta, "x", []byte("x")}}); !errors.Is(err, ErrFailed) {
				t.Errorf("a store that has failed: %v", err)
			}
			s.Close() // must return, whatever it says
			_, err = Open(options(dir))
			wantHint(t, "Open after", err, ErrCorrupt)
		})
	}
}

func overwrite(t *testing.T, path string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// wantHint checks that err is one of the kinds and tells what to do.
func wantHint(t *testing.T, name string, err error, kinds ...error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v is not an *Error", name, err)
		return
	}
	if e.Hint() == "" || e.Path == "" || e.What == "" {
		t.Errorf("%s: %#v", name, e)
	}
	for _, k := range kinds {
		if errors.Is(err, k) {
			return
		}
	}
	t.Errorf("%s: %v is none of %v", name, err, kinds)
}

// FuzzCheckFile patches a sound database: each 4 bytes of input are a page, an offset in it and what to XOR there.
// With seal the meta pages get right checksums again, so that their pointers are tried too.
func FuzzCheckFile(f *testing.F) {
	dir := f.TempDir()
	want := sample(f, dir)
	sound := usedPages(f, readFile(f, dir, dbName))
	_, st, err := recordsOf(sound)
	if err != nil {
		f.Fatal(err)
	}
	page := os.Getpagesize()
	f.Add([]byte{}, false, 0)
	for p := byte(0); p < 8; p++ {
		f.Add([]byte{p, 0, 8, 3}, false, 0)                            // its type
		f.Add([]byte{p, 0, 10, 0xFF, p, 0, 11, 0xFF}, false, 0)        // its count
		f.Add([]byte{p, 0, 12, 0xFF, p, 0, 14, 0xFF}, false, 0)        // its overflow
		f.Add([]byte{p, 0, 20, 0xFF, p, 0, 23, 0xFF}, p < 4, 0)        // where its first element lies
		f.Add([]byte{p, 0, 32, 1, p, 0, 48, 5, p, 0, 57, 4}, p < 2, 0) // pointers of a meta page
		f.Add([]byte{p, 0, 24, 1}, true, int(p)*page+100)              // a short file
	}
	f.Fuzz(func(t *testing.T, patch []byte, seal bool, cut int) {
		file := bytes.Clone(sound)
		for ; len(patch) >= 4; patch = patch[4:] {
			at := int(patch[0])*page + (int(patch[1])<<8|int(patch[2]))%page
			file[at%len(file)] ^= patch[3]
		}
		if seal {
			for p := range 2 {
				m := file[p*page+pageHeader:]
				h := fnv.New64a()
				h.Write(m[:56])
				le.PutUint64(m[56:], h.Sum64())
			}
		}
		if cut > 0 && cut < len(file) {
			file = file[:cut]
		}
		got, gst, err := recordsOf(file) // must return, and read within the file
		if err == nil && !equal(got, want) && gst.Tx == st.Tx {
			t.Error("other records than the ones committed, and no error")
		}
	})
}

func FuzzSideFiles(f *testing.F) {
	id := Identity{Node: "n1", Cluster: "c", Directory: [16]byte{1}, Schema: 1}
	f.Add(encodeMarker(id))
	f.Add(encodeCounter([16]byte{1}, 7))
	f.Add((&state{Tx: 3}).encode())
	f.Add(id.encode())
	f.Add(frame("meta", "k", []byte("v")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if dir, tx, err := decodeCounter(b); err == nil && !bytes.Equal(encodeCounter(dir, tx), b) {
			t.Error("a counter with two spellings")
		}
		if s, err := decodeState(b); err == nil && b[0] == Schema && !bytes.Equal(s.encode(), b) {
			t.Error("a state with two spellings")
		}
		if v, err := unframe("meta", "k", b); err == nil && !bytes.Equal(frame("meta", "k", v), b) {
			t.Error("a record with two spellings")
		}
		decodeMarker(b)
		decodeIdentity(b)
	})
}

// FuzzMeta reads a database's meta page, also with its checksum set right: what is taken has the bounds that its readers rely on.
func FuzzMeta(f *testing.F) {
	page := make([]byte, pageHeader+metaLen)
	le.PutUint32(page[pageHeader:], boltMagic)
	le.PutUint32(page[pageHeader+4:], boltVersion)
	le.PutUint32(page[pageHeader+8:], 4096)
	f.Add(page, true)
	f.Add(page, false)
	f.Add(page[:40], true)
	f.Fuzz(func(t *testing.T, b []byte, sum bool) {
		if sum && len(b) >= pageHeader+metaLen {
			b = bytes.Clone(b)
			h := fnv.New64a()
			h.Write(b[pageHeader : pageHeader+56])
			le.PutUint64(b[pageHeader+56:], h.Sum64())
		}
		m, err := parseMeta(b)
		if err == nil && (m.pageSize < 1024 || m.pageSize > 1<<24 || m.pageSize&(m.pageSize-1) != 0) {
			t.Errorf("a page size of %d", m.pageSize)
		}
		if _, _, err := newest(bytes.NewReader(b), int64(len(b))); err == nil && len(b) < pageHeader+metaLen {
			t.Error("a meta page in too few bytes")
		}
	})
}
