//go:build unix

package api

import "syscall"

// ownerOnly narrows the socket's mode before it is bound. Linux gives the file that mode, so there
// is no moment at which another user could connect; elsewhere the chmod after the bind does it.
func ownerOnly(_, _ string, c syscall.RawConn) error {
	var chmod error
	if err := c.Control(func(fd uintptr) { chmod = syscall.Fchmod(int(fd), 0o600) }); err != nil {
		return err
	}
	if chmod == syscall.EINVAL || chmod == syscall.ENOTSUP {
		return nil // not Linux
	}
	return chmod
}
