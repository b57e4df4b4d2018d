package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// Handshakes and headers that do not come in time have no handler that could count them: net/http closes the connection.

// watched is a connection that knows whether a read of it has run out of time, and whether a request of it has come to a handler
// meanwhile: then the time was that of a body, or of a wait that net/http broke off.
type watched struct {
	net.Conn
	late, answered atomic.Bool
	reads, writes  lazyTime
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	for n == 0 && err != nil && w.reads.early(err, w.Conn.SetReadDeadline) {
		n, err = w.Conn.Read(p)
	}
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		w.late.Store(true)
	}
	return n, err
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	for err != nil && w.writes.early(err, w.Conn.SetWriteDeadline) {
		var more int
		more, err = w.Conn.Write(p[n:])
		n += more
	}
	return n, err
}

func (w *watched) SetReadDeadline(t time.Time) error { return w.reads.set(t, w.Conn.SetReadDeadline) }
func (w *watched) SetWriteDeadline(t time.Time) error {
	return w.writes.set(t, w.Conn.SetWriteDeadline)
}

func (w *watched) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// watching makes the connections of a listener watched ones.
type watching struct{ net.Listener }

func (l watching) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watched{Conn: c}, nil
}

func watchedOf(c net.Conn) *watched {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	w, _ := c.(*watched)
	return w
}

type watchedKey struct{}

func watchedContext(ctx context.Context, c net.Conn) context.Context {
	if w := watchedOf(c); w != nil {
		return context.WithValue(ctx, watchedKey{}, w)
	}
	return ctx
}

// answering notes that a request has come to its handler.
func answering(r *http.Request) {
	if w, ok := r.Context().Value(watchedKey{}).(*watched); ok {
		w.answered.Store(true)
	}
}

// connState counts connections that ended because a handshake or headers were late. One that waits for its next request is not late.
func (s *Server) connState(c net.Conn, now http.ConnState) {
	w := watchedOf(c)
	if w == nil {
		return
	}
	switch now {
	case http.StateIdle:
		w.late.Store(false)
		w.answered.Store(true)
	case http.StateActive:
		w.answered.Store(false)
	case http.StateClosed:
		if w.late.Load() && !w.answered.Load() {
			s.metrics.refuse("header_slow")
		}
	}
}
