package api

import (
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestLazyTime: what net/http asks for of a request on a connection that is kept costs two words to it, and a time that is over is
// over, whatever the connection was told before.
func TestLazyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lazyTime
		var told []time.Duration // from now
		tell := func(at time.Time) error {
			told = append(told, time.Until(at))
			return nil
		}
		set := func(d time.Duration) {
			at := time.Time{}
			if d != 0 {
				at = time.Now().Add(d)
			}
			if err := l.set(at, tell); err != nil {
				t.Fatal(err)
			}
		}
		late := func(want bool, why string) {
			t.Helper()
			if l.early(os.ErrDeadlineExceeded, tell) == want {
				t.Errorf("%s: late is %v", why, !want)
			}
		}
		for range 3 { // the first knows nothing yet
			set(2 * time.Minute) // idle
			set(0)
			set(10 * time.Second) // headers
			set(0)
			set(10 * time.Second) // body
			set(0)
			told = nil
			set(-time.Hour) // a read that goes on is broken off
			late(true, "broken off")
			set(0)
			late(false, "the next read")
			time.Sleep(time.Millisecond)
		}
		if !slices.Equal(told, []time.Duration{-time.Hour, armedFor}) {
			t.Errorf("told %v", told)
		}

		set(10 * time.Second)
		time.Sleep(armedFor - time.Millisecond)
		late(false, "before its time") // 2 s are left
		if got := told[len(told)-1]; got != 10*time.Second-armedFor+time.Millisecond {
			t.Errorf("told %v", got)
		}
		time.Sleep(3 * time.Second)
		late(true, "after its time")
		set(time.Second)
		time.Sleep(time.Second)
		late(true, "after an earlier one")
		if l.early(errors.New("another"), tell) {
			t.Error("another error is taken for a time")
		}
	})
}

// TestWatchedTimes: reads and writes of a connection end when they were told to, and not before, whatever was asked for earlier.
func TestWatchedTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		w := &watched{Conn: a}
		defer w.Close()
		for i, step := range []struct {
			before, long time.Duration // what was asked for first, and what then
		}{{time.Second, time.Minute}, {time.Hour, time.Second}, {time.Second, armedFor}, {-time.Second, 3 * time.Minute}} {
			begin := time.Now()
			_ = w.SetDeadline(begin.Add(step.before))
			_ = w.SetDeadline(begin.Add(step.long))
			_, err := w.Read(make([]byte, 1))
			if took := time.Since(begin); took != step.long || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("step %d: a read took %v, %v", i, took, err)
			}
			begin = time.Now()
			_ = w.SetDeadline(begin.Add(step.before))
			_ = w.SetDeadline(begin.Add(step.long))
			n, err := w.Write([]byte("x"))
			if took := time.Since(begin); took != step.long || n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("step %d: a write took %v, %d, %v", i, took, n, err)
			}
		}
		_ = w.SetDeadline(time.Now().Add(-time.Second))
		_ = w.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			_, _ = b.Write([]byte("y"))
			_, _ = b.Read(make([]byte, 1))
		}()
		if n, err := w.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("a read without a time: %d, %v", n, err)
		}
		if n, err := w.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("a write without a time: %d, %v", n, err)
		}
	})
}
