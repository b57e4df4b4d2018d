//go:build unix && !linux

package demo

import "syscall"

// childAttr puts a child into a process group of its own, so that Ctrl-C reaches this process only,
// which ends its children in order.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
