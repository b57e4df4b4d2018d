package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Options say what is measured.
type Options struct {
	Duration time.Duration // all of it, but for starting and ending processes
	Turns    int           // how often each is measured in turn
	Callers  []int         // at once
	Only     []string      // names of groups; none: all
	Redis    string        // of the program; "off": none
	Binary   string        // of swarmpurse
	Progress io.Writer
}

// Groups are what can be measured.
var Groups = []string{"http", "grpc", "socket", "proxy"}

// Defaults take about a minute.
func Defaults() Options {
	return Options{Duration: time.Minute, Turns: 6, Callers: []int{1, 32, 128}, Redis: "redis-server"}
}

// Bounds.
const (
	maxDuration = time.Hour
	maxTurns    = 1000
	maxCallers  = 1024
	proxyAt     = 32 // callers of the proxy
)

// Check says what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case o.Duration <= 0 || o.Duration > maxDuration:
		return fmt.Errorf("--duration is %v: it must be above 0 and at most %v", o.Duration, maxDuration)
	case o.Turns < 1 || o.Turns > maxTurns:
		return fmt.Errorf("--turns is %d: it must be from 1 to %d", o.Turns, maxTurns)
	case len(o.Callers) == 0:
		return errors.New("--callers names no number")
	}
	for _, n := range o.Callers {
		if n < 1 || n > maxCallers {
			return fmt.Errorf("--callers has %d: 1 to %d are possible", n, maxCallers)
		}
	}
	for _, g := range o.Only {
		if !slices.Contains(Groups, g) {
			return fmt.Errorf("--only has %q: there are %v", g, Groups)
		}
	}
	return nil
}

func (o *Options) wants(group string) bool { return len(o.Only) == 0 || slices.Contains(o.Only, group) }

// way is one thing that is measured: it makes callers.
type way struct {
	name   string
	caller func() (ask func() error, done func(), err error)
	count  int // requests that one ask is
	pid    int // of the server
}

// pair is what is measured in turns: the first way is ours, the second what it is beside.
type pair struct {
	group   string
	callers int
	ways    []way
	target  float64 // of the first in percent of the second's rate; 0: none
}

// Report is what was measured.
type Report struct {
	Cores    int     `json:"cores"`
	Go       string  `json:"go"`
	Turns    int     `json:"turns"`
	Load     float64 `json:"load_1m,omitempty"` // of the machine before, 0 where it is not known
	Rows     []Row   `json:"rows"`
	Proxy    *Proxy  `json:"proxy,omitempty"`
	Redis    string  `json:"redis,omitempty"` // why it was not measured
	Duration string  `json:"duration"`
}

// Row is one way at one number of callers.
type Row struct {
	Group    string  `json:"group"`
	Name     string  `json:"name"`
	Callers  int     `json:"callers"`
	Rate     float64 `json:"requests_per_second"` // median over the turns
	P50us    float64 `json:"p50_us"`              // of one request
	P99us    float64 `json:"p99_us"`
	Requests int64   `json:"requests"`
	// CPUus is what the server's process used of all cores for a request, whatever else the machine did; 0 where that is not known.
	CPUus float64 `json:"server_cpu_us,omitempty"`
	// CallerCPUus is what this process used for a request: the callers, and all that they share.
	CallerCPUus float64 `json:"caller_cpu_us,omitempty"`
	// Part is what the rate is of that of the other way, in percent: the median over the turns. 0 for the other.
	Part float64 `json:"percent,omitempty"`
	// PartByCPU is the same of what both processes used for a request together: on a machine that does other work it is what can be compared.
	PartByCPU float64 `json:"percent_by_cpu,omitempty"`
	Of        string  `json:"of,omitempty"`
	Target    float64 `json:"target_percent,omitempty"`
}

// Run measures. Processes that it starts end with it.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	rep := &Report{Cores: runtime.NumCPU(), Go: runtime.Version(), Turns: o.Turns, Load: loadNow(), Duration: o.Duration.String()}
	b, err := start(ctx, &o)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	rep.Redis = b.noRedis
	pairs := b.pairs()
	shares := 0 // turns of one way each
	for _, p := range pairs {
		shares += len(p.ways)
	}
	if o.wants("proxy") {
		shares += 3 * proxyShares
	}
	turn := o.Duration / time.Duration(shares*o.Turns)
	for _, p := range pairs {
		fmt.Fprintf(o.Progress, "swarmpurse: %s at %d callers\n", p.group, p.callers)
		rows, err := p.measure(ctx, o.Turns, turn)
		if err != nil {
			return nil, err
		}
		rep.Rows = append(rep.Rows, rows...)
	}
	if o.wants("proxy") {
		fmt.Fprintf(o.Progress, "swarmpurse: the proxy at %d callers\n", proxyAt)
		if rep.Proxy, err = b.measureProxy(ctx, o.Turns, proxyShares*turn); err != nil {
			return nil, err
		}
	}
	return rep, nil
}

