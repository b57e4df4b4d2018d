package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

// framed is the way over a Unix socket.
type framed struct {
	node, path, key string
	places          []place
	turn            atomic.Uint32
	closed          chan struct{}
	closing         atomic.Bool
}

// place is room for a connection.
type place struct {
	dialing chan struct{} // holds a token while somebody dials
	now     atomic.Pointer[pipe]
}

func newFramed(node, path string, o Options) (*framed, error) {
	if path = strings.TrimPrefix(path, "//"); path == "" {
		return nil, fmt.Errorf("node %q: the socket's path is missing, as in unix:/run/swarmpurse.sock", node)
	}
	f := &framed{node: node, path: path, key: o.Key, places: make([]place, max(1, o.Conns)), closed: make(chan struct{})}
	for i := range f.places {
		f.places[i].dialing = make(chan struct{}, 1)
	}
	return f, nil
}

func (f *framed) close() {
	if !f.closing.Swap(true) {
		close(f.closed)
	}
	for i := range f.places {
		if p := f.places[i].now.Load(); p != nil {
			p.end(errClosed)
		}
	}
}

func (f *framed) admit(ctx context.Context, c *Call, a *Answer) error {
	w, err := f.ask(ctx, frame.KindAdmit, c.IdempotencyKey == "", func(b []byte, id uint64) []byte { return frame.AppendCall(b, id, c) })
	if err == nil {
		err = w.take(f.node, frame.KindAnswer, func(body []byte) error { return frame.ReadAnswer(body, a) })
	}
	return err
}

func (f *framed) settle(ctx context.Context, s *Settlement, r *Receipt) error {
	w, err := f.ask(ctx, frame.KindSettle, false, func(b []byte, id uint64) []byte { return frame.AppendSettlement(b, id, s) })
	if err == nil {
		err = w.take(f.node, frame.KindReceipt, func(body []byte) error { return frame.ReadReceipt(body, r) })
	}
	return err
}

func (f *framed) release(ctx context.Context, l *frame.Release, r *Receipt) error {
	w, err := f.ask(ctx, frame.KindRelease, false, func(b []byte, id uint64) []byte { return frame.AppendRelease(b, id, l) })
	if err == nil {
		err = w.take(f.node, frame.KindReceipt, func(body []byte) error { return frame.ReadReceipt(body, r) })
	}
	return err
}

// ask sends a request and waits for its answer. undo says that a call that was admitted for nobody is given back.
func (f *framed) ask(ctx context.Context, k frame.Kind, undo bool, put func([]byte, uint64) []byte) (*waiter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		p, err := f.pipe(ctx)
		if err != nil {
			return nil, err
		}
		w, err := p.ask(ctx, k, undo, put)
		switch {
		case again:
			return w, err
		case err != nil:
			if !unsent(err) {
				return nil, err
			}
		case w.err == nil || !unsent(w.err):
			return w, nil
		default:
			waiters.Put(w)
		}
		// The node had ended this connection before: that says nothing about one that is made now.
	}
}

// unsent reports whether a request failed before anything of it went out.
func unsent(err error) bool {
	var u *UnreachableError
	return errors.As(err, &u) && !u.Sent
}

// pipe is a connection that takes requests.
func (f *framed) pipe(ctx context.Context) (*pipe, error) {
	at := &f.places[0]
	if len(f.places) > 1 {
		at = &f.places[f.turn.Add(1)%uint32(len(f.places))]
	}
	if p := at.now.Load(); p != nil && p.takes() {
		return p, nil
	}
	select {
	case at.dialing <- struct{}{}:
	case <-f.closed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.closing.Load() {
		return nil, &UnreachableError{Node: f.node, Err: errClosed}
	}
	defer func() { <-at.dialing }()
	if p := at.now.Load(); p != nil && p.takes() {
		return p, nil
	}
	p, err := f.dial(ctx)
	if err != nil {
		return nil, err
	}
	at.now.Store(p)
	if f.closing.Load() { // it may have looked before
		p.end(errClosed)
	}
	return p, nil
}

// dial connects, and exchanges the first words.
func (f *framed) dial(ctx context.Context) (*pipe, error) {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	lost := func(err error) error {
		if e := asked.Err(); e != nil {
			return e
		}
		return &UnreachableError{Node: f.node, Err: err}
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", f.path)
	if err != nil {
		return nil, lost(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	in := inbox{conn: conn}
	var reply frame.Frame
	if _, err = conn.Write(frame.AppendHello(nil, frame.Hello{Least: frame.Version, Most: frame.Version, Key: f.key})); err == nil {
		reply, err = in.next()
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	var w frame.Welcome
	if err == nil {
		switch reply.Kind {
		case frame.KindWelcome:
			w, err = frame.ReadWelcome(reply.Body)
		case frame.KindError:
			var e *Error
			if e, err = frame.ReadError(reply.Body); err == nil {
				_ = conn.Close()
				return nil, e
			}
		default:
			err = errNotOurs
		}
	}
	if err == nil && (w.Version != frame.Version || w.Window == 0) {
		err = errNotOurs
	}
	if errors.Is(err, frame.ErrTooLong) || errors.Is(err, frame.ErrMalformed) {
		err = fmt.Errorf("%w: does that address belong to its --socket? an HTTP address is written http+unix:%s", errNotOurs, f.path)
	}
	if err != nil {
		_ = conn.Close()
		return nil, lost(err)
	}
	return newPipe(f.node, in, int(min(w.Window, maxWindow))), nil
}
