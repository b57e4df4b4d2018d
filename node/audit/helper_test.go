package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/identity"
)

// testKey is the key of a node, the same in every run.
func testKey(t testing.TB, node string) identity.Key {
	t.Helper()
	seed := bytes.Repeat([]byte(node+"."), 32)[:32]
	k, err := identity.Load(node, seed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, o Options) (*Log, Recovered) {
	t.Helper()
	l, rec, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, rec
}

// entry is the i-th record of a test.
func entry(i int) []byte {
	return Append(nil, &Record{Kind: Decision, At: int64(1000 + i), ID: fmt.Sprintf("n1.%d", i), Tenant: "search", Verdict: "admit", Code: "ok"})
}

// fill appends n records in batches of so many, and returns all checkpoints.
func fill(t testing.TB, l *Log, n, batch int) (heads [][]byte) {
	t.Helper()
	_, c := l.Head()
	for i := 0; i < n; i += batch {
		var recs [][]byte
		for j := i; j < min(i+batch, n); j++ {
			recs = append(recs, entry(int(c.Size)+j))
		}
		if err := l.Append(int64(1000+i), recs); err != nil {
			t.Fatal(err)
		}
		head, _ := l.Head()
		heads = append(heads, head)
	}
	return heads
}

func verify(t testing.TB, dir string, seen ...Sighting) *Report {
	t.Helper()
	r, err := Verify(dir, "", seen)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// files returns what a directory holds, by name.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = b
	}
	return all
}

func write(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// hasty is a disk that never syncs: for tests without crashes of the machine.
func hasty(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	return unsynced{f}, err
}

type unsynced struct{ *os.File }

func (unsynced) Sync() error { return nil }

// scratch is a directory whose syncs cost nothing, where the system has one.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "swarmpurse-audit-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
