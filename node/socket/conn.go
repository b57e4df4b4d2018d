package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/frame"
)

// conn is one connection.
type conn struct {
	*Server
	net net.Conn
	ctx context.Context // ends with it

	key   string         // that came with the hello, "" for none
	table *caller.Table  // that who was found in
	who   *caller.Caller // nil without a key
	desk  desk           // the reader's

	waiting sync.WaitGroup // calls that have goroutines of their own
	gone    atomic.Bool    // it was cut, and that is counted

	mu      sync.Mutex // guards below
	out     []byte     // answers to be written
	cancels map[uint64]context.CancelFunc

	writing sync.Mutex // held while answers are written; guards below
	spare   []byte
	due     time.Time // when the last write may end
}

// serve answers a connection until it ends.
func (s *Server) serve(nc net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{Server: s, net: nc, ctx: ctx, cancels: map[uint64]context.CancelFunc{}}
	defer func() {
		cancel() // calls that wait are taken out: nobody hears of them
		c.waiting.Wait()
		_ = nc.Close()
	}()
	if !s.enter(c) {
		return
	}
	defer s.leave(c)
	in := inbox{conn: nc, patience: s.time}
	if !c.greet(&in) {
		return
	}
	for {
		f, err := in.next(c.flush)
		if err != nil {
			c.ended(err)
			return
		}
		c.handle(f)
	}
}

// greet reads the hello and answers it.
func (c *conn) greet(in *inbox) bool {
	_ = c.net.SetDeadline(time.Now().Add(c.time))
	f, err := in.next(func() bool { return true })
	var h frame.Hello
	if err == nil && f.Kind != frame.KindHello {
		err = fmt.Errorf("%w: a connection begins with a hello", frame.ErrMalformed)
	}
	if err == nil {
		h, err = frame.ReadHello(f.Body)
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			c.cut(cutHello, err)
		}
		return false
	}
	if h.Least > frame.Version || h.Most < frame.Version || h.Least > h.Most {
		c.refuse(&api.Error{Status: 400, Code: api.ErrCodeInvalid, Param: "version",
			Message: fmt.Sprintf("this node speaks version %d of the protocol, and the caller versions %d to %d: update the older of the two", frame.Version, h.Least, h.Most)}, cutVersion)
		return false
	}
	c.key = h.Key
	if _, err := c.caller(time.Now()); err != nil {
		c.refuse(api.ErrorOf(err), cutKey)
		return false
	}
	c.put(func(b []byte) []byte {
		return frame.AppendWelcome(b, frame.Welcome{Version: frame.Version, Node: c.name, Window: window})
	})
	ok := c.flush()
	_ = c.net.SetReadDeadline(time.Time{})
	in.timed = false
	return ok
}

// refuse says why the connection ends.
func (c *conn) refuse(e *api.Error, why string) {
	c.put(func(b []byte) []byte { return frame.AppendError(b, 0, wireError(e)) })
	c.flush()
	c.cut(why, e)
}

// caller is whose key the connection came with, as of the policy in force; nil if it came with none.
func (c *conn) caller(now time.Time) (*caller.Caller, error) {
	if c.key == "" {
		return nil, nil
	}
	if t := c.calls.Callers(); c.who == nil || t != c.table || c.who.Expires > 0 && now.UnixMilli() >= int64(c.who.Expires) {
		c.who, c.table = nil, t
		who, err := c.calls.Find(c.key, now)
		if err != nil {
			return nil, err
		}
		c.who = who
	}
	return c.who, nil
}

// put adds to what is to be written.
func (c *conn) put(f func([]byte) []byte) {
	c.mu.Lock()
	c.out = f(c.out)
	c.mu.Unlock()
}

// flush writes what is there, or waits for whoever is writing it. false: the connection is of no more use.
func (c *conn) flush() bool {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	b := c.out
	c.out = c.spare[:0]
	c.mu.Unlock()
	c.spare = b
	if len(b) == 0 {
		return !c.gone.Load()
	}
	if now := time.Now(); c.due.Sub(now) < c.time*7/8 { // or up to an eighth less: setting it for each write costs as much as a small write
		c.due = now.Add(c.time)
		_ = c.net.SetWriteDeadline(c.due)
	}
	_, err := c.net.Write(b)
	if cap(b) > 4*maxOut {
		c.spare = nil
	}
	if err != nil {
		why := ""
		if errors.Is(err, os.ErrDeadlineExceeded) {
			why = cutAnswer
		}
		c.cut(why, err)
		return false
	}
	return true
}

// bye says that the node is about to end.
func (c *conn) bye() {
	c.put(func(b []byte) []byte { return frame.Append(b, frame.KindBye, 0) })
	c.flush()
}

// ended counts why a connection ended that could not be read.
func (c *conn) ended(err error) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.Is(err, frame.ErrTooLong), errors.Is(err, frame.ErrMalformed):
		c.refuse(&api.Error{Status: 400, Code: api.ErrCodeInvalid, Message: err.Error()}, cutFrame)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.cut(cutSlow, err)
	default:
		c.log.Debug().Err(err).Msg("socket: a connection broke")
	}
}

// cut ends the connection; why is "" if that is the caller's doing.
func (c *conn) cut(why string, err error) {
	if c.gone.Swap(true) {
		return
	}
	if why != "" {
		c.metrics.cut.WithLabelValues(why).Inc()
		c.log.Info().Str("reason", why).AnErr("why", err).Msg("socket: a connection was cut")
	}
	_ = c.net.Close()
}

// guard makes a panic the error of one request.
func (c *conn) guard(call int, id uint64) {
	p := recover()
	if p == nil {
		return
	}
	c.metrics.panics.Inc()
	c.log.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("socket: a request panicked: please report this")
	c.fail(call, id, errors.New("a bug of the node"))
}

// inbox reads frames.
type inbox struct {
	conn     net.Conn
	patience time.Duration
	buf      []byte // what came
	at       int    // of buf, what has been given out
	timed    bool   // a frame has begun, and has its time
}

const (
	firstBuffer = 16 << 10
	mostIdle    = 64 << 10 // that is kept while nothing comes
)

// next gives the next frame, which is good until the next call. Before it waits for more it calls idle, which may put a stop to it.
func (in *inbox) next(idle func() bool) (frame.Frame, error) {
	for {
		f, took, err := frame.Next(in.buf[in.at:])
		if err != nil {
			return f, err
		}
		if took > 0 {
			in.at += took
			return f, nil
		}
		if !idle() {
			return f, net.ErrClosed
		}
		// What is left goes to the front.
		n := copy(in.buf[:cap(in.buf)], in.buf[in.at:])
		in.buf, in.at = in.buf[:n], 0
		if n == 0 && cap(in.buf) > mostIdle {
			in.buf = nil
		}
		if n == cap(in.buf) {
			in.buf = append(make([]byte, 0, max(firstBuffer, 2*cap(in.buf))), in.buf...)
		}
		if begun := n > 0; begun != in.timed {
			var t time.Time
			if begun {
				t = time.Now().Add(in.patience)
			}
			_ = in.conn.SetReadDeadline(t)
			in.timed = begun
		}
		m, err := in.conn.Read(in.buf[n:cap(in.buf)])
		in.buf = in.buf[:n+m]
		if m == 0 && err != nil {
			if n > 0 && errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: it ends in its middle", io.ErrUnexpectedEOF)
			}
			return f, err
		}
	}
}
