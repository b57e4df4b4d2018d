package demo

import (
	"fmt"
	"io"
	"time"
)

// Options says what to run; begin with Defaults.
type Options struct {
	Nodes    int
	Agents   int
	Duration time.Duration // of the load

	// Rate is how many calls each agent makes in a second, on average.
	Rate float64
	// Seed draws the generated workload, and nothing else.
	Seed uint64

	// Trace is a CSV file as workload.ReadRecording takes it (the Azure columns, or ours); its arrivals
	// and lengths replace the generated ones. Speed is how much faster it is replayed.
	Trace string
	Speed float64

	// Policy is a policy document; "" is the demo's own, sized to the workload.
	Policy string

	// Cut is how long the swarm is cut in two in the middle of the load, at most a quarter of it; 0 is
	// not at all.
	Cut time.Duration

	// Keep leaves the data directory and the logs behind.
	Keep bool

	// Binary is the program that `node` is a command of; "" is this one.
	Binary string

	// Progress is where the progress goes; Live draws a table there that is renewed in place.
	Progress io.Writer
	Live     bool
}

const (
	maxNodes    = 100
	maxAgents   = 10_000
	maxCalls    = 1_000_000
	minDuration = 2 * time.Second
	maxDuration = time.Hour

	// promised is how many calls a run of the default length makes at least.
	promised = 2000
)

// Defaults are the options of `swarmpurse demo` without flags.
func Defaults() Options {
	return Options{Nodes: 5, Agents: 60, Duration: time.Minute, Rate: 1, Seed: 1, Speed: 20, Cut: 15 * time.Second}
}

// Check says what is wrong with the options, if anything is. It reads no files.
func (o *Options) Check() error {
	switch {
	case o.Nodes < 1 || o.Nodes > maxNodes:
		return fmt.Errorf("%d nodes: choose from 1 to %d", o.Nodes, maxNodes)
	case o.Agents < 1 || o.Agents > maxAgents:
		return fmt.Errorf("%d agents: choose from 1 to %d", o.Agents, maxAgents)
	case o.Duration < minDuration || o.Duration > maxDuration:
		return fmt.Errorf("a duration of %v: choose from %v to %v", o.Duration, minDuration, maxDuration)
	case !(o.Rate > 0 && o.Rate <= 1000):
		return fmt.Errorf("a rate of %g calls per agent and second: it must be above 0 and at most 1000", o.Rate)
	case !(o.Speed > 0 && o.Speed <= 1e6):
		return fmt.Errorf("a speed of %g: it must be above 0 and at most 1000000", o.Speed)
	case o.Cut < 0:
		return fmt.Errorf("a cut of %v: it must not be negative; 0s is no cut", o.Cut)
	}
	if n := o.Rate * float64(o.Agents) * o.Duration.Seconds(); o.Trace == "" && n > maxCalls {
		return fmt.Errorf("%.0f calls are more than %d: choose fewer agents, a shorter duration or a lower rate", n, maxCalls)
	}
	return nil
}

func (o *Options) complete() error {
	if err := o.Check(); err != nil {
		return err
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	o.Cut = min(o.Cut, o.Duration/4)
	if o.Nodes < 2 {
		o.Cut = 0
	}
	return nil
}
