package chaos

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/needs"
)

// A run whose process is killed in the middle leaves nothing behind: no node, no mount, no file.
func TestNothingIsLeftOfARunThatIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("builds swarmpurse and starts a swarm")
	}
	dir := t.TempDir()
	o := Options{Seed: 1, Duration: minDuration, Nodes: minNodes, Dir: filepath.Join(dir, "run"), Out: filepath.Join(dir, "out")}
	o.Binary = build(t, dir, "chaos-old")
	o.Newer = o.Binary
	for _, d := range []string{o.Out, o.Dir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	ended := make(chan error, 1)
	go func() {
		code, err := Sandbox(ctx, o, io.Discard, os.Stderr)
		if code == codeSkip {
			err = &NotPermittedError{"a run", errors.New("see TestChaos")}
		}
		ended <- err
	}()
	var not *NotPermittedError
	for started := false; !started; {
		select {
		case err := <-ended:
			if errors.As(err, &not) {
				needs.Skip(t, err, sandboxAdvice)
			}
			t.Fatalf("the run ended before its load began: %v", err)
		case <-time.After(pollEvery):
			b, _ := os.ReadFile(filepath.Join(o.Out, "report.txt"))
			started = strings.Contains(string(b), "the load begins")
		}
	}
	if n := processesOf(t, o.Dir); n != minNodes {
		t.Errorf("%d nodes run, want %d", n, minNodes)
	}
	kill()
	<-ended
	for deadline := time.Now().Add(upWithin); processesOf(t, o.Dir) > 0; time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatalf("%d nodes still run", processesOf(t, o.Dir))
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err != nil || strings.Contains(string(mounts), o.Dir) {
		t.Errorf("a mount is left (%v)", err)
	}
}

// processesOf counts the nodes that keep their data below a directory.
func processesOf(t *testing.T, dir string) (n int) {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		b, _ := os.ReadFile(p) // it may have ended meanwhile
		if args := strings.Split(string(b), "\x00"); len(args) > 1 && args[1] == "node" && strings.Contains(string(b), dir) {
			n++
		}
	}
	return n
}
