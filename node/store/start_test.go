package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.etcd.io/bbolt"
)

// TestStartUpErrors: every directory that cannot be used is refused with what is wrong, what to do, and the
// directory left as it was.
func TestStartUpErrors(t *testing.T) {
	used := t.TempDir()
	sample(t, used)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, dir string) // dir is a copy of a used directory
		change  func(o *Options)
		kind    error
		say     []string // in the message
		hint    string
	}{
		{"a file", func(t *testing.T, dir string) {
			removeAll(dir)
			writeFile(t, nil, dir)
		}, nil, ErrUnusable, []string{"not a directory"}, "--data"},
		{"below a file", func(t *testing.T, dir string) {
			removeAll(dir)
			writeFile(t, nil, dir)
		}, func(o *Options) { o.Dir += "/data" }, ErrUnusable, []string{"not a directory"}, "--data"},
		{"empty database", func(t *testing.T, dir string) { writeFile(t, nil, dir, dbName) }, nil,
			ErrCorrupt, []string{dbName, "0 bytes"}, "new generation"},
		{"truncated database", func(t *testing.T, dir string) {
			b := readFile(t, dir, dbName)
			writeFile(t, b[:len(b)/3], dir, dbName)
		}, nil, ErrCorrupt, []string{"bytes"}, "new generation"},
		{"database is a directory", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, dbName))
			os.Mkdir(filepath.Join(dir, dbName), dirMode)
		}, nil, ErrCorrupt, []string{"not a regular file"}, "new generation"},
		{"database removed", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, dbName)) }, nil,
			ErrGone, []string{"used by node n1 but its database is gone"}, "put swarmpurse.db back"},
		{"database and marker removed", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, dbName))
			os.Remove(filepath.Join(dir, markerName))
		}, nil, ErrGone, []string{"database is gone"}, "put swarmpurse.db back"},
		{"database removed, marker damaged", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, dbName))
			writeFile(t, []byte("{"), dir, markerName)
		}, nil, ErrGone, []string{"used by a node"}, "put swarmpurse.db back"},
		{"only serf's snapshot left", func(t *testing.T, dir string) {
			emptyDir(t, dir)
			writeFile(t, []byte("alive: n2 127.0.0.1:7946\n"), dir, "serf.snapshot")
		}, nil, ErrGone, []string{"holds serf.snapshot and no database"}, "put swarmpurse.db back"},
		{"a directory of something else", func(t *testing.T, dir string) {
			emptyDir(t, dir)
			os.Mkdir(filepath.Join(dir, "bin"), dirMode)
			writeFile(t, nil, dir, "hosts")
		}, nil, ErrGone, []string{"holds bin, hosts and no database"}, "an empty directory"},
		{"many files of something else", func(t *testing.T, dir string) {
			emptyDir(t, dir)
			for _, name := range []string{"e", "d", "c", "b", "a"} {
				writeFile(t, nil, dir, name)
			}
		}, nil, ErrGone, []string{"holds a, b, c and 2 more and no database"}, "an empty directory"},
		{"parent missing", removeAllOf, func(o *Options) { o.Dir += "/no/data" }, ErrUnusable, []string{"the directory above it does not exist"}, "mount"},
		{"marker cannot be read", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, markerName))
			os.Mkdir(filepath.Join(dir, markerName), dirMode)
		}, nil, ErrUnusable, []string{markerName, "is a directory"}, "permissions"},
		{"counter cannot be read", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, seqName))
			os.Mkdir(filepath.Join(dir, seqName), dirMode)
		}, nil, ErrUnusable, []string{seqName, "is a directory"}, "permissions"},
		{"another node", nil, func(o *Options) { o.Node = "n2" }, ErrForeign, []string{`belongs to node "n1"`, `"n2"`}, "--name n1"},
		{"another cluster", nil, func(o *Options) { o.Cluster = "test" }, ErrForeign, []string{`belongs to cluster "prod"`, `"test"`}, "--cluster prod"},
		{"another node, marker lost", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, markerName)) },
			func(o *Options) { o.Node = "n2" }, ErrForeign, []string{`belongs to node "n1"`}, "--name n1"},
		{"database of another directory", func(t *testing.T, dir string) {
			d := t.TempDir()
			sample(t, d)
			writeFile(t, readFile(t, d, dbName), dir, dbName)
		}, nil, ErrForeign, []string{"this database belongs to the directory"}, "directory's own database"},
		{"newer layout", func(t *testing.T, dir string) {
			id, err := decodeMarker(readFile(t, dir, markerName))
			if err != nil {
				t.Fatal(err)
			}
			id.Schema = Schema + 1
			writeFile(t, encodeMarker(id), dir, markerName)
		}, nil, ErrNewer, []string{"layout 3", "up to 2"}, "newer swarmpurse"},
		{"newer layout, marker lost", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, markerName))
			rewrite(t, dir, func(b *bbolt.Bucket) error {
				v, err := unframe(internalBucket, identityKey, b.Get([]byte(identityKey)))
				if err != nil {
					return err
				}
				id, err := decodeIdentity(v)
				if err != nil {
					return err
				}
				id.Schema = Schema + 1
				return putOwn(b, identityKey, id.encode())
			})
		}, nil, ErrNewer, []string{"layout 3"}, "newer swarmpurse"},
		{"newer layout with more buckets, marker lost", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, markerName))
			rewrite(t, dir, func(b *bbolt.Bucket) error {
				id, err := decodeIdentity(b.Get([]byte(identityKey))[frameLen:])
				if err != nil {
					return err
				}
				id.Schema = Schema + 2
				if _, err := b.Tx().CreateBucket([]byte("aaa")); err != nil {
					return err
				}
				bk := b.Tx().Bucket([]byte("aaa"))
				if err := bk.Put([]byte("k"), []byte("not our framing")); err != nil {
					return err
				}
				return putOwn(b, identityKey, id.encode())
			})
		}, nil, ErrNewer, []string{"layout 4", "up to 2"}, "newer swarmpurse"},
		{"written by another program", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b *bbolt.Bucket) error {
				_, err := b.Tx().CreateBucket([]byte("mine"))
				return err
			})
		}, nil, ErrCorrupt, []string{"transaction"}, "new generation"},
		{"another program's database", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, dbName))
			db, err := bbolt.Open(filepath.Join(dir, dbName), fileMode, nil)
			if err != nil {
				t.Fatal(err)
			}
			db.Close()
		}, nil, ErrCorrupt, []string{"not made by swarmpurse"}, "new generation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			copyDir(t, used, dir)
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			before := snapshot(t, dir)
			o := options(dir)
			if tt.change != nil {
				tt.change(&o)
			}
			for range 2 { // again: the refusal must not have repaired it
				s, err := Open(o)
				if err == nil {
					s.Close()
					t.Fatal("it opened")
				}
				wantHint(t, tt.name, err, tt.kind)
				var e *Error
				errors.As(err, &e)
				for _, say := range tt.say {
					if !strings.Contains(err.Error(), say) {
						t.Errorf("%q does not say %q", err, say)
					}
				}
				if !strings.Contains(e.Hint(), tt.hint) {
					t.Errorf("the hint %q does not say %q", e.Hint(), tt.hint)
				}
			}
			if after := snapshot(t, dir); !equal(before, after) {
				t.Error("a refused directory was changed")
			}
		})
	}
}

