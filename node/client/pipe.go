package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

const (
	seatBits  = 10            // of an id
	maxWindow = 1 << seatBits // bounds the requests on their way over one connection
)

// pipe is one connection, which the requests of many goroutines share. One goroutine writes what they have put together meanwhile,
// another reads. Whoever is alone does both himself: to be woken by another goroutine takes as long as all else that a request does here.
type pipe struct {
	node  string
	conn  net.Conn
	wake  chan struct{} // there is something to write
	ended chan struct{} // closed when it is of no more use
	room  chan struct{} // holds one when a seat may be free that somebody waits for
	turn  chan struct{} // holds one when it is the reader's turn to read
	in    inbox         // of whoever reads

	shut atomic.Bool // it takes no more requests

	mu      sync.Mutex // guards below
	out     []byte
	spare   []byte    // to be out next
	writing bool      // somebody writes, who looks whether there is more when he is done
	reading bool      // somebody reads, or it is the reader's turn
	seats   []*waiter // one for each request that may be on its way; ids tell the seat
	free    []int     // seats that nobody has, the last one left is the first to be taken
	hungry  int       // that wait for a seat
	due     time.Time // when the last write may end; whoever writes has it, without mu
	last    uint64    // requests so far
	sent    uint64    // of them, those that may have gone out
	err     error     // why it ended
}

// waiter is a request on its way.
type waiter struct {
	done   chan struct{} // holds one when the answer is there
	id     uint64
	kind   frame.Kind // of the answer; 0: err
	body   []byte
	err    error
	undo   bool // an answer that admits, and that nobody takes, is given back
	orphan bool // nobody waits; guarded by the pipe's mu
}

var waiters = sync.Pool{New: func() any { return &waiter{done: make(chan struct{}, 1)} }}

func newPipe(node string, in inbox, window int) *pipe {
	p := &pipe{
		node: node, conn: in.conn, wake: make(chan struct{}, 1), ended: make(chan struct{}), room: make(chan struct{}, 1),
		turn: make(chan struct{}, 1), in: in, reading: true, seats: make([]*waiter, window), free: make([]int, window),
	}
	p.turn <- struct{}{}
	for i := range p.free {
		p.free[i] = window - 1 - i
	}
	go p.write()
	go p.read()
	return p
}

// takes reports whether it takes new requests.
func (p *pipe) takes() bool { return !p.shut.Load() }

// ask sends a request and waits for its answer, which is the waiter's to tell.
func (p *pipe) ask(ctx context.Context, k frame.Kind, undo bool, put func([]byte, uint64) []byte) (*waiter, error) {
	w := waiters.Get().(*waiter)
	w.kind, w.err, w.undo, w.orphan = 0, nil, undo, false
	lead, err := p.put(ctx, w, put)
	if err != nil {
		return nil, err
	}
	if lead {
		p.lead(ctx, w)
	}
	quit := ctx.Done()
	if quit == nil {
		<-w.done
		return w, nil
	}
	select {
	case <-w.done:
		return w, nil
	case <-quit:
	}
	p.mu.Lock()
	if p.err != nil || p.seats[w.seat()] != w { // it came just now
		p.mu.Unlock()
		<-w.done
		return w, nil
	}
	w.orphan = true
	if k == frame.KindAdmit {
		p.out = frame.Append(p.out, frame.KindCancel, w.id)
	}
	p.mu.Unlock()
	p.poke()
	return nil, ctx.Err()
}

func (w *waiter) seat() uint64 { return w.id % maxWindow }

// open is how many requests are on their way. It is called with mu held.
func (p *pipe) open() int { return len(p.seats) - len(p.free) }

// sit waits for a free seat. It is called with mu held, which it lets go meanwhile.
func (p *pipe) sit(ctx context.Context) error {
	for p.err == nil && len(p.free) == 0 {
		p.hungry++
		p.mu.Unlock()
		var err error
		select {
		case <-p.room:
		case <-p.ended:
		case <-ctx.Done():
			err = ctx.Err()
		}
		p.mu.Lock()
		p.hungry--
		if err != nil {
			p.offer() // what it may have been told is for others
			return err
		}
	}
	if p.err != nil {
		return &UnreachableError{Node: p.node, Err: p.err}
	}
	return nil
}

// offer tells one of those who wait for a seat that there is one. It is called with mu held.
func (p *pipe) offer() {
	if p.hungry > 0 && len(p.free) > 0 {
		select {
		case p.room <- struct{}{}:
		default:
		}
	}
}

// put adds a request to what is to be written, and gives it a seat. lead says that it is whoever waits for it who must read.
func (p *pipe) put(ctx context.Context, w *waiter, put func([]byte, uint64) []byte) (lead bool, err error) {
	p.mu.Lock()
	if err := p.sit(ctx); err != nil {
		p.mu.Unlock()
		return false, err
	}
	seat := p.free[len(p.free)-1]
	p.name(w, seat)
	at := len(p.out)
	p.out = put(p.out, w.id)
	if n := len(p.out) - at; n > frame.MaxFrame+frame.HeaderLen {
		p.out = p.out[:at]
		p.offer()
		p.mu.Unlock()
		return false, &Error{Status: 400, Code: "body_too_large", Message: fmt.Sprintf("the request has %d bytes: at most %d are allowed", n, frame.MaxFrame)}
	}
	p.free = p.free[:len(p.free)-1]
	p.seats[seat] = w
	p.offer()
	if p.open() == 1 && !p.writing && len(p.out) < maxAlone {
		// Nobody else is on his way, so what was written has been taken and this will be, too, without a wait: that saves a turn of the scheduler.
		if lead = !p.reading; lead {
			p.reading = true
		}
		p.flush()
		p.mu.Unlock()
		return lead, nil
	}
	p.mu.Unlock()
	p.poke()
	return false, nil
}