// measured is what one way did.
type measured struct {
	rates []float64 // requests a second, by turn
	times *hdrhistogram.Histogram
	cpu   time.Duration // of the server
	own   time.Duration // of this process
}

// newTimes is a histogram of nanoseconds up to a minute, to one part in a hundred.
func newTimes() *hdrhistogram.Histogram { return hdrhistogram.New(100, time.Minute.Nanoseconds(), 2) }

// measure has the ways take turns.
func (p *pair) measure(ctx context.Context, turns int, long time.Duration) ([]Row, error) {
	crews := make([]*crew, len(p.ways))
	for i, w := range p.ways {
		c, err := newCrew(&w, p.callers)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.name, err)
		}
		defer c.end()
		crews[i] = c
	}
	got := make([]measured, len(p.ways))
	for i := range got {
		got[i].times = newTimes()
	}
	for n := -1; n < turns; n++ { // the first is to warm up
		for k := range crews {
			i := (k + max(n, 0)) % len(crews) // each begins in turn
			before, own := processCPU(p.ways[i].pid), processCPU(os.Getpid())
			rate, err := crews[i].run(ctx, long, n >= 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.ways[i].name, err)
			}
			if n >= 0 {
				got[i].cpu += processCPU(p.ways[i].pid) - before
				got[i].own += processCPU(os.Getpid()) - own
				got[i].rates = append(got[i].rates, rate)
			}
		}
	}
	var rows []Row
	for i, w := range p.ways {
		m := &got[i]
		for _, h := range crews[i].times {
			m.times.Merge(h)
		}
		r := Row{
			Group: p.group, Name: w.name, Callers: p.callers, Rate: median(m.rates), Requests: m.times.TotalCount() * int64(w.count),
			P50us: micros(m.times, 50) / float64(w.count), P99us: micros(m.times, 99) / float64(w.count),
		}
		if r.Requests > 0 {
			r.CPUus = float64(m.cpu.Microseconds()) / float64(r.Requests)
			r.CallerCPUus = float64(m.own.Microseconds()) / float64(r.Requests)
		}
		if i > 0 {
			parts := make([]float64, turns)
			for n := range parts {
				parts[n] = 100 * got[0].rates[n] / m.rates[n]
			}
			part := median(parts)
			if first := &rows[0]; first.Of == "" || part < first.Part { // of several others the best counts
				first.Part, first.Of, first.Target = part, w.name, p.target
				if all := first.CPUus + first.CallerCPUus; all > 0 {
					first.PartByCPU = 100 * (r.CPUus + r.CallerCPUus) / all
				}
			}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func micros(h *hdrhistogram.Histogram, q float64) float64 {
	return float64(h.ValueAtQuantile(q)) / float64(time.Microsecond)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	if len(list) == 0 {
		return 0
	}
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// crew is the callers of one way.
type crew struct {
	asks  []func() error
	dones []func()
	times []*hdrhistogram.Histogram
	count int
}

func newCrew(w *way, callers int) (*crew, error) {
	c := &crew{count: w.count}
	for range callers {
		ask, done, err := w.caller()
		if err != nil {
			c.end()
			return nil, err
		}
		c.asks, c.dones, c.times = append(c.asks, ask), append(c.dones, done), append(c.times, newTimes())
	}
	return c, nil
}

func (c *crew) end() {
	for _, done := range c.dones {
		done()
	}
}

// run has all callers ask for so long, each again as soon as it is answered, and gives requests per second.
func (c *crew) run(ctx context.Context, long time.Duration, record bool) (rate float64, err error) {
	runtime.GC() // the heap that others left is not this one's
	var all sync.WaitGroup
	var mu sync.Mutex // guards below
	var total int64
	begin := time.Now()
	for i, ask := range c.asks {
		all.Go(func() {
			n, e := int64(0), error(nil)
			for at := time.Now(); e == nil; {
				if e = ask(); e != nil {
					break
				}
				now := time.Now()
				if record {
					_ = c.times[i].RecordValue(int64(now.Sub(at))) // what is out of its range counts as its end
				}
				n++
				if at = now; now.Sub(begin) >= long || ctx.Err() != nil {
					break
				}
			}
			mu.Lock()
			defer mu.Unlock()
			total += n
			err = errors.Join(err, e)
		})
	}
	all.Wait()
	took := time.Since(begin)
	if err == nil {
		err = ctx.Err()
	}
	return float64(total) * float64(c.count) / took.Seconds(), err
}
