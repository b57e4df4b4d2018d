package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// BenchmarkCommit commits records of 200 bytes over a database of ten thousand. What a commit costs is mostly the
// disk's sync, so a figure names its disk.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := filled(b, 10_000)
			ws := make([]Write, n)
			next := 0
			b.ReportAllocs()
			for b.Loop() {
				for i := range ws {
					next = (next + 7919) % 10_000
					ws[i] = Write{Accounts, accountKey(next), bytes.Repeat([]byte{byte(next)}, 200)}
				}
				if err := s.Commit(ws); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBareCommit is BenchmarkCommit without us: what checksums, sums and the counter add is the difference.
func BenchmarkBareCommit(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare"), fileMode, boltOptions(new(*os.File)))
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			bucket := []byte("accounts")
			put := func(from, n int) {
				err := db.Update(func(tx *bbolt.Tx) error {
					bk, err := tx.CreateBucketIfNotExists(bucket)
					for i := 0; i < n && err == nil; i++ {
						from = (from + 7919) % 10_000
						err = bk.Put([]byte(accountKey(from)), bytes.Repeat([]byte{byte(from)}, 200))
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			put(0, 10_000)
			next := 0
			b.ReportAllocs()
			for b.Loop() {
				put(next, n)
				next = (next + n*7919) % 10_000
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := filled(b, 10_000)
	i := 0
	for b.Loop() {
		i = (i + 7919) % 10_000
		if v, err := s.Get(Accounts, accountKey(i)); err != nil || len(v) != 200 {
			b.Fatal(len(v), err)
		}
	}
}

// BenchmarkOpen opens, checks and closes a database of ten thousand records.
func BenchmarkOpen(b *testing.B) {
	s := filled(b, 10_000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(s.o)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func accountKey(i int) string { return fmt.Sprintf("tenant-day/%05d@1f0c94a2b7e3", i) }

func filled(b *testing.B, n int) *Store {
	s := mustOpen(b, options(b.TempDir()))
	ws := make([]Write, n)
	for i := range ws {
		ws[i] = Write{Accounts, accountKey(i), make([]byte, 200)}
	}
	mustCommit(b, s, ws...)
	return s
}
