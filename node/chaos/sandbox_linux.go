package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv holds the options, as JSON, of a process that runs inside the namespaces.
const insideEnv = "SWARMPURSE_CHAOS"

// NotPermittedError says what a run needs and may not have here.
type NotPermittedError struct {
	What string
	Err  error
}

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("%s is not permitted here (%v): a run needs Linux with network and mount namespaces, as root or with user namespaces for everybody, and /dev/net/tun",
		e.What, e.Err)
}

func (e *NotPermittedError) Unwrap() error { return e.Err }

// Inside gives the options of a run that this process was started for, if it was. A program that calls Sandbox
// must ask at its start, and then call Run and nothing else.
func Inside() (o Options, inside bool) {
	s, ok := os.LookupEnv(insideEnv)
	if !ok {
		return o, false
	}
	if err := json.Unmarshal([]byte(s), &o); err != nil {
		panic(fmt.Sprintf("BUG: options of a run: %v", err))
	}
	return o, true
}

// Sandbox runs this program again, in mount and network namespaces of its own (and a user namespace, if we are
// not root), and returns its exit code. It ends when this process does or ctx ends, and everything in it with
// it: nodes, networks and mounts have no existence outside. Nothing is left to clean, whatever happens.
func Sandbox(ctx context.Context, o Options, stdout, stderr io.Writer) (code int, err error) {
	spec, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("BUG: options of a run: %v", err))
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"="+string(spec))
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	// The process's death is bound to the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, &NotPermittedError{"a process in namespaces of its own", err}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// enterSandbox gives the process the mounts of its own that all else relies on: nothing that is mounted from
// here on is seen outside, and dir is in memory.
func enterSandbox(dir string) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &NotPermittedError{"a mount of our own", err}
	}
	return mountMemory(dir, runSize)
}

// runSize bounds all that a run writes but the nodes' data: logs above all.
const runSize = 1 << 30

// mountMemory mounts a file system of that many bytes, in memory, over a directory.
func mountMemory(dir string, size int64) error {
	if err := unix.Mount("chaos", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", size)); err != nil {
		return &NotPermittedError{"a file system in memory (tmpfs)", err}
	}
	return nil
}
