package api

import (
	"errors"
	"os"
	"sync"
	"time"
)

// net/http and this package give a connection eight times a request by when a read must be done, and take it back; each of them moves a timer of
// the runtime, some 0.2 µs. So a connection is only told of a time that is earlier than the one it knows of. One that
// comes too early is found out when it is over: then the right one is told, and the read goes on.

// armedFor is how far ahead a connection is told at most when it is told anew: what is asked for later is then as a rule beyond it, and so free.
// An idle connection looks up that often. It is less than the time that headers and bodies have.
const armedFor = 8 * time.Second

// lazyTime is a time by which something of a connection must be done. Safe for concurrent use.
type lazyTime struct {
	mu   sync.Mutex // guards below
	want time.Time  // the zero time: never
	told time.Time  // what the connection knows
}

// set asks for a time. tell tells the connection.
func (l *lazyTime) set(t time.Time, tell func(time.Time) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.want = t
	if t.IsZero() || !l.told.IsZero() && !t.Before(l.told) {
		return nil
	}
	l.told = t
	return tell(t)
}

// early reports whether an error of the connection is only of the time that it knew, and not of the one that is asked for. Then it knows better now.
func (l *lazyTime) early(err error, tell func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.want.IsZero() && !now.Before(l.want) {
		return false
	}
	l.told = now.Add(armedFor)
	if !l.want.IsZero() && l.want.Before(l.told) {
		l.told = l.want
	}
	return tell(l.told) == nil
}
