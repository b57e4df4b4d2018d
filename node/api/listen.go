package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const unixPrefix = "unix:"

// maxUnixPath is what Linux's sockaddr_un takes, with its ending zero.
const maxUnixPath = 107

// ListenError says why an address cannot be served, and what to do.
type ListenError struct {
	Addr string
	Err  error
	hint string
}

func (e *ListenError) Error() string { return fmt.Sprintf("--http %s: %v", e.Addr, e.Err) }
func (e *ListenError) Unwrap() error { return e.Err }

// Hint names the next thing to try.
func (e *ListenError) Hint() string { return e.hint }

// Listen opens the address of --http: "host:port" on loopback (port 0 lets the kernel choose), or
// "unix:/path", which only this user may open. A socket file that a dead process left is removed,
// one that somebody answers on is not.
//
// Other than loopback addresses are refused: anybody who reaches the port could spend, and the keys
// that would tell callers apart do not exist yet.
func Listen(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return listenUnix(addr, path)
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, &ListenError{addr, err, "write it as 127.0.0.1:7070 or unix:/path"}
	}
	if err := checkLoopback(tcp); err != nil {
		var le *ListenError
		if errors.As(err, &le) {
			le.Addr = addr
		}
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", tcp)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &ListenError{addr, fmt.Errorf("port %d is in use by another process", tcp.Port),
			"is a node running already? choose another port with --http, port 0 takes any that is free"}
	case errors.Is(err, syscall.EACCES):
		return nil, &ListenError{addr, fmt.Errorf("this user may not open port %d", tcp.Port), "choose a port above 1023 with --http"}
	case err != nil:
		return nil, &ListenError{addr, err, "choose another address with --http"}
	}
	return ln, nil
}

// checkLoopback accepts loopback addresses and Unix sockets.
func checkLoopback(addr net.Addr) error {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		if addr.Network() == "unix" {
			return nil
		}
		return &ListenError{addr.String(), fmt.Errorf("a listener of kind %q cannot be served", addr.Network()), "use TCP on loopback or a Unix socket"}
	}
	if tcp.IP.IsLoopback() {
		return nil
	}
	shown := tcp.IP.String()
	if len(tcp.IP) == 0 || tcp.IP.IsUnspecified() {
		shown = "every interface"
	}
	return &ListenError{addr.String(), fmt.Errorf("refusing to listen on %s: callers are not asked for keys yet, so whoever reaches the port could spend", shown),
		"listen on 127.0.0.1 and run the node beside its agents (a sidecar shares their loopback), or put a reverse proxy with TLS and logins, or an ssh tunnel, in front"}
}

func listenUnix(addr, path string) (net.Listener, error) {
	if path == "" || len(path) > maxUnixPath {
		return nil, &ListenError{addr, fmt.Errorf("the socket's path has %d bytes: it must have 1 to %d", len(path), maxUnixPath), "choose another path, as unix:/run/swarmpurse.sock"}
	}
	if err := removeStale(addr, path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: ownerOnly}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, &ListenError{addr, err, "the directory must exist and this user must be allowed to write there"}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, &ListenError{addr, errors.Join(err, ln.Close()), "choose a directory of this user's own"}
	}
	return ln, nil
}

// removeStale removes a socket file that nobody answers on.
func removeStale(addr, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &ListenError{addr, err, "choose a path that this user may read"}
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return &ListenError{addr, errors.New("the path exists and is no socket"), "choose another path: it will not be removed"}
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return &ListenError{addr, errors.Join(errors.New("the socket is in use by another process"), conn.Close()),
			"is a node running already? choose another path with --http"}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return &ListenError{addr, fmt.Errorf("cannot tell whether the socket is in use: %w", err), "choose another path with --http, or remove the file"}
	}
	if err := os.Remove(path); err != nil {
		return &ListenError{addr, err, "remove the stale socket file, or choose another path"}
	}
	return nil
}
