package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// backends runs one suite on both engines.
func backends(t *testing.T, f func(t *testing.T, s *Store)) {
	t.Run("disk", func(t *testing.T) { f(t, mustOpen(t, options(t.TempDir()))) })
	t.Run("memory", func(t *testing.T) { f(t, mustOpen(t, options(""))) })
}

func TestReadsGiveWhatWasCommitted(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		if v, err := s.Get(Accounts, "a"); v != nil || err != nil {
			t.Fatalf("%q %v", v, err)
		}
		value := []byte("one")
		mustCommit(t, s,
			Write{Accounts, "b", value}, Write{Accounts, "a", []byte("two")}, Write{Meta, "a", []byte{}},
			Write{Accounts, "c", []byte("x")}, Write{Accounts, "c", nil}, // in the order given
			Write{Seats, "s", nil}, Write{Seats, "s", []byte("late")},
			Write{Policy, "gone", nil}) // deleting what is not there is fine
		value[0] = 'X' // the store keeps a copy
		want := map[string]string{"accounts/a": "two", "accounts/b": "one", "meta/a": "", "seats/s": "late"}
		if got := mustContents(t, s); !equal(got, want) {
			t.Errorf("%v", got)
		}
		if v, err := s.Get(Meta, "a"); v == nil || len(v) != 0 || err != nil {
			t.Errorf("an empty value came back as %v %v", v, err)
		}
		got, err := s.Get(Accounts, "a")
		if err != nil || string(got) != "two" {
			t.Fatalf("%q %v", got, err)
		}
		got[0] = 'X' // the caller owns what it got
		if got, _ := s.Get(Accounts, "a"); string(got) != "two" {
			t.Errorf("%q", got)
		}
		if s.IsDurable() != (s.o.Dir != "") {
			t.Error("IsDurable")
		}
	})
}

func TestEachIsInOrderAndMayCallTheStore(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		for _, k := range []string{"m", "a", "z", "\x00", "é"} {
			mustCommit(t, s, Write{Policy, k, []byte(k)})
		}
		var keys []string
		err := s.Each(Policy, func(k string, v []byte) error {
			keys = append(keys, k)
			return s.Commit([]Write{{Policy, k, nil}, {Policy, k + "2", bytes.Repeat(v, 9000)}})
		})
		if err != nil || !slices.Equal(keys, []string{"\x00", "a", "m", "z", "é"}) {
			t.Errorf("%q %v", keys, err)
		}
		stop := errors.New("stop")
		n := 0
		if err := s.Each(Policy, func(string, []byte) error { n++; return stop }); err != stop || n != 1 {
			t.Errorf("%v after %d", err, n)
		}
	})
}

func TestBoundsAreHeldAndChangeNothing(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		ok := Write{Accounts, "a", []byte("1")}
		mustCommit(t, s, ok)
		many := make([]Write, MaxCommitCount+1)
		for i := range many {
			many[i] = Write{Accounts, "a", []byte("2")}
		}
		big := make([]byte, MaxValueLen)
		heavy := slices.Repeat([]Write{{Accounts, "a", big}}, MaxCommitLen/MaxValueLen+1)
		for _, tt := range []struct {
			name  string
			ws    []Write
			large bool
		}{
			{"key", []Write{{Accounts, "a", []byte("2")}, {Accounts, strings.Repeat("k", MaxKeyLen+1), nil}}, true},
			{"value", []Write{{Accounts, "a", []byte("2")}, {Accounts, "v", make([]byte, MaxValueLen+1)}}, true},
			{"count", many, true},
			{"bytes", heavy, true},
			{"no key", []Write{{Accounts, "a", []byte("2")}, {Accounts, "", []byte("x")}}, false},
			{"no bucket", []Write{{Accounts, "a", []byte("2")}, {0, "k", nil}}, false},
			{"unknown bucket", []Write{{Accounts, "a", []byte("2")}, {lastBucket + 1, "k", nil}}, false},
		} {
			err := s.Commit(tt.ws)
			if err == nil || errors.Is(err, ErrTooLarge) != tt.large {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if got := mustContents(t, s); !equal(got, map[string]string{"accounts/a": "1"}) {
			t.Errorf("a refused commit left %v", slices.Collect(maps.Keys(got)))
		}
		mustCommit(t, s, Write{Accounts, strings.Repeat("k", MaxKeyLen), big}) // just at the bounds
		if v, err := s.Get(Accounts, strings.Repeat("k", MaxKeyLen)); err != nil || len(v) != MaxValueLen {
			t.Errorf("%d bytes, %v", len(v), err)
		}
		if _, err := s.Get(99, "a"); err == nil {
			t.Error("Get from no bucket")
		}
		if err := s.Each(99, nil); err == nil {
			t.Error("Each over no bucket")
		}
		mustCommit(t, s) // nothing to do is fine
	})
}

