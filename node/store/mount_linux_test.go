package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/swarmpurse/swarmpurse/node/needs"
)

// fillDisk writes a file until there is no space left, and returns a func that makes room again.
func fillDisk(t *testing.T, disk string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); ; {
		if _, err := f.Write(page); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadOnlyDisk(t *testing.T) {
	disk, ok := needs.SmallDisk(t)
	if !ok {
		return // it ran in a namespace
	}
	dir := filepath.Join(disk, "used")
	want := sample(t, dir)
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"used", "new"} {
		_, err := Open(options(filepath.Join(disk, name)))
		wantHint(t, name, err, ErrUnusable)
		var e *Error
		if errors.As(err, &e); !strings.Contains(err.Error(), "read-only file system") || !strings.Contains(e.Hint(), "mounted for writing") {
			t.Errorf("%s: %v; %s", name, err, e.Hint())
		}
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	if got := mustContents(t, mustOpen(t, options(dir))); !equal(got, want) {
		t.Error("other records")
	}
}

// TestStartOnAFullDisk: a used directory opens, since nothing that Open writes needs a new block; what fits into pages
// that are free is committed, the rest refused, until there is room.
func TestStartOnAFullDisk(t *testing.T) {
	disk, ok := needs.SmallDisk(t)
	if !ok {
		return // it ran in a namespace
	}
	dir := filepath.Join(disk, "used")
	want := sample(t, dir)
	free := fillDisk(t, disk)
	s := mustOpen(t, options(dir))
	refused := 0
	commit := func(n int) error {
		ws := []Write{{Accounts, fmt.Sprint("big", n), make([]byte, 20_000)}}
		err := s.Commit(ws)
		if err == nil {
			want[fmt.Sprint("accounts/big", n)] = string(ws[0].Value)
		}
		return err
	}
	for n := range 10 {
		if err := commit(n); err != nil {
			refused++
			wantHint(t, "commit", err, ErrUnusable)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("commit: %v", err)
			}
		}
	}
	if refused == 0 {
		t.Error("no commit was refused")
	}
	free()
	if err := commit(10); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if got := mustContents(t, s); !equal(got, want) {
		t.Error("other records")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mustContents(t, mustOpen(t, options(dir))); !equal(got, want) {
		t.Error("other records after a restart")
	}
}

func TestFirstStartOnAFullDisk(t *testing.T) {
	disk, ok := needs.SmallDisk(t)
	if !ok {
		return // it ran in a namespace
	}
	dir := filepath.Join(disk, "new")
	free := fillDisk(t, disk)
	for range 2 {
		_, err := Open(options(dir))
		wantHint(t, "full", err, ErrUnusable)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("%v", err)
		}
	}
	free()
	mustCommit(t, mustOpen(t, options(dir)), Write{Accounts, "a", []byte("b")})
}