// name gives a request the next id of a seat.
func (p *pipe) name(w *waiter, seat int) {
	p.last++
	w.id = p.last<<seatBits | uint64(seat)
}

// maxAlone is what a socket takes at once that has nothing in it.
const maxAlone = 16 << 10

// flush writes what there is. It is called with mu held, which it lets go meanwhile.
func (p *pipe) flush() {
	b, before := p.out, p.sent
	p.sent = p.last
	p.out, p.spare, p.writing = p.spare[:0], nil, true
	p.mu.Unlock()
	if now := time.Now(); p.due.Sub(now) < writeTimeout*7/8 { // or up to an eighth less: setting it for each write costs as much as a small write
		p.due = now.Add(writeTimeout)
		_ = p.conn.SetWriteDeadline(p.due)
	}
	n, err := p.conn.Write(b)
	p.mu.Lock()
	if err != nil {
		if n == 0 {
			p.sent = before
		}
		p.mu.Unlock()
		p.end(err)
		p.mu.Lock()
	}
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
		p.mu.Lock()
		if p.open() > 1 {
			p.mu.Unlock()
			runtime.Gosched() // others may have something to say, too
			p.mu.Lock()
		}
		if len(p.out) > 0 && !p.writing {
			p.flush()
		}
		p.mu.Unlock()
	}
}

const maxKept = 256 << 10

const (
	// idleAfter is how long nobody may read while nothing is on its way: only who reads learns that the node has gone.
	idleAfter = time.Second
	// crowded is for how many answers that leave nothing on its way the reader still reads.
	crowded = 8
)

// read gives answers to those who wait for them, while they are many or none.
func (p *pipe) read() {
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		select {
		case <-p.turn:
		case <-idle.C:
			idle.Reset(idleAfter)
			p.mu.Lock()
			mine := !p.reading
			p.reading = true
			p.mu.Unlock()
			if !mine {
				continue
			}
		case <-p.ended:
			return
		}
		idle.Stop()
		for alone := 0; alone < crowded; {
			if !p.take(p.in.next()) {
				return
			}
			p.mu.Lock()
			if p.open() > 0 {
				alone = 0
			} else if alone++; alone == crowded {
				p.reading = false
			}
			p.mu.Unlock()
		}
		idle.Reset(idleAfter)
	}
}

// take does what a frame says that was read. false: the connection has ended.
func (p *pipe) take(f frame.Frame, err error) bool {
	if err != nil {
		p.end(err)
		return false
	}
	switch {
	case f.Kind == frame.KindBye:
		p.bye()
	case f.ID == 0 && f.Kind == frame.KindError:
		if e, err := frame.ReadError(f.Body); err == nil {
			p.end(e)
			return false
		}
	default:
		p.answer(f)
	}
	return true
}

// lead reads until a request is answered, or is not waited for any more.
func (p *pipe) lead(ctx context.Context, w *waiter) {
	if quit := ctx.Done(); quit != nil {
		cut := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			_ = p.conn.SetReadDeadline(time.Unix(1, 0))
			close(cut)
		})
		defer func() {
			if !stop() {
				<-cut
				_ = p.conn.SetReadDeadline(time.Time{})
			}
			p.pass()
		}()
	} else {
		defer p.pass()
	}
	for len(w.done) == 0 {
		f, err := p.in.next()
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			return
		}
		if !p.take(f, err) {
			return
		}
	}
}

// pass has others read, if there is something to come.
func (p *pipe) pass() {
	p.mu.Lock()
	p.reading = p.open() > 0
	mine := p.reading
	p.mu.Unlock()
	if mine {
		p.turn <- struct{}{}
	}
}

// bye ends the connection once what is on its way has come.
func (p *pipe) bye() {
	p.shut.Store(true)
	p.mu.Lock()
	idle := p.open() == 0
	p.mu.Unlock()
	if idle {
		p.end(io.EOF)
	}
}

func (p *pipe) answer(f frame.Frame) {
	p.mu.Lock()
	seat := int(f.ID % maxWindow)
	if p.err != nil || seat >= len(p.seats) || p.seats[seat] == nil || p.seats[seat].id != f.ID {
		p.mu.Unlock()
		return // nothing that was asked
	}
	w := p.seats[seat]
	orphan := w.orphan
	if orphan && w.undo && f.Kind == frame.KindAnswer && p.giveBack(f, seat) {
		p.mu.Unlock()
		p.poke()
		return
	}
	p.seats[seat] = nil
	p.free = append(p.free, seat)
	p.offer()
	idle := p.open() == 0
	p.mu.Unlock()
	if !orphan {
		w.kind, w.body = f.Kind, append(w.body[:0], f.Body...)
		w.done <- struct{}{}
	}
	if idle && p.shut.Load() {
		p.end(io.EOF)
	}
}

// giveBack releases what was reserved for a call that nobody waits for any more, in its seat. It is called with mu held.
func (p *pipe) giveBack(f frame.Frame, seat int) bool {
	var a Answer
	if frame.ReadAnswer(f.Body, &a) != nil || !a.Admitted() {
		return false
	}
	w := &waiter{orphan: true}
	p.name(w, seat)
	p.seats[seat] = w
	p.out = frame.AppendRelease(p.out, w.id, &frame.Release{ID: a.ID})
	return true
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
	lost, sent := p.seats, p.sent
	p.seats, p.free = nil, nil
	p.mu.Unlock()
	close(p.ended)
	_ = p.conn.Close()
	for _, w := range lost {
		if w != nil && !w.orphan {
			w.err = &UnreachableError{Node: p.node, Sent: w.id>>seatBits <= sent, Err: err}
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
