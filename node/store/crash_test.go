//go:build unix

package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// The tests of this file run the test binary again as a child that does one of these.
const childEnv = "SWARMPURSE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch job, dir, _ := strings.Cut(os.Getenv(childEnv), ":"); job {
	case "commit":
		commitForEver(dir)
	case "full":
		fillUp(dir)
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, job, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+job+":"+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func die(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1)
}

// commitForEver commits n, n+1 ... under several keys of every bucket, and says each number once it is durable.
func commitForEver(dir string) {
	s, err := Open(options(dir))
	if err != nil {
		die(err)
	}
	n := 0
	if v, err := s.Get(Meta, "n"); err != nil {
		die(err)
	} else if v != nil {
		n, _ = strconv.Atoi(string(v))
	}
	for {
		n++
		value := []byte(strconv.Itoa(n))
		long := []byte(strings.Repeat(string(value)+" ", 50+n%400))
		ws := []Write{{Meta, "n", value}, {Accounts, fmt.Sprint("a", n%40), long}, {Policy, "p", long}, {Seats, fmt.Sprint(n), value}, {Seats, fmt.Sprint(n - 20), nil}}
		if err := s.Commit(ws); err != nil {
			die(err)
		}
		fmt.Println(n)
	}
}

// TestWhatWasReportedSurvivesSIGKILL kills a process in the middle of its commits, again and again on one
// directory, and looks for the last number that it reported.
func TestWhatWasReportedSurvivesSIGKILL(t *testing.T) {
	dir := t.TempDir()
	total := 0
	for round := range 12 {
		cmd := child(t, "commit", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := 0
		lines := bufio.NewScanner(out)
		for i := 0; i < 3+7*round && lines.Scan(); i++ {
			last, _ = strconv.Atoi(lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it died
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				last = n
			}
		}
		cmd.Wait()
		s, err := Open(options(dir))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		v, err := s.Get(Meta, "n")
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(string(v))
		// One commit more may be durable that it did not come to report; never one less.
		if last == 0 || (n != last && n != last+1) {
			t.Errorf("round %d: %d is there, %d was reported", round, n, last)
		}
		got := mustContents(t, s)
		if want := fmt.Sprint(n) + " "; !strings.HasPrefix(got["policy/p"], want) || !strings.HasPrefix(got[fmt.Sprintf("accounts/a%d", n%40)], want) ||
			got[fmt.Sprintf("seats/%d", n)] != fmt.Sprint(n) || got[fmt.Sprintf("seats/%d", n-20)] != "" {
			t.Errorf("round %d: commit %d is there in part", round, n)
		}
		total = n
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d commits, 12 kills", total)
}

// fullLimit is the largest file that the child of TestFullDisk may write at first.
const fullLimit = 1 << 20

// fillUp commits until the disk is full, goes on when it no longer is, and says what should be there.
func fillUp(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fullLimit, Max: 64 * fullLimit}); err != nil {
		die(err)
	}
	s, err := Open(options(dir))
	if err != nil {
		die(err)
	}
	committed, refused, last := 0, 0, 0
	for n := 0; n < 400 && refused < 5; n++ {
		err := s.Commit([]Write{{Accounts, fmt.Sprint("big", n), make([]byte, 20_000)}, {Meta, "n", []byte(fmt.Sprint(n))}})
		switch {
		case err == nil:
			committed++ // also after a refusal: it may fit into pages that the commits before have freed
			last = n
		case !errors.Is(err, ErrUnusable) || errors.Is(err, ErrFailed):
			die(err)
		default:
			refused++
		}
		if v, err := s.Get(Meta, "n"); err != nil || string(v) != fmt.Sprint(last) {
			die(fmt.Errorf("%q %v after %d", v, err, last))
		}
	}
	// Somebody makes room, and the store goes on without a restart.
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 64 * fullLimit, Max: 64 * fullLimit}); err != nil {
		die(err)
	}
	if err := s.Commit([]Write{{Accounts, "after", make([]byte, 20_000)}}); err != nil {
		die(err)
	}
	fmt.Println(committed, refused, last)
	if err := s.Close(); err != nil {
		die(err)
	}
	os.Exit(0)
}

// TestFullDisk limits the size of files, which fails writes in the places where a full disk does.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	out, err := child(t, "full", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var committed, refused, last int
	if _, err := fmt.Sscan(string(out), &committed, &refused, &last); err != nil || committed < 20 || refused < 5 {
		t.Fatalf("%q %v", out, err)
	}
	got := mustContents(t, mustOpen(t, options(dir)))
	if want := committed + 2; len(got) != want || got["meta/n"] != fmt.Sprint(last) || got["accounts/after"] == "" {
		t.Errorf("%d records, want %d", len(got), want)
	}
}

