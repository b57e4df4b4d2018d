package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

// maxWindow bounds the requests on their way over one connection.
const maxWindow = 1024

// pipe is one connection, which the requests of many goroutines share. One goroutine writes what they have put together meanwhile,
// another reads.
type pipe struct {
	node  string
	conn  net.Conn
	wake  chan struct{} // there is something to write
	ended chan struct{} // closed when it is of no more use
	slots chan struct{} // one for each request on its way

	shut atomic.Bool // it takes no more requests

	mu      sync.Mutex // guards below
	out     []byte
	spare   []byte // to be out next
	writing bool   // somebody writes, who looks whether there is more when he is done
	waiters map[uint64]*waiter
	last    uint64
	err     error // why it ended
}

// waiter is a request on its way.
type waiter struct {
	done   chan struct{} // holds one when the answer is there
	kind   frame.Kind    // of the answer; 0: err
	body   []byte
	err    error
	undo   bool // an answer that admits, and that nobody takes, is given back
	orphan bool // nobody waits; guarded by the pipe's mu
}

var waiters = sync.Pool{New: func() any { return &waiter{done: make(chan struct{}, 1)} }}

func newPipe(node string, in inbox, window int) *pipe {
	p := &pipe{
		node: node, conn: in.conn, wake: make(chan struct{}, 1), ended: make(chan struct{}), slots: make(chan struct{}, window),
		waiters: map[uint64]*waiter{},
	}
	go p.write()
	go p.read(in)
	return p
}

// takes reports whether it takes new requests.
func (p *pipe) takes() bool { return !p.shut.Load() }

// ask sends a request and waits for its answer, which is the waiter's to tell.
func (p *pipe) ask(ctx context.Context, k frame.Kind, undo bool, put func([]byte, uint64) []byte) (*waiter, error) {
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case <-p.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	w := waiters.Get().(*waiter)
	w.kind, w.err, w.undo, w.orphan = 0, nil, undo, false
	id, err := p.put(w, put)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.done:
		return w, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if _, on := p.waiters[id]; !on { // it came just now
		p.mu.Unlock()
		<-w.done
		return w, nil
	}
	w.orphan = true
	if k == frame.KindAdmit && p.err == nil {
		p.out = frame.Append(p.out, frame.KindCancel, id)
	}
	p.mu.Unlock()
	p.poke()
	return nil, ctx.Err()
}

// put adds a request to what is to be written.
func (p *pipe) put(w *waiter, put func([]byte, uint64) []byte) (id uint64, err error) {
	p.mu.Lock()
	if p.err != nil {
		defer p.mu.Unlock()
		return 0, &UnreachableError{Node: p.node, Err: p.err}
	}
	p.last++
	id = p.last
	at := len(p.out)
	p.out = put(p.out, id)
	if n := len(p.out) - at; n > frame.MaxFrame+frame.HeaderLen {
		p.out = p.out[:at]
		p.mu.Unlock()
		<-p.slots
		return 0, &Error{Status: 400, Code: "body_too_large", Message: fmt.Sprintf("the request has %d bytes: at most %d are allowed", n, frame.MaxFrame)}
	}
	p.waiters[id] = w
	if len(p.waiters) == 1 && !p.writing && len(p.out) < maxAlone {
		// Nobody else is on his way, so what was written has been taken and this will be, too, without a wait: that saves a turn of the scheduler.
		p.flush()
		p.mu.Unlock()
		return id, nil
	}
	p.mu.Unlock()
	p.poke()
	return id, nil
}

// maxAlone is what a socket takes at once that has nothing in it.
const maxAlone = 16 << 10

// flush writes what there is. It is called with mu held, which it lets go meanwhile.
func (p *pipe) flush() {
	b := p.out
	p.out, p.spare, p.writing = p.spare[:0], nil, true
	p.mu.Unlock()
	_ = p.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := p.conn.Write(b)
	if err != nil {
		p.end(err)
	}
	p.mu.Lock()
	p.writing = false
	if cap(b) <= maxKept {
		p.spare = b
	}
	if len(p.out) > 0 {
		p.poke()
	}
}

