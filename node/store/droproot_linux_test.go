package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// dropRoot makes file access of this goroutine that of an ordinary user who owns all below top. Only Linux has
// it per thread; an ordinary user already is one.
func dropRoot(top string) (restore func(), err error) {
	if os.Geteuid() != 0 {
		return func() {}, nil
	}
	const nobody = 65534
	err = filepath.WalkDir(top, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(p, nobody, nobody)
	})
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); e != 0 {
		return nil, e
	}
	return func() {}, nil
}
