//go:build unix

package node_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// proc is one node process.
type proc struct {
	t    testing.TB
	set  settings
	cmd  *exec.Cmd
	in   io.Closer
	done chan struct{} // closed when the process has ended
	log  *tail
	*api.Client
	attacked bool // so that it may say of peers that they lie
}

// tail keeps the last lines that a process wrote.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 1 << 20

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.b = append(w.b, p...); len(w.b) > 2*tailSize {
		w.b = slices.Clone(w.b[len(w.b)-tailSize:])
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}

// last returns the last n lines.
func (w *tail) last(n int) string {
	lines := strings.Split(strings.TrimRight(w.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// launch starts a process and returns when it listens, or with an error that says how it ended.
func launch(t testing.TB, set settings) (*proc, error) {
	p := &proc{t: t, set: set, log: &tail{}}
	t.Cleanup(p.clean)
	return p, p.start()
}

func (p *proc) start() error {
	spec, err := json.Marshal(p.set)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	p.cmd = exec.Command(exe)
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	p.done = done
	first := make(chan []byte, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadBytes('\n')
		first <- line
		_, _ = io.Copy(io.Discard, r)
		_ = p.cmd.Wait()
		close(done)
	}()
	select {
	case line := <-first:
		var at addresses
		if json.Unmarshal(line, &at) != nil {
			<-done
			return fmt.Errorf("node %s ended with %v:\n%s", p.set.Name, p.cmd.ProcessState, p.log.last(10))
		}
		// A later start takes the same places.
		p.set.Gossip, p.set.HTTP = at.Gossip, strings.TrimPrefix(at.HTTP, "http://")
		if p.Client == nil {
			p.Client, err = api.NewClient(at.HTTP)
		}
		return err
	case <-time.After(patience):
		return fmt.Errorf("node %s did not start:\n%s", p.set.Name, p.log.last(20))
	}
}

func (p *proc) clean() {
	if p.t.Failed() {
		p.t.Logf("--- %s, last lines:\n%s", p.set.Name, p.log.last(40))
	}
	if p.Client != nil {
		p.Client.Close()
	}
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if p.attacked {
		return
	}
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, `"message":"refused: `) && strings.Contains(line, `"event":"audit"`) || strings.Contains(line, "two different rows of one version") {
			p.t.Errorf("%s accuses an honest peer: %s", p.set.Name, line)
		}
		if os.Getenv("SHOWREFUSED") != "" && strings.Contains(line, `"message":"refused: `) {
			p.t.Logf("%s: %s", p.set.Name, line)
		}
	}
}

func (p *proc) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal to %s: %v", p.set.Name, err)
	}
}

// kill ends the process as a power cut would, from its own point of view.
func (p *proc) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
}

// terminate asks the process to drain and waits for it.
func (p *proc) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end after SIGTERM", p.set.Name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with %v after SIGTERM", p.set.Name, p.cmd.ProcessState)
	}
}

// restart starts the process again at the same addresses, on the same data.
func (p *proc) restart() {
	p.t.Helper()
	if err := p.start(); err != nil {
		p.t.Fatal(err)
	}
}

// swarm is a cluster of processes.
type swarm struct {
	t     testing.TB
	dir   string
	nodes []*proc
}

// newSwarm founds a cluster of n nodes with that policy and waits until all are ready. Each of change alters
// the settings of all nodes.
func newSwarm(t testing.TB, n int, policy string, change ...func(*settings)) *swarm {
	t.Helper()
	s := &swarm{t: t, dir: t.TempDir()}
	file := filepath.Join(s.dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		set := s.settings(fmt.Sprintf("n%d", i+1))
		set.Policy, set.Expect = file, n
		for _, c := range change {
			c(&set)
		}
		s.add(set)
	}
	s.ready()
	return s
}

// settings are those of one more node, which joins all that there are.
func (s *swarm) settings(name string) settings {
	set := settings{
		Name: name, Cluster: "e2e", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Drain: 5 * time.Second,
		Data: filepath.Join(s.dir, name),
	}
	for _, p := range s.nodes {
		set.Join = append(set.Join, p.set.Gossip)
	}
	return set
}

