//go:build !linux && !darwin && !windows

package boottime

import "time"

var start = time.Now()

// Now is the time since the process began by Go's monotonic clock; whether it counts suspension is the system's to say.
// It never goes back. Safe for concurrent use.
func Now() time.Duration { return time.Since(start) }
