package main

import (
	"time"

	"github.com/spf13/pflag"
)

// timeRange is --since and --until.
type timeRange struct{ since, until string }

// flags gives a command the two flags, for what it shows.
func (r *timeRange) flags(f *pflag.FlagSet, what string) {
	f.StringVar(&r.since, "since", "", what+" since a `time`, as in 2026-01-02T15:04:05Z, or how long ago, as in 24h")
	f.StringVar(&r.until, "until", "", "and before a `time`, written alike")
}

// read is the times that were given, or zero ones.
func (r *timeRange) read(now time.Time) (since, until time.Time, err error) {
	if since, err = moment("since", r.since, now); err == nil {
		until, err = moment("until", r.until, now)
	}
	return since, until, err
}

// moment reads a time, or how long ago it was; "" is none.
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usageError("--%s is %q: write a time as in 2026-01-02T15:04:05Z, or how long ago as in 1h", flag, s)
	}
	return t, nil
}