func (s *swarm) add(set settings) *proc {
	s.t.Helper()
	p, err := launch(s.t, set)
	if err != nil {
		s.t.Fatal(err)
	}
	s.nodes = append(s.nodes, p)
	return p
}

// ready waits until all nodes are, and all see each other.
func (s *swarm) ready() {
	s.t.Helper()
	eventually(s.t, func() error {
		for _, p := range s.nodes {
			st, err := p.Status(s.t.Context())
			if err != nil {
				return err
			}
			if !st.Ready {
				return fmt.Errorf("%s is not ready: %v", st.Node, st.Reasons)
			}
			ms, err := p.Members(s.t.Context())
			if err != nil {
				return err
			}
			alive := 0
			for _, m := range ms {
				if m.Status == "alive" {
					alive++
				}
			}
			if alive != len(s.nodes) {
				return fmt.Errorf("%s sees %d of %d nodes", st.Node, alive, len(s.nodes))
			}
		}
		return nil
	})
}

// eventually polls until f returns nil. It returns how long that took.
func eventually(t testing.TB, f func() error) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		err := f()
		took := time.Since(start)
		switch {
		case err == nil:
			return took
		case took > patience:
			t.Fatalf("after %v: %v", took.Round(time.Second), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// instanceOf asks one node of one instance; the zero value if the node does not know it yet.
func (p *proc) instanceOf(budget, name string) (api.Instance, error) {
	b, err := p.Budget(p.t.Context(), budget)
	for _, in := range b.Instances {
		if in.Instance == name {
			return in, nil
		}
	}
	return api.Instance{}, err
}

// totals waits until all nodes report the same totals of an instance, with nothing reserved or on the way,
// and returns them and how long that took.
func (s *swarm) totals(budget, name string) (api.Instance, time.Duration) {
	s.t.Helper()
	var first api.Instance
	took := eventually(s.t, func() error {
		for i, p := range s.nodes {
			in, err := p.instanceOf(budget, name)
			if err != nil {
				return err
			}
			if i == 0 {
				first = in
			}
			if a, b := total(first), total(in); a != b {
				return fmt.Errorf("n1 reports of %s\n%+v, %s\n%+v\n%s", name, a, p.set.Name, b, holders(in))
			}
			if in.Swarm.Reserved != 0 {
				return fmt.Errorf("%s: %d tokens of %s are still reserved", p.set.Name, in.Swarm.Reserved, name)
			}
			if a := in.Swarm; a.Shares != 1e9 || a.Issued != a.Rights+a.Reserved+a.Spent+a.Lapsed {
				return fmt.Errorf("%s: something of %s is on the way: %+v\n%s", p.set.Name, name, a, holders(in))
			}
		}
		return nil
	})
	for _, p := range s.nodes {
		st, err := p.Status(s.t.Context())
		if err != nil || st.ConservationError != 0 {
			s.t.Errorf("%s: conservation error %d (%v)", p.set.Name, st.ConservationError, err)
		}
	}
	return first, took
}

// total is what all nodes must agree about: demand is smoothed and fades by the millisecond.
func total(in api.Instance) api.Account {
	a := in.Swarm
	a.Demand, a.Unmet = 0, 0
	return a
}

func holders(in api.Instance) string {
	var b bytes.Buffer
	for _, h := range in.Holders {
		fmt.Fprintf(&b, "  %s version %d age %d ms: %+v\n", h.Node, h.Version, h.AgeMS, h.Account)
	}
	return b.String()
}

// cut parts the swarm in two: the first k nodes from the rest. It sets the fault at both ends.
func (s *swarm) cut(k int) {
	s.t.Helper()
	names := make([]string, len(s.nodes))
	for i, p := range s.nodes {
		names[i] = p.set.Name
	}
	for i, p := range s.nodes {
		others := names[k:]
		if i >= k {
			others = names[:k]
		}
		if err := p.Faults(s.t.Context(), api.Faults{Drop: others}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *swarm) heal() {
	s.t.Helper()
	for _, p := range s.nodes {
		if err := p.Faults(s.t.Context(), api.Faults{}); err != nil {
			s.t.Fatal(err)
		}
	}
}
