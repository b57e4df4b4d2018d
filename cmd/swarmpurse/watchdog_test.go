package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdogStarves: a loop that takes no work is not vouched for, and one that does again is.
func TestWatchdogStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var stuck atomic.Bool
		var fed atomic.Int64
		go feedWatchdog(ctx, 10*time.Second, func(ctx context.Context) error {
			if stuck.Load() {
				<-ctx.Done()
			}
			return ctx.Err()
		}, func(string) { fed.Add(1) })
		for _, c := range []struct {
			stuck bool
			more  int64
		}{{false, 12}, {true, 0}, {false, 12}} {
			time.Sleep(time.Second) // between two looks
			synctest.Wait()
			stuck.Store(c.stuck)
			time.Sleep(9 * time.Second) // what was begun is over
			synctest.Wait()
			fed.Store(0)
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := fed.Load(); n < c.more-1 || n > c.more+1 {
				t.Errorf("stuck %v: fed %d times in a minute, want some %d", c.stuck, n, c.more)
			}
		}
		stop()
		synctest.Wait()
	})
}
