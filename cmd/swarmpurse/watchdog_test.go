package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdogStarves: a loop that takes no work is not vouched for, and one that does again is.
func TestWatchdogStarves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stuck, fed := false, 0
		go feedWatchdog(ctx, 10*time.Second, func(ctx context.Context) error {
			if stuck {
				<-ctx.Done()
			}
			return ctx.Err()
		}, func(string) { fed++ })
		for _, c := range []struct {
			stuck bool
			more  int
		}{{false, 12}, {true, 0}, {false, 12}} {
			time.Sleep(time.Second) // between two looks
			synctest.Wait()
			stuck = c.stuck
			time.Sleep(9 * time.Second) // what was begun is over
			synctest.Wait()
			fed = 0
			time.Sleep(time.Minute)
			synctest.Wait()
			if fed < c.more-1 || fed > c.more+1 {
				t.Errorf("stuck %v: fed %d times in a minute, want some %d", c.stuck, fed, c.more)
			}
		}
		stop()
		synctest.Wait()
	})
}
