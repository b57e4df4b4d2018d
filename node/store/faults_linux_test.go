//go:build linux && (amd64 || arm64)

package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/needs"
	"github.com/swarmpurse/swarmpurse/node/store/faultdisk"
)

// platter is what a power cut would leave of the database: what was synced, and any part of what was written since.
// A sync that fails forgets what it did not bring to the disk: the kernel says so once and then takes its pages for
// clean, so that they are read as written and are not there after a power cut.
type platter struct {
	durable []byte
	pending []faultdisk.Call
}

// bring puts calls on the platter, each sector of them if keep says so.
func bring(durable []byte, calls []faultdisk.Call, keep func() bool) []byte {
	const sector = 512
	long := func(n int) {
		if n > len(durable) {
			durable = append(durable, make([]byte, n-len(durable))...)
		}
	}
	for _, c := range calls {
		if c.Op == faultdisk.Truncate {
			long(int(c.Offset)) // bbolt only makes the file longer
			continue
		}
		long(int(c.Offset) + len(c.Data))
		for at := 0; at < len(c.Data); at += sector {
			if keep() {
				copy(durable[int(c.Offset)+at:], c.Data[at:min(at+sector, len(c.Data))])
			}
		}
	}
	return durable
}

func all() bool  { return true }
func none() bool { return false }

// see takes a call; failed says what a sync that fails brings to the disk, nil that it leaves all for a later one.
func (p *platter) see(c faultdisk.Call, v faultdisk.Verdict, failed func() bool) {
	switch {
	case c.Op == faultdisk.Sync && v.Err == 0:
		p.durable, p.pending = bring(p.durable, p.pending, all), nil
	case c.Op == faultdisk.Sync && failed != nil:
		p.durable, p.pending = bring(p.durable, p.pending, failed), nil
	case v.Err == 0 && (c.Op == faultdisk.Write || c.Op == faultdisk.Truncate):
		p.pending = append(p.pending, c)
	case v.Half:
		c.Data = c.Data[:len(c.Data)/2]
		p.pending = append(p.pending, c)
	}
}

// cut returns what power cuts at this moment may leave.
func (p *platter) cut(dice *rand.Rand) (left [][]byte) {
	toss := func() bool { return dice.IntN(2) == 0 }
	for _, keep := range []func() bool{none, all, toss} {
		left = append(left, bring(bytes.Clone(p.durable), p.pending, keep))
	}
	return left
}

// fault is a way in which a disk fails.
type fault struct {
	name string
	op   faultdisk.Op
	what faultdisk.Verdict
	ever bool // from then on, not once
	loss loss
}

// loss is what a sync that fails does to what it should have brought to the disk.
type loss uint8

const (
	forgets loss = iota // none of it is there, nor ever will be
	some                // some sectors are there, the others forgotten
	waits               // it waits for the next sync, as when the process is killed before this one
)

// faultRun is a store on a failing disk, and what it told.
type faultRun struct {
	t    *testing.T
	name string
	dir  string
	dice *rand.Rand

	mu      sync.Mutex // guards what follows, up to the empty line
	disk    platter
	fault   fault
	at      int               // the call of fault.op that fails; -1: none
	calls   int               // of fault.op
	struck  int               // faults
	said    map[string]string // the records when a commit was last reported, or read by a start
	unknown map[string]string // with a commit of unknown outcome; nil if there is none
}

func (r *faultRun) judge(c faultdisk.Call) (v faultdisk.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Op == r.fault.op && r.at >= 0 {
		if r.calls == r.at || r.fault.ever && r.calls > r.at {
			v = r.fault.what
			r.struck++
		}
		r.calls++
	}
	if c.Path == filepath.Join(r.dir, dbName) {
		switch r.fault.loss {
		case forgets:
			r.disk.see(c, v, none)
		case some:
			r.disk.see(c, v, func() bool { return r.dice.IntN(2) == 0 })
		case waits:
			r.disk.see(c, v, nil)
		}
	}
	return v
}

// hit reports whether anything has failed.
func (r *faultRun) hit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.struck > 0
}

func (r *faultRun) fail(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf(r.name+": "+format, args...)
}

