//go:build unix && !linux

package node_test

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