// TestAWriteErrorChangesNothing takes the file away from under bbolt, so that every write fails.
func TestAWriteErrorChangesNothing(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	seen := new(observed)
	o := options(dir)
	o.Observer = seen
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	// bbolt writes through this file; its map stays.
	if err := s.disk.file.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantHint(t, "commit", s.Commit([]Write{{Accounts, "x", []byte("y")}}), ErrUnusable)
		if got := mustContents(t, s); !equal(got, want) {
			t.Error("other records after a failed commit")
		}
	}
	if seen.failed != 3 || seen.calls != 3 {
		t.Errorf("%+v", seen)
	}
	s.Close()
	if got := mustContents(t, mustOpen(t, options(dir))); !equal(got, want) {
		t.Error("other records after a restart")
	}
}

// TestASyncErrorEndsTheStore: the meta page was written and its sync failed. The transaction is run beside
// the store, since nobody can make a healthy disk fail its second sync.
func TestASyncErrorEndsTheStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, Write{Meta, "a", []byte("1")})
	next := s.disk.st
	tx, err := s.disk.db.Begin(true)
	if err == nil {
		err = apply(tx, &next, []Write{{Meta, "a", []byte("2")}}, nil)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	wantHint(t, "sync", s.disk.commitFailed(syscall.EIO), ErrFailed)
	err = s.Commit([]Write{{Meta, "a", []byte("3")}})
	wantHint(t, "next commit", err, ErrFailed)
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("%v does not tell the cause", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := mustOpen(t, options(dir)).Get(Meta, "a")
	if err != nil || string(v) != "2" {
		t.Errorf("after the restart: %q %v", v, err)
	}
}

// TestOpenWithoutPermission opens as a user who may not; as root, by giving up its rights on this thread.
func TestOpenWithoutPermission(t *testing.T) {
	top, err := os.MkdirTemp("", "store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		filepath.WalkDir(top, func(p string, _ os.DirEntry, _ error) error { return os.Chmod(p, 0o700) })
		removeAll(top)
	})
	used := filepath.Join(top, "used")
	sample(t, used)
	for name, prepare := range map[string]func(dir string) error{
		"directory unreadable": func(dir string) error { return os.Chmod(dir, 0) },
		"directory read-only":  func(dir string) error { return os.Chmod(dir, 0o500) },
		"database unreadable":  func(dir string) error { return os.Chmod(filepath.Join(dir, dbName), 0) },
		"database read-only":   func(dir string) error { return os.Chmod(filepath.Join(dir, dbName), 0o400) },
		"marker unreadable":    func(dir string) error { return os.Chmod(filepath.Join(dir, markerName), 0) },
		"counter read-only":    func(dir string) error { return os.Chmod(filepath.Join(dir, seqName), 0o400) },
		"parent may not be written": func(dir string) error {
			removeAll(dir)
			return os.Chmod(filepath.Dir(dir), 0o500)
		},
	} {
		parent := filepath.Join(top, strings.ReplaceAll(name, " ", "-"))
		dir := filepath.Join(parent, "data")
		copyDir(t, used, dir)
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		result := make(chan error)
		go func() {
			restore, err := dropRoot(top)
			if err == nil {
				var s *Store
				if s, err = Open(options(dir)); err == nil {
					s.Close()
				}
				restore()
			}
			result <- err
		}()
		wantHint(t, name, <-result, ErrUnusable)
	}
}

// TestADatabaseThatIsTakenAway: a file that has no name any more, or another's, is lost with the process, however durable.
func TestADatabaseThatIsTakenAway(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"removed":             func(dir string) error { return os.Remove(filepath.Join(dir, dbName)) },
		"directory removed":   func(dir string) error { return os.RemoveAll(dir) },
		"directory moved":     func(dir string) error { return os.Rename(dir, dir+"2") },
		"replaced by a copy":  func(dir string) error { return replace(filepath.Join(dir, dbName)) },
		"replaced by nothing": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, dirMode)) },
	} {
		dir := filepath.Join(t.TempDir(), "d")
		sample(t, dir)
		s, err := Open(options(dir))
		if err != nil {
			t.Fatal(err)
		}
		mustCommit(t, s, Write{Meta, "a", []byte("1")})
		if err := take(dir); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := s.Commit([]Write{{Meta, "a", []byte("2")}})
			wantHint(t, name, err, ErrFailed)
			if err == nil || !strings.Contains(err.Error(), "was taken away while the node ran") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// replace puts a copy of a file in its place.
func replace(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path+".copy", b, fileMode)
	}
	if err == nil {
		err = os.Rename(path+".copy", path)
	}
	return err
}
