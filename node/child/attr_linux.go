package child

import "syscall"

// attr puts a child into a process group of its own, so that Ctrl-C reaches this process only,
// which ends its children in order; and has the kernel end it should this process be killed.
func attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
