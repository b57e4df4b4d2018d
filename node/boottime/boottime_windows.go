package boottime

import (
	"time"

	"golang.org/x/sys/windows"
)

// Now is the time since the machine was booted, sleep and hibernation included, to some 16 ms. It never goes back, and no
// step of the wall clock shows in it. Safe for concurrent use.
func Now() time.Duration { return windows.DurationSinceBoot() }
