package chaos

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// space is a network namespace with one device in it, whose other end is a file of ours. It has no name: it
// lives as long as that file, and the processes in it.
type space struct {
	addr   netip.Addr
	ns     *os.File
	device *os.File // each Read gives a packet that was sent in the namespace, each Write is one received
}

const (
	deviceName = "net0"
	mtu        = 1500
)

// addressOf is the address of the node of that index, in a network that only the relay joins.
func addressOf(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}) }

// newSpace makes a namespace for the node of that index.
func newSpace(i int) (*space, error) {
	s := &space{addr: addressOf(i)}
	done := make(chan error)
	go func() {
		// The thread is of another namespace from here on, and ends with this goroutine.
		runtime.LockOSThread()
		done <- s.make()
	}()
	if err := <-done; err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *space) make() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return &NotPermittedError{"a network namespace", err}
	}
	if s.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &NotPermittedError{"/dev/net/tun", err}
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	dev, err := unix.NewIfreq(deviceName)
	if err != nil {
		return err
	}
	dev.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, dev); err != nil {
		return &NotPermittedError{"a device of /dev/net/tun", err}
	}
	if err := s.configure(); err != nil {
		return &NotPermittedError{"setting up a network device", err}
	}
	s.device = os.NewFile(uintptr(fd), "/dev/net/tun") // only now: it cannot be waited for before it is a device
	return nil
}

// configure sets the device's address, as that of a network which all nodes are in, and starts it and loopback.
func (s *space) configure() error {
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	var errs []error
	set := func(name string, request uint, value func(*unix.Ifreq) error) {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = value(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(sock, request, r)
		}
		errs = append(errs, err)
	}
	ip := func(a [4]byte) func(*unix.Ifreq) error {
		return func(r *unix.Ifreq) error { return r.SetInet4Addr(a[:]) }
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	set(deviceName, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil })
	set(deviceName, unix.SIOCSIFADDR, ip(s.addr.As4()))
	set(deviceName, unix.SIOCSIFNETMASK, ip([4]byte{255, 255, 255, 0}))
	set(deviceName, unix.SIOCSIFFLAGS, up)
	set("lo", unix.SIOCSIFFLAGS, up)
	return errors.Join(errs...)
}

// enter moves the present thread, which must be locked to its goroutine for good, into the namespace.
func (s *space) enter() error { return unix.Setns(int(s.ns.Fd()), unix.CLONE_NEWNET) }

// route lets the namespace's system refuse to send to an address, or send to it again.
func (s *space) route(refuse bool, to netip.Addr) error {
	verb := "del"
	if refuse {
		verb = "add"
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := s.enter(); err != nil {
			done <- err
			return
		}
		if out, err := exec.Command("ip", "route", verb, "unreachable", to.String()+"/32").CombinedOutput(); err != nil {
			done <- fmt.Errorf("ip route %s: %w: %s", verb, err, out)
			return
		}
		done <- nil
	}()
	return <-done
}

func (s *space) close() {
	for _, f := range []*os.File{s.ns, s.device} {
		if f != nil {
			_ = f.Close()
		}
	}
}