// emptyDir leaves nothing but the lock file, which every start makes.
func emptyDir(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{dbName, markerName, seqName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, []byte("1\n"), dir, lockName)
}

func removeAllOf(_ *testing.T, dir string) { removeAll(dir) }

// TestWhatLeavesADirectoryUnused: what a first start that was cut short leaves, and what file systems, volumes and
// sockets put into a directory, does not make it a used one.
func TestWhatLeavesADirectoryUnused(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, []byte("1\n"), dir, lockName)
	writeFile(t, []byte("half"), dir, newDBName)
	writeFile(t, nil, dir, ".keep")
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), dirMode); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "http.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var b bytes.Buffer
	o := options(dir)
	o.Logger = zerolog.New(&b)
	s := mustOpen(t, o)
	if want := fmt.Sprintf("%x", s.Identity().Gen); !strings.Contains(b.String(), "new data directory") || !strings.Contains(b.String(), want) {
		t.Errorf("a start from nothing was not said: %q", b.String())
	}
}

// rewrite runs a transaction of a stranger on the store's own bucket.
func rewrite(t *testing.T, dir string, f func(*bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, dbName), fileMode, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket([]byte(internalBucket))) }); err != nil {
		t.Fatal(err)
	}
}

// snapshot reads the files of a directory, but for the lock file.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range []string{dbName, newDBName, markerName, seqName} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = fmt.Sprintf("%v %x", err == nil, crc32.ChecksumIEEE(b))
	}
	return out
}

