//go:build unix

package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sh(t *testing.T, name, script string) *Child {
	t.Helper()
	bin, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(Spec{Name: name, Log: filepath.Join(t.TempDir(), name+".log"), Binary: bin, Args: []string{"-c", script}, Env: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// await waits until the child has written a line.
func await(t *testing.T, c *Child, line string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if b, _ := os.ReadFile(c.Log); strings.Contains(string(b), line) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not say %q", c.Name, line)
		}
	}
}

func TestChildrenEndInOrderOrAreKilled(t *testing.T) {
	good := sh(t, "good", "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done")
	deaf := sh(t, "deaf", "trap '' TERM; echo up; while :; do sleep 0.01; done")
	await(t, good, "up")
	await(t, deaf, "up")
	if good.Failure() != "" || deaf.Failure() != "" {
		t.Fatal("a child that runs has failed")
	}
	killed := StopAll([]*Child{good, deaf}, 300*time.Millisecond)
	if len(killed) != 1 || killed[0] != "deaf" {
		t.Errorf("killed %v, want deaf only", killed)
	}
	if f := good.Failure(); f != "" {
		t.Errorf("a child that ended as told: %s", f)
	}
	for _, c := range []*Child{good, deaf} {
		if err := syscall.Kill(c.proc.Pid, 0); err == nil {
			t.Errorf("%s is still there", c.Name)
		}
	}
}

func TestChildThatEndsByItselfHasFailed(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0":                       "node x ended by itself",
		"exit 3":                       "node x ended: exit status 3",
		"kill -9 $$":                   "node x ended: signal: killed",
		"echo panic: boom >&2; exit 2": "node x ended: exit status 2",
	} {
		c := sh(t, "x", script)
		<-c.ended
		if got := c.Failure(); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}

func TestChildThatCannotStart(t *testing.T) {
	if _, err := Start(Spec{Name: "x", Log: filepath.Join(t.TempDir(), "x.log"), Binary: "/does/not/exist"}); err == nil || !strings.Contains(err.Error(), "node x cannot be started") {
		t.Errorf("error %v", err)
	}
}

func TestLogTailShowsThePanic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	log := strings.Repeat(`{"level":"info","message":"tick"}`+"\n", 5000) +
		`{"level":"error","message":"it broke","error":"disk\u001b[31m full","part":"store"}` + "\n" +
		"panic: BUG: boom\n\ngoroutine 1 [running]:\nmain.main()\n"
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := Tail(file)
	if len(lines) != 4 || lines[0] != "panic: BUG: boom" {
		t.Errorf("tail %q", lines)
	}
	first, n := Complaints(file)
	if n != 1 || first[0] != "error: it broke error=disk [31m full part=store" {
		t.Errorf("%d complaints, %q", n, first)
	}
	if first, n = Complaints(file, "gossip", "store"); n != 0 {
		t.Errorf("complaints of the store are not passed over: %q", first)
	}
	if err := os.WriteFile(file, []byte(log[:len(log)-len("panic: BUG: boom\n\ngoroutine 1 [running]:\nmain.main()\n")]), 0o600); err != nil {
		t.Fatal(err)
	}
	if lines = Tail(file); len(lines) != shownLines || !strings.HasPrefix(lines[shownLines-1], "error: it broke") {
		t.Errorf("tail %q", lines)
	}
}
