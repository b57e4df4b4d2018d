package workload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// New makes the Source of a configuration. It fails when a stream cannot be drawn: see Stream.Check.
func New(c Config) (Source, error) {
	m := &merge{c: c}
	if len(c.Zones) == 0 {
		return nil, errors.New("there are no nodes")
	}
	for i := range c.Streams {
		st := &c.Streams[i]
		if err := st.Check(); err != nil {
			return nil, fmt.Errorf("stream %q: %w", st.Name, err)
		}
		d, err := newStream(&c, i)
		if err != nil {
			return nil, fmt.Errorf("stream %q: %w", st.Name, err)
		}
		m.streams = append(m.streams, d)
		if !st.Skip {
			d.step()
		}
	}
	return m, nil
}

// merge is the Source: the streams' calls in order of time.
type merge struct {
	c       Config
	streams []*stream
	seq     uint64
}

func (m *merge) Next() (Call, bool) {
	var best *stream
	for _, s := range m.streams {
		if s.more && (best == nil || s.call.At < best.call.At) {
			best = s
		}
	}
	if best == nil {
		return Call{}, false
	}
	call := best.call
	best.step()
	call.Seq = m.seq
	m.seq++
	return call, true
}

func (m *merge) Follow(c *Call, at ledger.Millis, ended bool) []Call {
	if !ended || c.Depth == 0 {
		return nil
	}
	s := m.streams[c.Stream]
	r := dice(m.c.Seed, "chain", c.Seq)
	next := *c
	next.Seq, next.Depth = c.Seq+ChainStep, c.Depth-1
	next.At = at + millis(s.Think.Draw(r))
	if float64(next.At) >= s.until*1000 {
		return nil
	}
	s.sizes(&next, r)
	return []Call{next}
}

// stream draws the calls of one Stream, one ahead.
type stream struct {
	*Stream
	index  int
	seed   uint64
	r      *rand.Rand
	until  float64 // seconds
	nodes  []int   // whose callers call
	zipf   zipf
	tenant []string
	agents [][]string // by tenant
	times  *arrivals
	spot   *spot
	replay *replay
	call   Call
	more   bool
}

func newStream(c *Config, index int) (*stream, error) {
	s := &stream{Stream: &c.Streams[index], index: index, seed: c.Seed}
	s.r = dice(c.Seed, "stream "+s.Name, uint64(index))
	s.until = c.Duration.Seconds()
	if s.Until > 0 {
		s.until = min(s.until, s.Until.Seconds())
	}
	if s.nodes = s.members(c.Zones); len(s.nodes) == 0 {
		return nil, fmt.Errorf("there is no node in zone %q", s.Zone)
	}
	s.names()
	switch s.Kind {
	case Trace:
		rec := c.Traces[s.Trace]
		if rec == nil {
			return nil, fmt.Errorf("the trace %q was not read", s.Trace)
		}
		s.replay = newReplay(s, rec)
		return s, nil
	case HotSpot:
		s.spot = newSpot(s)
	}
	s.times = newArrivals(s.Stream, s.r, s.until)
	return s, nil
}

// members are the nodes whose callers make these calls.
func (s *stream) members(zones []string) []int {
	var list []int
	for i, z := range zones {
		if s.Zone == "" || s.Zone == z {
			list = append(list, i)
		}
	}
	if s.Nodes > 0 && len(list) > 0 {
		n := int(s.Nodes*float64(len(list)) + 0.5)
		list = list[:min(max(n, 1), len(list))]
	}
	return list
}

// names makes the names of tenants and agents once, so that calls share them.
func (s *stream) names() {
	n := max(1, s.Tenants)
	s.zipf = newZipf(n, s.Skew)
	for i := range n {
		name := s.Tenant
		if name == "" {
			name = DefaultTenant
		}
		if s.Tenants > 1 {
			name = fmt.Sprintf("%s-%d", name, i+1)
		}
		agents := make([]string, s.Agents)
		for a := range agents {
			agents[a] = fmt.Sprintf("%s/%d", name, a+1)
		}
		s.tenant, s.agents = append(s.tenant, name), append(s.agents, agents)
	}
}

// DefaultTenant is the tenant, or the prefix of several, of streams that name none.
const DefaultTenant = "tenant"

// step draws the next call.
func (s *stream) step() {
	if s.replay != nil {
		s.call, s.more = s.replay.next()
		return
	}
	var at float64
	if at, s.more = s.times.next(); !s.more {
		return
	}
	s.call = Call{At: ledger.Millis(at * 1000), Stream: s.index, Class: s.Class, Model: s.Model, Priority: s.Priority, Depth: s.Depth}
	if s.spot != nil {
		s.call.Node = s.spot.node(at)
	} else {
		s.call.Node = s.nodes[s.r.IntN(len(s.nodes))]
	}
	s.who(&s.call, s.r)
	s.sizes(&s.call, s.r)
}

func (s *stream) who(c *Call, r *rand.Rand) {
	t := s.zipf.draw(r)
	c.Tenant = s.tenant[t]
	if s.Agents > 0 {
		c.Agent = s.agents[t][r.IntN(s.Agents)]
	}
}

func (s *stream) sizes(c *Call, r *rand.Rand) {
	c.Prompt, c.Output = s.Prompt.Draw(r), s.Output.Draw(r)
	s.limit(c, r)
}

// limit sets what follows from the sizes.
func (s *stream) limit(c *Call, r *rand.Rand) {
	if c.Max = s.Max; c.Max == 0 {
		c.Max = Guess(c.Output)
	}
	c.Output = min(c.Output, c.Max)
	if s.Runs == (Delay{}) {
		c.Runs = millis(DefaultRuns(c.Prompt, c.Output))
	} else {
		c.Runs = millis(s.Runs.Draw(r))
	}
}

func millis(d time.Duration) ledger.Millis { return ledger.Millis(d.Milliseconds()) }

// spot is a few nodes where most calls are made, and then a few others.
type spot struct {
	s     *stream
	order []int // nodes, drawn once: each spot is the next Hot of them
}

func newSpot(s *stream) *spot {
	order := append([]int(nil), s.nodes...)
	s.r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return &spot{s, order}
}

func (p *spot) node(at float64) int {
	s := p.s
	if s.r.Float64() >= s.Part {
		return s.nodes[s.r.IntN(len(s.nodes))]
	}
	moves := 0
	if s.Period > 0 {
		moves = int(at / s.Period.Seconds())
	}
	return p.order[(moves*s.Hot+s.r.IntN(s.Hot))%len(p.order)]
}
