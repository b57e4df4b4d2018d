package boottime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time since the machine was booted, suspension included. It never goes back, and no step of the wall
// clock shows in it. Safe for concurrent use; a system call.
func Now() time.Duration { return read(unix.CLOCK_BOOTTIME) }
