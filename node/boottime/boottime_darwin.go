package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since some moment before the process began, suspension included. It never goes back, and no step of
// the wall clock shows in it. Safe for concurrent use.
func Now() time.Duration { return read(unix.CLOCK_MONOTONIC_RAW) }
