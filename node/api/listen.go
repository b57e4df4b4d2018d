package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
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

// Door is a listener that knows who may come in by it. It accepts connections only in Serve.
type Door struct {
	net.Listener
	cert   *certificate // nil: no TLS
	locked bool         // callers need keys
}

// Secure reports whether TLS is spoken there.
func (d *Door) Secure() bool { return d.cert != nil }

// Locked reports whether callers need keys there.
func (d *Door) Locked() bool { return d.locked }

// TLS is for a server of another protocol; nil where no TLS is spoken.
func (d *Door) TLS(log zerolog.Logger, proto string) *tls.Config {
	if d.cert == nil {
		return nil
	}
	d.cert.log = log
	c := d.cert.config()
	c.NextProtos = []string{proto}
	return c
}

// Outside reports whether others than who is on this machine could come in by an address of Listen's; false for one that is none.
func Outside(addr string) bool {
	if strings.HasPrefix(addr, unixPrefix) {
		return false
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	return err == nil && !tcp.IP.IsLoopback()
}

// Listen opens the address of --http: "host:port" (port 0 lets the kernel choose), or "unix:/path", which only this user may open.
// A socket file that a dead process left is removed, one that somebody answers on is not.
//
// Whoever is on this machine may come in by loopback or by a Unix socket. At any other address callers need keys, and that they do not
// go in clear it needs files of a certificate. On loopback TLS is spoken too if there are any.
func Listen(addr string, files TLSFiles) (*Door, error) {
	if (files.Cert == "") != (files.Key == "") {
		return nil, &ListenError{addr, errors.New("TLS needs a certificate and its key, and only one is named"), "give both --tls-cert and --tls-key"}
	}
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		if files.Cert != "" {
			return nil, &ListenError{addr, errors.New("a Unix socket has no use for TLS"), "leave --tls-cert and --tls-key out, or listen on host:port"}
		}
		ln, err := listenUnix(addr, path)
		if err != nil {
			return nil, err
		}
		return &Door{Listener: ln}, nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, &ListenError{addr, err, "write it as 127.0.0.1:7070 or unix:/path"}
	}
	d := &Door{locked: !tcp.IP.IsLoopback()}
	if d.locked && files.Cert == "" {
		return nil, &ListenError{addr, fmt.Errorf("refusing to listen on %s without TLS: callers' keys would go in clear", shown(tcp)),
			"give --tls-cert and --tls-key; or listen on 127.0.0.1 or unix:/path and run the node beside its agents (a sidecar shares their loopback)"}
	}
	if files.Cert != "" {
		if d.cert, err = loadCertificate(files); err != nil {
			return nil, tlsError(addr, err)
		}
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
	d.Listener = ln
	return d, nil
}

func shown(tcp *net.TCPAddr) string {
	if len(tcp.IP) == 0 || tcp.IP.IsUnspecified() {
		return "every interface"
	}
	return tcp.IP.String()
}

// doorOf makes a door of any listener: one that is no Door has no TLS, so it must be where nobody else comes in.
func doorOf(ln net.Listener) (*Door, error) {
	if d, ok := ln.(*Door); ok {
		return d, nil
	}
	if !local(ln.Addr()) {
		return nil, &ListenError{ln.Addr().String(), errors.New("refusing a listener that is not on loopback and did not come from Listen, which gives it TLS"), "use TCP on loopback or a Unix socket"}
	}
	return &Door{Listener: ln}, nil
}

// local reports whether only who is on this machine reaches an address.
func local(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr != nil && addr.Network() == "unix"
	}
	return tcp.IP.IsLoopback()
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