func TestASecondNodeOnTheDirectoryIsToldThePid(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, options(dir))
	_, err := Open(options(dir))
	wantHint(t, "locked", err, ErrLocked)
	if want := fmt.Sprintf("another swarmpurse node uses this directory (pid %d)", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	writeFile(t, []byte("garbage"), dir, lockName)
	if _, err = Open(options(dir)); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "pid is not known") {
		t.Errorf("%v", err)
	}
	mustCommit(t, s, Write{Meta, "a", []byte("b")}) // the first node goes on
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, options(dir))
}

// TestOpenWaitsForAPredecessor: a node that is restarted may find the old process on its way out.
func TestOpenWaitsForAPredecessor(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(options(dir))
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		o := options(dir)
		o.LockWait = 1 << 40 // as long as it takes
		s, err := Open(o)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestAToolThatHasTheDatabaseOpenIsNamed(t *testing.T) {
	dir := t.TempDir()
	sample(t, dir)
	db, err := bbolt.Open(filepath.Join(dir, dbName), fileMode, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = Open(options(dir))
	wantHint(t, "bbolt's lock", err, ErrLocked)
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	s := mustOpen(t, options(dir))
	mustCommit(t, s, Write{Meta, "a", []byte("b")})
	for name, want := range map[string]os.FileMode{".": dirMode, dbName: fileMode, markerName: fileMode, seqName: fileMode, lockName: fileMode} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%v %v", entries, err)
	}
	var b bytes.Buffer
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o755); err != nil {
		t.Fatal(err)
	}
	o := options(loose)
	o.Logger = zerolog.New(&b)
	mustOpen(t, o)
	if !strings.Contains(b.String(), "chmod 700") {
		t.Errorf("a directory that others may read: %q", b.String())
	}
}

// TestMarkerIsRepaired: the database is what counts; a marker that a crash or a flipped bit took is made anew.
func TestMarkerIsRepaired(t *testing.T) {
	dir := t.TempDir()
	want := sample(t, dir)
	sound := readFile(t, dir, markerName)
	var m marker
	if err := json.Unmarshal(sound, &m); err != nil || !strings.Contains(m.About, "never copy it") {
		t.Errorf("%s %v", sound, err)
	}
	for _, b := range [][]byte{nil, {}, []byte("garbage"), bytes.Replace(sound, []byte("n1"), []byte("n7"), 1), bytes.Repeat([]byte("x"), 4000)} {
		if b == nil {
			os.Remove(filepath.Join(dir, markerName))
		} else {
			writeFile(t, b, dir, markerName)
		}
		s, err := Open(options(dir))
		if err != nil {
			t.Errorf("marker %.40q: %v", b, err)
			continue
		}
		if got := mustContents(t, s); !equal(got, want) {
			t.Error("other records")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := readFile(t, dir, markerName); !bytes.Equal(got, sound) {
			t.Errorf("the marker is %q, was %q", got, sound)
		}
	}
}

// TestACrashWhileTheDirectoryIsMade leaves every state that the steps of the first start can leave.
func TestACrashWhileTheDirectoryIsMade(t *testing.T) {
	made := t.TempDir()
	s, err := Open(options(made))
	if err != nil {
		t.Fatal(err)
	}
	id := s.Identity()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		have []string // of the files of a made directory
		half bool     // and a database that is half written under its first name
		same bool     // the identity that was made stays
	}{
		{"nothing", nil, false, false},
		{"half a database", nil, true, false},
		{"database", []string{dbName}, false, true},
		{"database and counter", []string{dbName, seqName}, false, true},
		{"all", []string{dbName, seqName, markerName}, true, true},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, dirMode); err != nil {
			t.Fatal(err)
		}
		for _, f := range tt.have {
			writeFile(t, readFile(t, made, f), dir, f)
		}
		if tt.half {
			writeFile(t, []byte("half"), dir, newDBName)
		}
		s, err := Open(options(dir))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if (s.Identity() == id) != tt.same {
			t.Errorf("%s: %+v", tt.name, s.Identity())
		}
		mustCommit(t, s, Write{Accounts, "a", []byte("b")})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := mustContents(t, mustOpen(t, options(dir))); got["accounts/a"] != "b" {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
