package node_test

import "syscall"

// dieWithParent also ends a child that is stopped, which cannot see its standard input end.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
