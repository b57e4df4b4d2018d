package beside

import "sync"

const (
	// most is how many jobs a place has at most that are yet to be done.
	most = 16
	// batch is how many jobs the second goroutine is told of at once: to wake it takes as long as some of them.
	batch = 32
	// batches is how many of them may wait for it. It need not see to all: what is left is done by Finish.
	batches = 32
)

// Helper does jobs of places.
type Helper[J any] struct {
	do     func(place int, job J, beside bool)
	places []*place[J]
	told   []*place[J] // the batch that is being filled
	queue  chan []*place[J]
	ended  sync.WaitGroup
}

type place[J any] struct {
	i    int
	open int // jobs since it was finished; of the owner alone

	mu   sync.Mutex // guards jobs, and is held while one is done
	jobs []J
}

// New makes a helper that is yet to be started.
func New[J any]() *Helper[J] { return &Helper[J]{} }

// Start begins with so many places. do does the job of one; beside says that it runs on the second goroutine. No two jobs of a place run at once, and
// all that its owner did before Add has happened before it.
func (h *Helper[J]) Start(places int, do func(place int, job J, beside bool)) {
	h.do, h.places, h.told, h.queue = do, nil, nil, make(chan []*place[J], batches)
	h.grow(places)
	h.ended.Go(func() {
		for ps := range h.queue {
			for _, p := range ps {
				if p.mu.TryLock() { // else the owner is at it
					h.finish(p, true)
					p.mu.Unlock()
				}
			}
		}
	})
}

func (h *Helper[J]) grow(places int) {
	for len(h.places) < places {
		h.places = append(h.places, &place[J]{i: len(h.places)})
	}
}

// Add has a job of a place be done before Finish of it returns.
func (h *Helper[J]) Add(i int, job J) {
	h.grow(i + 1)
	p := h.places[i]
	if p.open == most {
		h.Finish(i)
	}
	p.open++
	p.mu.Lock()
	p.jobs = append(p.jobs, job)
	p.mu.Unlock()
	if h.told = append(h.told, p); len(h.told) < batch {
		return
	}
	select {
	case h.queue <- h.told:
		h.told = make([]*place[J], 0, batch)
	default: // it is behind
		h.told = h.told[:0]
	}
}

// Finish returns when all jobs of a place are done. It does those that nobody has begun. All that they did has happened before.
func (h *Helper[J]) Finish(i int) {
	if i >= len(h.places) || h.places[i].open == 0 {
		return
	}
	p := h.places[i]
	p.mu.Lock()
	h.finish(p, false)
	p.mu.Unlock()
	p.open = 0
}

// finish does the jobs of a place. Caller holds its lock.
func (h *Helper[J]) finish(p *place[J], beside bool) {
	for _, job := range p.jobs {
		h.do(p.i, job, beside)
	}
	clear(p.jobs)
	p.jobs = p.jobs[:0]
}

// Stop finishes all places and ends the second goroutine. The helper may be started again.
func (h *Helper[J]) Stop() {
	close(h.queue)
	h.ended.Wait()
	for i := range h.places {
		h.Finish(i)
	}
}
