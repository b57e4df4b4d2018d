package child

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Name      string // of the node, for errors
	Log       string // file that its stdout and stderr are added to
	Binary    string
	Args, Env []string
	// Enter, if set, runs on the thread that starts the process, before it does: the process gets the
	// namespaces that the thread is in then. The thread is used for nothing else afterwards.
	Enter func() error
}

// Child is one process of ours. Only its own process is ever signalled. Safe for concurrent use.
type Child struct {
	Name string
	Log  string // file with its stdout and stderr
	Pid  int

	proc  *os.Process
	mu    sync.Mutex
	asked bool  // guarded by mu: it was told to end
	err   error // guarded by mu
	ended chan struct{}
}

// Start starts a program. It ends at the latest when this process does.
func Start(s Spec) (*Child, error) {
	out, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(s.Binary, s.Args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, s.Env
	cmd.SysProcAttr = attr()
	c := &Child{Name: s.Name, Log: s.Log, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// On Linux the child's death is bound to the thread that started it, so that thread must live
		// until the child has ended: it stays this goroutine's, and ends with it.
		runtime.LockOSThread()
		defer out.Close()
		var err error
		if s.Enter != nil {
			err = s.Enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			c.proc, c.Pid = cmd.Process, cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("node %s cannot be started: %w", s.Name, err)
	}
	return c, nil
}

// Signal sends a signal to the process, which may have ended already.
func (c *Child) Signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = c.asked || s == os.Kill || s == syscall.SIGTERM
	_ = c.proc.Signal(s)
}

// Ended is closed when the process has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Failure tells how the process ended; "" if as it was told, or not yet.
func (c *Child) Failure() string {
	select {
	case <-c.ended:
	default:
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return fmt.Sprintf("node %s ended: %v", c.Name, c.err)
	case !c.asked:
		return fmt.Sprintf("node %s ended by itself", c.Name)
	}
	return ""
}

// StopAll tells all children to end, and kills those that have not within the time given. It reports
// those that had to be killed.
func StopAll(children []*Child, within time.Duration) (killed []string) {
	for _, c := range children {
		c.Signal(syscall.SIGTERM)
	}
	late := time.NewTimer(within)
	defer late.Stop()
	expired := false
	for _, c := range children {
		if !expired {
			select {
			case <-c.ended:
				continue
			case <-late.C:
				expired = true
			}
		}
		select {
		case <-c.ended:
		default:
			killed = append(killed, c.Name)
			c.Signal(os.Kill)
			<-c.ended
		}
	}
	return killed
}
