package store

import (
	"bytes"
	"fmt"
	"testing"
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
