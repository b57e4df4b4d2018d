package chaos

import (
	"fmt"
	"time"
)

// Options say what to run. They travel to the process that runs inside the namespaces as JSON.
type Options struct {
	Seed     uint64        // draws the timeline, the relay's losses and the callers' sizes
	Duration time.Duration // of the load; the faults lie within it
	Nodes    int
	Binary   string        // swarmpurse
	Newer    string        // swarmpurse of another version, for the rolling restart
	Dir      string        // an empty directory, which the run mounts over
	Slack    time.Duration // how much longer than is promised it may take until all agree: other work may have the machine
	Out      string        // directory for the report and, should it fail, the nodes' logs
}

const (
	minDuration = 20 * time.Second
	maxDuration = 6 * time.Hour
	minNodes    = 4
	maxNodes    = 50
)

// Check says what is wrong with the options, if anything is.
func (o *Options) Check() error {
	switch {
	case o.Duration < minDuration || o.Duration > maxDuration:
		return fmt.Errorf("a duration of %v: choose from %v to %v", o.Duration, minDuration, maxDuration)
	case o.Slack < 0 || o.Slack > maxDuration:
		return fmt.Errorf("a slack of %v: choose from 0s to %v", o.Slack, maxDuration)
	case o.Nodes < minNodes || o.Nodes > maxNodes:
		return fmt.Errorf("%d nodes: choose from %d to %d", o.Nodes, minNodes, maxNodes)
	}
	return nil
}

// rerun is the command that draws the same timeline again.
func (o *Options) rerun() string {
	return fmt.Sprintf("make chaos SEED=%d DURATION=%v", o.Seed, o.Duration)
}
