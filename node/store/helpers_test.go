package store

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func options(dir string) Options {
	return Options{Dir: dir, Node: "n1", Cluster: "prod", LockWait: -1}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustCommit(t testing.TB, s *Store, ws ...Write) {
	t.Helper()
	if err := s.Commit(ws); err != nil {
		t.Fatal(err)
	}
}

// contents reads all buckets, by "bucket/key".
func contents(s *Store) (map[string]string, error) {
	out := map[string]string{}
	for b := Accounts; b <= lastBucket; b++ {
		err := s.Each(b, func(key string, value []byte) error {
			out[b.String()+"/"+key] = string(value)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func mustContents(t testing.TB, s *Store) map[string]string {
	t.Helper()
	m, err := contents(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sample fills a directory by commits of many kinds, so that its database has branch pages, overflow pages, free
// pages, inline and other buckets, and closes it. It returns what was committed.
func sample(t testing.TB, dir string) map[string]string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	o := options(dir)
	o.Now = func() time.Time { return time.UnixMilli(1_700_000_000_000) }
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		var ws []Write
		for range 40 {
			ws = append(ws, Write{Accounts, fmt.Sprintf("tenant-day/%02d@1f0c94a2b7e3", r.IntN(90)), randBytes(r, 100+r.IntN(150))})
		}
		ws = append(ws, Write{Accounts, fmt.Sprintf("tenant-day/%02d@1f0c94a2b7e3", r.IntN(90)), nil})
		ws = append(ws, Write{Meta, "charter", randBytes(r, 16)}, Write{Policy, fmt.Sprint(round), randBytes(r, 5000)}, Write{Guards, "guardians", randBytes(r, 90)})
		if err := s.Commit(ws); err != nil {
			t.Fatal(err)
		}
	}
	m := mustContents(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

func randBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, b []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), b, fileMode); err != nil {
		t.Fatal(err)
	}
}

// copyDir makes a copy of a closed data directory.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, dirMode); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dbName, markerName, seqName} {
		writeFile(t, readFile(t, from, name), to, name)
	}
}

// recordsOf runs the check of Open over the bytes of a database and returns its records.
func recordsOf(file []byte) (map[string]string, state, error) {
	_, st, _, err := checkFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, st, err
	}
	out := map[string]string{}
	_, _, err = verify(bytes.NewReader(file), int64(len(file)), func(bucket string, key, raw []byte) error {
		if bucketByName(bucket) != 0 {
			out[bucket+"/"+string(key)] = string(raw[frameLen:])
		}
		return nil
	})
	return out, st, err
}

// usedPages is how much of a database its last transaction reaches; bbolt makes the file longer ahead of need.
func usedPages(t testing.TB, file []byte) []byte {
	t.Helper()
	m, torn, err := newest(bytes.NewReader(file), int64(len(file)))
	if err != nil || torn != nil {
		t.Fatal(err, torn)
	}
	return file[:m.pages*uint64(m.pageSize)]
}

func equal(a, b map[string]string) bool { return maps.Equal(a, b) }

func tempDir() (string, error) { return os.MkdirTemp("", "store") }
func removeAll(dir string)     { os.RemoveAll(dir) }
