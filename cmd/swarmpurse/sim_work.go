package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sync/errgroup"

	"github.com/swarmpurse/swarmpurse/sim"
	"github.com/swarmpurse/swarmpurse/sim/beside"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// simWork is runs to be made, several at a time: each is of one goroutine, and a helper if not all processors have a run.
type simWork struct {
	scenario func(i int) (*scenario.Scenario, error)
	n        int
	jobs     int // at a time
	systems  []string
	// edit makes a run's scenario with changes, to look for a smaller run when one fails; nil leaves that out. shrinks
	// is how many runs it is done for at most, those that fail first.
	edit    func(i int, sets []string) (*scenario.Scenario, error)
	again   func(i int, sets []string) (command string)
	shrinks int
	done    func(i int, r *result.Result) // one call at a time, in any order
	bar     *simBar                       // nil: one is made
}

// simulate makes the runs. It shows how far they are if stderr is a terminal.
func (a *app) simulate(ctx context.Context, w simWork) error {
	simulateInMemory()
	bar := w.bar
	if bar == nil {
		bar = newSimBar(a.stderr, w.n)
	}
	defer bar.clear()
	var mu sync.Mutex
	var failed atomic.Int64
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(max(1, w.jobs))
	var helper func() sim.Helper
	if min(w.n, max(1, w.jobs)) < runtime.GOMAXPROCS(0) { // else runs keep all processors busy
		helper = func() sim.Helper { return beside.New[sim.Heard]() }
	}
	for i := range w.n {
		if running.Err() != nil {
			break
		}
		g.Go(func() error {
			sc, err := w.scenario(i)
			if err != nil {
				return err
			}
			started := time.Now()
			r, err := sim.Run(running, sc, sim.Options{
				Systems:  w.systems,
				Helper:   helper,
				Progress: func(at time.Duration, events uint64) { bar.set(i, sc, at, events) },
			})
			if err != nil {
				return err
			}
			r.Wall = time.Since(started)
			if r.Violation != nil && w.edit != nil && failed.Add(1) <= int64(w.shrinks) {
				bar.say(fmt.Sprintf("swarmpurse: %s, seed %d: %s; looking for a smaller run that fails\n", clean(sc.Name), r.Seed, clean(r.Violation.Invariant)))
				small, err := sim.Shrink(running, func(sets []string) (*scenario.Scenario, error) { return w.edit(i, sets) }, r, sim.Options{})
				if err != nil {
					return err
				}
				r.Violation.Prefix, r.Violation.Command = small.Result.Violation.Prefix, w.again(i, small.Sets)
			}
			bar.set(i, sc, sc.Duration+sc.Rest, r.Events)
			mu.Lock()
			defer mu.Unlock()
			w.done(i, r)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err() // of the caller: some runs were not begun
}

// simBar shows how far runs are, in one line. It does nothing where nobody sees it.
type simBar struct {
	stderr io.Writer
	mu     sync.Mutex
	bar    *progressbar.ProgressBar // nil: nobody sees it
	parts  []float64                // of each run, 0..1
	events []uint64
}

const barSteps = 1000

func newSimBar(stderr io.Writer, runs int) *simBar {
	if !isTerminal(stderr) {
		return &simBar{stderr: stderr}
	}
	return &simBar{
		stderr: stderr, parts: make([]float64, runs), events: make([]uint64, runs),
		bar: progressbar.NewOptions64(barSteps,
			progressbar.OptionSetWriter(stderr), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: "", BarEnd: ""})),
	}
}

func (b *simBar) set(run int, sc *scenario.Scenario, at time.Duration, events uint64) {
	if b.bar == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[run], b.events[run] = float64(at)/float64(sc.Duration+sc.Rest), events
	sum, all, over := 0.0, uint64(0), 0
	for i := range b.parts {
		sum += b.parts[i]
		all += b.events[i]
		if b.parts[i] >= 1 {
			over++
		}
	}
	text := fmt.Sprintf("%s, %s of %s", sc.Name, at.Round(time.Second), sc.Duration+sc.Rest)
	if len(b.parts) > 1 {
		text = fmt.Sprintf("%d of %d runs", over, len(b.parts))
	}
	b.bar.Describe(fmt.Sprintf("%s, %.1f M events", clean(text), float64(all)/1e6))
	_ = b.bar.Set64(int64(sum / float64(len(b.parts)) * barSteps)) // a terminal that cannot be drawn on ends no run
}

// say prints lines above the bar.
func (b *simBar) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	_, _ = io.WriteString(b.stderr, text) // as with the bar
}

// clear takes the bar off the screen.
func (b *simBar) clear() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}
