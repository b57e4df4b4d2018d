//go:build linux && (amd64 || arm64)

package faultdisk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Op is a kind of call.
type Op string

// The calls that are told of.
const (
	Write    Op = "write"    // pwrite: Data at Offset
	Sync     Op = "sync"     // fsync and fdatasync, of files and directories
	Truncate Op = "truncate" // to Offset bytes
	Rename   Op = "rename"   // renameat; it has no Path
	Map      Op = "map"      // a shared mapping of a file
)

// Call is one call that the process wants to make. It waits until it was judged.
type Call struct {
	Op     Op
	Path   string // of the open file
	Data   []byte // of a Write
	Offset int64
}

// Verdict is what becomes of a call: the zero value lets it happen.
type Verdict struct {
	Err syscall.Errno // 0: it happens
	// Half writes the first half of a Write before the error. Only under Thread.
	Half bool
}

// ErrNotPermitted says that this kernel, or this user on it, cannot hand its calls over.
var ErrNotPermitted = errors.New("seccomp's user notification is not permitted here")

// Advice says what lets them.
const Advice = "it needs Linux 5.0 and a sandbox (of containers, above all) that lets the call seccomp through"

// Thread hands the calls of this goroutine to judge. The goroutine is locked to its thread and must end without
// unlocking it, which is the end of the filter. judge runs on another goroutine, while this one waits.
func Thread(judge func(Call) Verdict) error {
	runtime.LockOSThread()
	return install(0, judge)
}

// Process hands the calls of all threads to judge, one after the other, until the process ends. judge must make none of
// the calls itself.
func Process(judge func(Call) Verdict) error {
	return install(unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH, judge)
}

// Offsets in struct seccomp_data; both architectures are little endian.
const (
	atNumber = 0
	atFlags  = 16 + 3*8 // the fourth argument, flags of mmap
)

// filter is the program that the kernel runs at every call.
func filter() []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	told := []uint32{unix.SYS_PWRITE64, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_RENAMEAT}
	prog := []unix.SockFilter{load(atNumber)}
	for i, nr := range told { // over the calls that follow and the three lines about mmap
		prog = append(prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: uint8(len(told) - i + 2)})
	}
	return append(prog,
		// Shared mappings only: the runtime makes private ones, in places where it must not wait for another goroutine.
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_MMAP, Jf: 3},
		load(atFlags),
		unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.MAP_SHARED, Jf: 1},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	)
}

func install(flags uintptr, judge func(Call) Verdict) error {
	prog := filter()
	p := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	fd, _, e := syscall.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|flags, uintptr(unsafe.Pointer(&p)))
	if e != 0 {
		return fmt.Errorf("%w: %w", ErrNotPermitted, e)
	}
	go serve(int(fd), judge)
	return nil
}

// notification and response are struct seccomp_notif and struct seccomp_notif_resp.
type notification struct {
	id     uint64
	thread uint32
	flags  uint32
	number int32
	arch   uint32
	ip     uint64
	args   [6]uint64
}

type response struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// serve answers until the last thread under the filter has ended.
func serve(fd int, judge func(Call) Verdict) {
	defer unix.Close(fd)
	for {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err != nil {
			continue // interrupted
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return
		}
		var n notification
		if _, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); e != 0 {
			continue // the thread ended meanwhile
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		c := n.call()
		if v := judge(c); v.Err != 0 {
			if v.Half {
				writeHalf(&c)
			}
			r.err, r.flags = -int32(v.Err), 0
		}
		_, _, _ = syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&r)))
	}
}

func (n *notification) call() Call {
	var c Call
	fd := n.args[0]
	switch n.number {
	case unix.SYS_PWRITE64:
		c = Call{Op: Write, Data: memory(n.args[1], n.args[2]), Offset: int64(n.args[3])}
	case unix.SYS_FSYNC, unix.SYS_FDATASYNC:
		c.Op = Sync
	case unix.SYS_FTRUNCATE:
		c = Call{Op: Truncate, Offset: int64(n.args[1])}
	case unix.SYS_RENAMEAT:
		return Call{Op: Rename}
	case unix.SYS_MMAP:
		c.Op, fd = Map, n.args[4]
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", int32(fd)))
	if err != nil {
		panic("BUG: a call on a file that is not open: " + err.Error())
	}
	c.Path = path
	return c
}

// memory copies what the waiting thread passes by address.
func memory(at, size uint64) []byte {
	b := make([]byte, size)
	if size == 0 {
		return b
	}
	local := []unix.Iovec{{Base: &b[0], Len: size}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: int(size)}}
	if n, err := unix.ProcessVMReadv(os.Getpid(), local, remote, 0); err != nil || n != int(size) {
		panic(fmt.Sprintf("BUG: own memory cannot be read: %d of %d bytes, %v", n, size, err))
	}
	return b
}

func writeHalf(c *Call) {
	f, err := os.OpenFile(c.Path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(c.Data[:len(c.Data)/2], c.Offset)
		f.Close()
	}
	if err != nil {
		panic("BUG: the first half cannot be written: " + err.Error())
	}
}
