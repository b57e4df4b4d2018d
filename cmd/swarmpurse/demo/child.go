package demo

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// child is one process of ours. Only its own process is ever signalled.
type child struct {
	name string
	log  string // file with its stdout and stderr

	mu     sync.Mutex
	proc   *os.Process
	asked  bool // it was told to end
	err    error
	ended  chan struct{} // closed when it has ended; then err is set
	pidNum int
}

// startChild starts a program. It ends at the latest when this process does.
func startChild(name, logFile, binary string, args, env []string) (*child, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, env
	cmd.SysProcAttr = childAttr()
	c := &child{name: name, log: logFile, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// On Linux the child's death is bound to the thread that started it, so that thread must live
		// until the child has ended: it stays this goroutine's.
		runtime.LockOSThread()
		defer out.Close()
		err := cmd.Start()
		if err == nil {
			c.proc, c.pidNum = cmd.Process, cmd.Process.Pid
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
		return nil, fmt.Errorf("node %s cannot be started: %w", name, err)
	}
	return c, nil
}

func (c *child) signal(s os.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
	_ = c.proc.Signal(s) // it may have ended already
}

// result is how the process ended; "" if as it was told, or not yet.
func (c *child) failure() string {
	select {
	case <-c.ended:
	default:
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return fmt.Sprintf("node %s ended: %v", c.name, c.err)
	case !c.asked:
		return fmt.Sprintf("node %s ended by itself", c.name)
	}
	return ""
}

// stopAll tells all children to end, and kills those that have not within the time given. It reports
// those that had to be killed.
func stopAll(children []*child, within time.Duration) (killed []string) {
	for _, c := range children {
		c.signal(syscall.SIGTERM)
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
			killed = append(killed, c.name)
			c.signal(os.Kill)
			<-c.ended
		}
	}
	return killed
}
