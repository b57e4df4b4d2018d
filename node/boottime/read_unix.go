//go:build linux || darwin

package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

func read(clock int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		panic("BUG: a clock that every supported kernel has: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