func (p *pipe) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// write writes what there is, again and again.
func (p *pipe) write() {
	for {
		select {
		case <-p.wake:
		case <-p.ended:
			return
		}
		if len(p.slots) > 1 {
			runtime.Gosched() // others may have something to say, too
		}
		p.mu.Lock()
		if len(p.out) > 0 && !p.writing {
			p.flush()
		}
		p.mu.Unlock()
	}
}

const maxKept = 256 << 10

// read gives answers to those who wait for them.
func (p *pipe) read(in inbox) {
	for {
		f, err := in.next()
		if err != nil {
			p.end(err)
			return
		}
		switch {
		case f.Kind == frame.KindBye:
			p.bye()
		case f.ID == 0 && f.Kind == frame.KindError:
			if e, err := frame.ReadError(f.Body); err == nil {
				p.end(e)
				return
			}
		default:
			p.answer(f)
		}
	}
}

// bye ends the connection once what is on its way has come.
func (p *pipe) bye() {
	p.shut.Store(true)
	p.mu.Lock()
	idle := len(p.waiters) == 0
	p.mu.Unlock()
	if idle {
		p.end(io.EOF)
	}
}

func (p *pipe) answer(f frame.Frame) {
	p.mu.Lock()
	w := p.waiters[f.ID]
	delete(p.waiters, f.ID)
	left := len(p.waiters)
	orphan := w != nil && w.orphan
	p.mu.Unlock()
	if w == nil {
		return // nothing that was asked
	}
	if orphan && w.undo && f.Kind == frame.KindAnswer && p.giveBack(f) {
		return
	}
	<-p.slots
	if !orphan {
		w.kind, w.body = f.Kind, append(w.body[:0], f.Body...)
		w.done <- struct{}{}
	}
	if left == 0 && p.shut.Load() {
		p.end(io.EOF)
	}
}

// giveBack releases what was reserved for a call that nobody waits for any more, in its slot.
func (p *pipe) giveBack(f frame.Frame) bool {
	var a Answer
	if frame.ReadAnswer(f.Body, &a) != nil || !a.Admitted() {
		return false
	}
	w := &waiter{orphan: true}
	_, err := p.put(w, func(b []byte, id uint64) []byte { return frame.AppendRelease(b, id, &frame.Release{ID: a.ID}) })
	return err == nil
}

// end closes the connection. Whoever waits is told.
func (p *pipe) end(err error) {
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the node has closed the connection")
	}
	p.err = err
	p.shut.Store(true)
	lost := p.waiters
	p.waiters = nil
	p.mu.Unlock()
	close(p.ended)
	_ = p.conn.Close()
	for _, w := range lost {
		if !w.orphan {
			w.err = &UnreachableError{Node: p.node, Sent: true, Err: err}
			w.done <- struct{}{}
		}
	}
}

// take reads the answer, and gives the waiter back.
func (w *waiter) take(node string, want frame.Kind, read func([]byte) error) (err error) {
	switch {
	case w.err != nil:
		err = w.err
	case w.kind == want:
		if err = read(w.body); err != nil {
			err = &UnreachableError{Node: node, Sent: true, Err: err}
		}
	case w.kind == frame.KindError:
		var e *Error
		if e, err = frame.ReadError(w.body); err == nil {
			err = e
		} else {
			err = &UnreachableError{Node: node, Sent: true, Err: err}
		}
	default:
		err = &UnreachableError{Node: node, Sent: true, Err: errNotOurs}
	}
	waiters.Put(w)
	return err
}

// inbox reads frames.
type inbox struct {
	conn net.Conn
	buf  []byte // what came
	at   int    // of buf, what has been given out
}

// next gives the next frame, which is good until the next call.
func (in *inbox) next() (frame.Frame, error) {
	for {
		f, took, err := frame.Next(in.buf[in.at:])
		if err != nil || took > 0 {
			in.at += took
			return f, err
		}
		n := copy(in.buf[:cap(in.buf)], in.buf[in.at:])
		in.buf, in.at = in.buf[:n], 0
		if n == cap(in.buf) {
			in.buf = append(make([]byte, 0, max(16<<10, 2*cap(in.buf))), in.buf...)
		}
		m, err := in.conn.Read(in.buf[n:cap(in.buf)])
		in.buf = in.buf[:n+m]
		if m == 0 && err != nil {
			return f, err
		}
	}
}