func TestClosed(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		for range 2 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, gerr := s.Get(Accounts, "a")
		for _, err := range []error{gerr, s.Commit([]Write{{Accounts, "a", nil}}), s.Each(Accounts, nil)} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	at := time.UnixMilli(1_764_000_000_123)
	o := options(dir)
	o.Now = func() time.Time { return at }
	s := mustOpen(t, o)
	id := s.Identity()
	if id.Node != "n1" || id.Cluster != "prod" || id.Directory == [16]byte{} || id.Schema != Schema || !id.Created.Equal(at) || id.Gen>>16 != uint64(at.UnixMilli()) {
		t.Errorf("%+v", id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Hour)
	if again := mustOpen(t, o).Identity(); again != id {
		t.Errorf("after a restart %+v, before %+v", again, id)
	}
	// Another directory a moment later has a higher generation; one at the same time has another one.
	o.Dir = t.TempDir()
	later := mustOpen(t, o).Identity()
	o.Dir = ""
	same := mustOpen(t, o).Identity()
	if later.Gen <= id.Gen || later.Directory == id.Directory || later.Directory == same.Directory {
		t.Errorf("%+v\n%+v\n%+v", id, later, same)
	}
	for _, bad := range []Options{{Node: ""}, {Node: strings.Repeat("n", MaxNameLen+1)}, {Node: "\xff"}, {Node: "n", Cluster: "\xff"},
		{Node: "n", Cluster: strings.Repeat("c", MaxNameLen+1)}, {Node: "n", Rand: strings.NewReader("short")},
		{Node: "n", Now: func() time.Time { return time.UnixMilli(-5) }}} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

type observed struct {
	mu            sync.Mutex
	calls         int
	writes, bytes int
	failed        int
}

func (o *observed) Committed(took time.Duration, writes, bytes int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls, o.writes, o.bytes = o.calls+1, o.writes+writes, o.bytes+bytes
	if err != nil || took < 0 {
		o.failed++
	}
}

func TestObserverSeesCommits(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		seen := new(observed)
		o := options(dir)
		o.Observer = seen
		s := mustOpen(t, o)
		mustCommit(t, s, Write{Meta, "ab", []byte("cde")}, Write{Meta, "x", nil})
		mustCommit(t, s)
		if err := s.Commit([]Write{{Meta, "", nil}}); err == nil {
			t.Error("no error")
		}
		if seen.calls != 1 || seen.writes != 2 || seen.bytes != 6 || seen.failed != 0 {
			t.Errorf("%+v", seen)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, s *Store) {
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				key := fmt.Sprint(w)
				for i := range 20 {
					want := fmt.Sprint(i)
					if err := s.Commit([]Write{{Meta, key, []byte(want)}, {Seats, key, []byte(want)}}); err != nil {
						t.Error(err)
					}
					if v, err := s.Get(Meta, key); err != nil || string(v) != want {
						t.Errorf("%q %v, want %s", v, err, want)
					}
					if _, err := contents(s); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}

// TestAgainstAModel drives a disk store, a memory store and a map with the same commits and restarts.
func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := tempDir()
		if err != nil {
			t.Fatal(err)
		}
		defer removeAll(dir)
		disk, err := Open(options(dir))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { disk.Close() }()
		mem, err := Open(options(""))
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]string{}
		write := rapid.Custom(func(t *rapid.T) Write {
			w := Write{Bucket: rapid.SampledFrom([]Bucket{Accounts, Meta, Policy, Seats}).Draw(t, "bucket"),
				Key: rapid.StringMatching(`[a-c]{1,2}`).Draw(t, "key")}
			if n := rapid.IntRange(-1, 3).Draw(t, "size"); n >= 0 {
				w.Value = bytes.Repeat([]byte{byte('0' + n)}, []int{0, 1, 300, 9000}[n])
			}
			return w
		})
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "step") == 0 {
				if err := disk.Close(); err != nil {
					t.Fatal(err)
				}
				if disk, err = Open(options(dir)); err != nil {
					t.Fatal(err)
				}
			}
			ws := rapid.SliceOfN(write, 1, 10).Draw(t, "writes")
			for _, s := range []*Store{disk, mem} {
				if err := s.Commit(ws); err != nil {
					t.Fatal(err)
				}
			}
			for _, w := range ws {
				delete(model, w.Bucket.String()+"/"+w.Key)
				if w.Value != nil {
					model[w.Bucket.String()+"/"+w.Key] = string(w.Value)
				}
			}
			for _, s := range []*Store{disk, mem} {
				got, err := contents(s)
				if err != nil || !equal(got, model) {
					t.Fatalf("durable %v: %v, want %v (%v)", s.IsDurable(), got, model, err)
				}
			}
		}
	})
}