// live opens the store, commits, and stops when the store says that it must. It reports how many commits failed.
func (r *faultRun) live() (refused int, failed bool) {
	s, err := Open(options(r.dir))
	if err != nil {
		wantHint(r.t, r.name+": Open", err, ErrUnusable)
		return 0, false
	}
	defer s.Close()
	for n := range 7 {
		size := 100 + 700*n
		if n == 3 {
			size = 200_000 // the file must grow, and be mapped again
		}
		ws := []Write{{Meta, "n", fmt.Append(nil, n)}, {Accounts, fmt.Sprint("x", n%3), bytes.Repeat([]byte{byte('a' + n)}, size)}}
		next := map[string]string{}
		for k, v := range r.said {
			next[k] = v
		}
		for _, w := range ws {
			next[w.Bucket.String()+"/"+w.Key] = string(w.Value)
		}
		err := s.Commit(ws)
		r.mu.Lock()
		switch {
		case err == nil:
			r.said = next
		case errors.Is(err, ErrFailed):
			wantHint(r.t, r.name, err, ErrFailed)
			r.unknown, failed = next, true
		default:
			wantHint(r.t, r.name, err, ErrUnusable)
			refused++
		}
		r.mu.Unlock()
		if failed {
			if err := s.Commit(ws); !errors.Is(err, ErrFailed) {
				r.fail("a store that has failed: %v", err)
			}
			return refused, true
		}
		if got, err := contents(s); err != nil || !equal(got, r.said) {
			r.fail("after commit %d (%v) the store reads other records than it has reported (%v)", n, err, err)
		}
	}
	return refused, false
}

// cutPower looks at what a power cut would leave now.
func (r *faultRun) cutPower(when string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, image := range r.disk.cut(r.dice) {
		got, _, err := recordsOf(image)
		switch {
		case err != nil:
			r.fail("a power cut %s leaves (%d) a database that cannot be opened: %v", when, i, err)
		case equal(got, r.said), r.unknown != nil && equal(got, r.unknown):
		default:
			r.fail("a power cut %s leaves (%d) n=%s, reported was n=%s", when, i, got["meta/n"], r.said["meta/n"])
		}
	}
}

// restart opens the store as the kernel shows it. What it reads then it may act upon and tell, so from then on a power
// cut must leave that.
func (r *faultRun) restart() {
	r.mu.Lock()
	r.at = -1
	r.mu.Unlock()
	s, err := Open(options(r.dir))
	if err != nil {
		r.fail("restart: %v", err)
		return
	}
	defer s.Close()
	got, err := contents(s)
	if err != nil || !equal(got, r.said) && (r.unknown == nil || !equal(got, r.unknown)) {
		r.fail("a restart reads n=%s (%v), reported was n=%s", got["meta/n"], err, r.said["meta/n"])
	}
	r.mu.Lock()
	r.said, r.unknown = got, nil
	r.mu.Unlock()
}

// quickDir is a directory in memory where there is one: the disk is acted out, so real syncs only cost time.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { removeAll(dir) })
	return dir
}

