//go:build linux

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// built builds swarmpurse once for all tests of this file.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	file := filepath.Join(dir, "swarmpurse")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, "github.com/swarmpurse/swarmpurse/cmd/swarmpurse")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return file, nil
})

var builtIn string // directory of what was built, if anything was

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

func theBinary(t *testing.T) string {
	t.Helper()
	file, err := built()
	if err != nil {
		t.Fatalf("swarmpurse cannot be built: %v", err)
	}
	return file
}

// tempDir is where runs of this test put their files, so that what they leave can be seen.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return dir
}

func mustBeEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files are left, as %v; %v", len(left), left, err)
	}
}

// waitFor asks until it is so.
func waitFor(t *testing.T, what string, ask func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ask(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

func TestShortDemo(t *testing.T) {
	file, dir := theBinary(t), tempDir(t)
	var progress bytes.Buffer
	o := Defaults()
	o.Nodes, o.Agents, o.Duration, o.Binary, o.Progress = 3, 20, 5*time.Second, file, &progress
	rep, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	text := rep.Text()
	if rep.Err() != nil || !strings.Contains(text, "OK: 5 hard budgets, overspend 0.") {
		t.Errorf("%v\n%s\n%s", rep.Err(), progress.String(), text)
	}
	if rep.Calls != 100 || rep.Total.Offered != 100 || rep.Total.Admitted == 0 || rep.Total.Deferred == 0 || rep.Total.Settled != rep.Total.Admitted {
		t.Errorf("calls: %+v", rep.Total)
	}
	if n := rep.Server.Completed; n != rep.Total.Admitted || rep.Server.Errors+rep.Server.Aborted != 0 {
		t.Errorf("the model server answered %+v, the agents got %d answers", rep.Server, rep.Total.Settled)
	}
	if rep.Cut == nil || rep.Cut.HalfA != 2 || rep.Cut.HalfB != 1 || rep.Cut.Converged < 0 || len(rep.Phases) != 3 {
		t.Errorf("cut: %+v, %d phases", rep.Cut, len(rep.Phases))
	}
	if !rep.Settling.Closed || rep.Settling.Agreed < 0 || rep.Settling.Settled != rep.Total.Settled {
		t.Errorf("rest: %+v", rep.Settling)
	}
	for _, a := range rep.Agree {
		if a.Nodes != a.Server {
			t.Errorf("%s: the nodes' books say %d, the model server %d", a.Instance, a.Nodes, a.Server)
		}
	}
	for _, g := range rep.Gossip {
		if g.Sent <= 0 || g.Received <= 0 {
			t.Errorf("gossip of %s: %+v", g.Node, g)
		}
	}
	if b, err := json.Marshal(rep); err != nil || !bytes.Contains(b, []byte(`"overspend":0`)) {
		t.Errorf("as JSON: %s %v", b, err)
	}
	mustBeEmpty(t, dir)
}

// TestOverspendIsFound makes one call at the model server that no node has admitted, in the name of an agent: the demo
// must find it, say so and end with exit code 1.
func TestOverspendIsFound(t *testing.T) {
	tempDir(t)
	cmd, stderr, nodes := demoProcess(t, "3s")
	args, err := os.ReadFile("/proc/" + strconv.Itoa(nodes[0]) + "/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	_, server, ok := strings.Cut(string(args), "openai=")
	server, _, _ = strings.Cut(server, "\x00")
	if !ok {
		t.Fatalf("no model server in %q", args)
	}
	prompt := strings.Repeat("word ", 100_000)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+"/chat/completions",
		strings.NewReader(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"`+prompt+`"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer none")
	req.Header.Set(standin.HeaderTenant, "k0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the model server answers %s", resp.Status)
	}
	err = cmd.Wait()
	var ee *exec.ExitError
	if out := stderr.String(); !errors.As(err, &ee) || ee.ExitCode() != 1 || !strings.Contains(out, "the hard budget pool was overspent by") {
		t.Errorf("ended with %v and:\n%s", err, out)
	}
}

// demoProcess starts `swarmpurse demo` for so long and waits until its agents call.
func demoProcess(t *testing.T, duration string) (cmd *exec.Cmd, stderr *safeBuffer, nodes []int) {
	t.Helper()
	cmd = exec.Command(theBinary(t), "demo", "--nodes", "3", "--agents", "10", "--duration", duration)
	stderr = &safeBuffer{}
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test failed before it ended
	waitFor(t, "the agents call", func() bool { return strings.Contains(stderr.String(), "agents of 3 tenants call") })
	nodes = childrenOf(t, cmd.Process.Pid)
	if len(nodes) != 3 {
		t.Fatalf("the demo has %d children, want its 3 nodes", len(nodes))
	}
	return cmd, stderr, nodes
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// childrenOf lists a process's children, by their own word.
func childrenOf(t *testing.T, pid int) (list []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid …, and the name may hold anything
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 1 && f[1] == strconv.Itoa(pid) {
			if n, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// gone reports whether a process has ended; a zombie that nobody waits for has.
func gone(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	return len(f) > 0 && (f[0] == "Z" || f[0] == "X")
}

func TestInterruptLeavesNothing(t *testing.T) {
	dir := tempDir(t)
	cmd, stderr, nodes := demoProcess(t, "2m")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != 1 || !strings.Contains(stderr.String(), "swarmpurse: interrupted") {
		t.Errorf("ended with %v and:\n%s", err, stderr)
	}
	for _, pid := range nodes {
		if !gone(pid) {
			t.Errorf("node process %d is still there", pid)
		}
	}
	mustBeEmpty(t, dir)
}

func TestNodesEndWithTheDemo(t *testing.T) {
	tempDir(t)
	cmd, _, nodes := demoProcess(t, "2m")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, pid := range nodes {
		waitFor(t, "node process "+strconv.Itoa(pid)+" has ended", func() bool { return gone(pid) })
	}
}

func TestNodeThatEndsSpoilsTheDemo(t *testing.T) {
	dir := tempDir(t)
	cmd, stderr, nodes := demoProcess(t, "2m")
	if err := syscall.Kill(nodes[1], syscall.SIGABRT); err != nil { // Go prints its goroutines and ends
		t.Fatal(err)
	}
	err := cmd.Wait()
	var ee *exec.ExitError
	out := stderr.String()
	if !errors.As(err, &ee) || ee.ExitCode() != 1 || !strings.Contains(out, "ended: exit status 2") || !strings.Contains(out, "SIGABRT") {
		t.Errorf("ended with %v and:\n%s", err, out)
	}
	if !strings.Contains(out, "the nodes' logs and data are in "+dir) {
		t.Errorf("it does not say where the logs are:\n%s", out)
	}
	for _, pid := range nodes {
		if !gone(pid) {
			t.Errorf("node process %d is still there", pid)
		}
	}
}
