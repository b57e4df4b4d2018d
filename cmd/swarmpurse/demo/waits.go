package demo

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

const (
	// maxAsked bounds how many decisions are looked up after the load; of more, every n-th is.
	maxAsked = 20_000
	askers   = 8
)

// decided is a call that was decided, as its agent saw it.
type decided struct {
	node     int
	id       string
	admitted bool
	group    [2]string // tenant, class
}

// waited is how long such a call was queued, as its node tells.
type waited struct {
	decided
	at time.Time // of the decision
	ms float64
}

// waits asks the nodes how long each call was queued: /v1/decisions/{id} has it exactly, where a
// histogram has a bucket. forgotten counts those that a node does not remember any more; of very many
// calls only every step-th is asked for.
func (s *swarm) waits(ctx context.Context, calls []decided) (list []waited, forgotten, step int, err error) {
	if step = (len(calls) + maxAsked - 1) / maxAsked; step > 1 {
		sample := calls[:0:0]
		for i := 0; i < len(calls); i += step {
			sample = append(sample, calls[i])
		}
		calls = sample
	}
	answers := make([]waited, len(calls))
	var next, lost atomic.Int64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(calls) || ctx.Err() != nil {
					return
				}
				d, err := s.members[calls[i].node].client.Decision(ctx, calls[i].id)
				var ae *api.Error
				switch {
				case err == nil:
					answers[i] = waited{calls[i], d.At, d.WaitedMS}
				case errors.As(err, &ae) && ae.Status == 404:
					lost.Add(1)
				default:
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, 0, step, context.Cause(ctx)
	}
	answers = slices.DeleteFunc(answers, func(w waited) bool { return w.id == "" })
	return answers, int(lost.Load()), step, nil
}

// exactly returns the quantiles of values by the nearest rank, sorting them.
func exactly(values []float64) Latency {
	if len(values) == 0 {
		return Latency{}
	}
	slices.Sort(values)
	rank := func(q float64) float64 {
		return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
	}
	return Latency{int64(len(values)), rank(0.5), rank(0.99)}
}

// queued is how long calls were queued that were, and that were decided between two times.
func queued(list []waited, from, to time.Time) Latency {
	var v []float64
	for _, w := range list {
		if w.ms > 0 && !w.at.Before(from) && w.at.Before(to) {
			v = append(v, w.ms)
		}
	}
	return exactly(v)
}