// TestDisksThatFail lets every single call fail by which the store opens and commits, once and for ever, and cuts the power
// afterwards. What was reported is there, what a restart read is there, and what failed is not, or was said to be unknown.
func TestDisksThatFail(t *testing.T) {
	origin := t.TempDir()
	sample(t, origin)
	var faults []fault
	for _, ever := range []bool{false, true} {
		faults = append(faults,
			fault{"a write fails", faultdisk.Write, faultdisk.Verdict{Err: syscall.EIO}, ever, forgets},
			fault{"no space for all of a write", faultdisk.Write, faultdisk.Verdict{Err: syscall.ENOSPC, Half: true}, ever, forgets},
			fault{"a sync fails and forgets", faultdisk.Sync, faultdisk.Verdict{Err: syscall.EIO}, ever, forgets},
			fault{"a sync fails halfway", faultdisk.Sync, faultdisk.Verdict{Err: syscall.EIO}, ever, some},
			fault{"a sync that has no time", faultdisk.Sync, faultdisk.Verdict{Err: syscall.EIO}, ever, waits},
			fault{"no space at a sync", faultdisk.Sync, faultdisk.Verdict{Err: syscall.ENOSPC}, ever, forgets},
			fault{"the file cannot grow", faultdisk.Truncate, faultdisk.Verdict{Err: syscall.ENOSPC}, ever, forgets},
			fault{"the file cannot be mapped", faultdisk.Map, faultdisk.Verdict{Err: syscall.ENOMEM}, ever, forgets})
	}
	runs, refused, failed := 0, 0, 0
	for _, f := range faults {
		for at, more := 0, true; more; at++ {
			r := &faultRun{t: t, name: fmt.Sprintf("%s at call %d, ever %v", f.name, at, f.ever), dir: filepath.Join(quickDir(t), "d"),
				dice: rand.New(rand.NewPCG(uint64(at), 1)), fault: f, at: at}
			copyDir(t, origin, r.dir)
			r.disk.durable = readFile(t, r.dir, dbName)
			var err error
			if r.said, _, err = recordsOf(r.disk.durable); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() {
				err := faultdisk.Thread(r.judge)
				if err == nil {
					no, broken := r.live()
					more = r.hit()
					refused += no
					if broken {
						failed++
					}
					r.cutPower("after the fault")
					r.restart()
					r.cutPower("after the restart")
				}
				done <- err
			}()
			if err := <-done; errors.Is(err, faultdisk.ErrNotPermitted) {
				needs.Skip(t, err, faultdisk.Advice)
			} else if err != nil {
				t.Fatal(err)
			}
			runs++
			removeAll(r.dir) // the memory may be small
		}
	}
	t.Logf("%d runs; %d commits were refused, %d stores failed", runs, refused, failed)
	if runs < 100 || refused < 50 || failed < 10 {
		t.Error("the faults did not reach what they should")
	}
}

// TestAFirstStartOnADiskThatFails lets every single call fail by which a directory is made. The next start goes on from
// whatever that left, and neither takes it for damage nor for a directory that lost something.
func TestAFirstStartOnADiskThatFails(t *testing.T) {
	for _, f := range []fault{
		{"a write fails", faultdisk.Write, faultdisk.Verdict{Err: syscall.EIO}, false, forgets},
		{"no space for all of a write", faultdisk.Write, faultdisk.Verdict{Err: syscall.ENOSPC, Half: true}, false, forgets},
		{"a sync fails", faultdisk.Sync, faultdisk.Verdict{Err: syscall.EIO}, false, forgets},
		{"the file cannot grow", faultdisk.Truncate, faultdisk.Verdict{Err: syscall.ENOSPC}, false, forgets},
		{"the file cannot be mapped", faultdisk.Map, faultdisk.Verdict{Err: syscall.ENOMEM}, false, forgets},
		{"a file cannot be renamed", faultdisk.Rename, faultdisk.Verdict{Err: syscall.ENOSPC}, false, forgets},
	} {
		refused := 0
		for at, more := 0, true; more; at++ {
			r := &faultRun{t: t, name: fmt.Sprintf("%s at call %d", f.name, at), dir: filepath.Join(quickDir(t), "d"), fault: f, at: at}
			done := make(chan error)
			go func() {
				err := faultdisk.Thread(r.judge)
				if err == nil {
					if s, no := Open(options(r.dir)); no != nil {
						wantHint(t, r.name, no, ErrUnusable)
						refused++
					} else {
						err = s.Close()
					}
				}
				done <- err
			}()
			if err := <-done; errors.Is(err, faultdisk.ErrNotPermitted) {
				needs.Skip(t, err, faultdisk.Advice)
			} else if err != nil {
				t.Fatal(err)
			}
			more = r.hit()
			s := mustOpen(t, options(r.dir))
			mustCommit(t, s, Write{Accounts, "a", []byte("b")})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := mustContents(t, mustOpen(t, options(r.dir))); got["accounts/a"] != "b" {
				r.fail("%v", got)
			}
		}
		if refused == 0 {
			t.Errorf("%s: no first start was refused", f.name)
		}
	}
}
