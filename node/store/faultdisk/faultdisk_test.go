//go:build linux && (amd64 || arm64)

package faultdisk

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/needs"
)

func TestThread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var mu sync.Mutex
	var seen []Call
	fails := map[int]Verdict{
		1: {Err: syscall.EIO}, 2: {Err: syscall.ENOSPC, Half: true}, 4: {Err: syscall.EIO},
		6: {Err: syscall.EFBIG}, 7: {Err: syscall.EROFS}, 8: {Err: syscall.ENOMEM},
	}
	done := make(chan error)
	go func() {
		err := Thread(func(c Call) Verdict {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, c)
			return fails[len(seen)-1]
		})
		if err == nil {
			for i, fn := range []func() error{
				func() error { _, err := f.WriteAt([]byte("abcd"), 0); return err },
				func() error { _, err := f.WriteAt([]byte("efgh"), 4); return err },
				func() error { _, err := f.WriteAt([]byte("ijkl"), 8); return err },
				f.Sync, f.Sync,
				func() error { return f.Truncate(20) },
				func() error { return f.Truncate(30) },
				func() error { return os.Rename(path, path+"2") },
				func() error {
					_, err := syscall.Mmap(int(f.Fd()), 0, 4, syscall.PROT_READ, syscall.MAP_SHARED)
					return err
				},
			} {
				want := error(nil)
				if e := fails[i].Err; e != 0 {
					want = e
				}
				if got := fn(); !errors.Is(got, want) {
					t.Errorf("call %d: %v, want %v", i, got, want)
				}
			}
		}
		done <- err
	}()
	if err := <-done; errors.Is(err, ErrNotPermitted) {
		needs.Skip(t, err, Advice)
	} else if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "abcd\x00\x00\x00\x00ij" + string(make([]byte, 10)); err != nil || string(got) != want {
		t.Errorf("the file holds %q, want %q (%v)", got, want, err)
	}
	mu.Lock()
	defer mu.Unlock()
	var ops []Op
	for _, c := range seen {
		ops = append(ops, c.Op)
		if c.Op != Rename && c.Path != path {
			t.Errorf("%s of %q", c.Op, c.Path)
		}
	}
	if want := []Op{Write, Write, Write, Sync, Sync, Truncate, Truncate, Rename, Map}; !slices.Equal(ops, want) {
		t.Errorf("%v", ops)
	}
	if c := seen[1]; string(c.Data) != "efgh" || c.Offset != 4 || seen[5].Offset != 20 {
		t.Errorf("%+v %+v", c, seen[5])
	}
}
