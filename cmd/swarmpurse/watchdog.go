package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// feedWatchdog tells the service manager, until ctx ends, twice in the time after which it ends a node that is silent, that the node's loop still takes
// work; and nothing while it does not.
func feedWatchdog(ctx context.Context, patience time.Duration, alive func(context.Context) error, tell func(string)) {
	for t := time.NewTicker(patience / 2); ; {
		look, done := context.WithTimeout(ctx, patience/2)
		if alive(look) == nil {
			tell(daemon.SdNotifyWatchdog)
		}
		done()
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
