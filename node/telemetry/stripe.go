package telemetry

import (
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
)

// What the admission path counts is striped: goroutines add in cache lines of their own, most of the
// time, and a scrape sums them up. client_golang's histogram is as fast on one core, but slower on two,
// which write the same lines; DESIGN.md has the figures.

// stripe is the part of every counter that a goroutine adds in. Two may share one: that is slower, not wrong.
type stripe int

type stripes struct {
	n uint64 // a power of two
}

func newStripes() *stripes {
	s := &stripes{n: 1}
	for s.n < 64 && s.n < 4*uint64(runtime.GOMAXPROCS(0)) {
		s.n *= 2
	}
	return s
}

// get picks the stripe of this goroutine by the address of its stack, which takes 2 ns. Go tells nobody on which
// core it runs; a sync.Pool would know, at 20 ns, and a random stripe, at 8, moves lines between cores.
func (s *stripes) get() stripe {
	var here byte
	const golden = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio: spreads addresses that are close (Knuth, TAOCP 6.4)
	return stripe(uint64(uintptr(unsafe.Pointer(&here))>>10) * golden >> 40 & (s.n - 1))
}

// lineLen is two cache lines of 64 bytes, since processors fetch them in pairs.
const lineLen = 128

// counter is a striped counter.
type counter struct {
	slots []struct {
		n atomic.Uint64
		_ [lineLen - 8]byte
	}
}

func newCounter(s *stripes) *counter {
	c := new(counter)
	c.slots = make([]struct {
		n atomic.Uint64
		_ [lineLen - 8]byte
	}, s.n)
	return c
}

func (c *counter) inc(x stripe) { c.slots[x].n.Add(1) }

func (c *counter) sum() (n uint64) {
	for i := range c.slots {
		n += c.slots[i].n.Load()
	}
	return n
}

// bounds of the histograms of durations, in nanoseconds: from a quarter of a microsecond, which a local
// decision takes, to the five minutes that a class may let a call wait.
var bounds = [...]time.Duration{
	250, 500,
	1 * time.Microsecond, 2500, 5 * time.Microsecond,
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	1 * time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	1 * time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 1 * time.Minute, 2 * time.Minute, 5 * time.Minute,
}

// histogram is a striped histogram of durations.
type histogram struct {
	slots []*histogramSlot
	// examples are the last traced call of each bucket: see example.
	examples [len(bounds) + 1]atomic.Pointer[example]
}

type histogramSlot struct {
	buckets [len(bounds) + 1]atomic.Uint64 // not cumulative; the last has no bound
	sum     atomic.Int64                   // nanoseconds
	_       [lineLen]byte
}

func newHistogram(s *stripes) *histogram {
	h := &histogram{slots: make([]*histogramSlot, s.n)}
	for i := range h.slots {
		h.slots[i] = new(histogramSlot)
	}
	return h
}

// observe books d; a negative d, from a clock that stepped, counts as 0.
func (h *histogram) observe(x stripe, d time.Duration) {
	d = max(d, 0)
	s := h.slots[x]
	s.buckets[bucketOf(d)].Add(1)
	s.sum.Add(int64(d))
}

func bucketOf(d time.Duration) (i int) {
	for i < len(bounds) && d > bounds[i] { // most are in one of the first
		i++
	}
	return i
}

// metric sums the stripes up for a scrape.
func (h *histogram) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	var count uint64
	var sum int64
	cumulative := make(map[float64]uint64, len(bounds))
	var per [len(bounds) + 1]uint64
	for _, s := range h.slots {
		for i := range s.buckets {
			per[i] += s.buckets[i].Load()
		}
		sum += s.sum.Load()
	}
	for i, n := range per {
		count += n
		if i < len(bounds) {
			cumulative[bounds[i].Seconds()] = count
		}
	}
	m := prometheus.MustNewConstHistogram(desc, count, time.Duration(sum).Seconds(), cumulative, labels...)
	if list := h.exemplars(); len(list) > 0 {
		return prometheus.MustNewMetricWithExemplars(m, list...)
	}
	return m
}
