package workload

import (
	"math/rand/v2"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// copyWithin is the time in which the copies of one recorded call are made, so that a trace that is scaled up does
// not call ten times at one instant.
const copyWithin = time.Second

// replay makes a stream's calls from a recording. What a row does not say is drawn like in other streams.
type replay struct {
	s     *stream
	rec   *Recording
	row   int           // the next
	round time.Duration // what is added to the rows' times, as recorded
	early []Call        // copies that are made later than the next row, in order of time
	homes map[string]int
}

func newReplay(s *stream, rec *Recording) *replay {
	return &replay{s: s, rec: rec, homes: map[string]int{}}
}

func (p *replay) next() (Call, bool) {
	for {
		at, ok := p.peek()
		if !ok || len(p.early) > 0 && p.early[0].At <= at {
			break
		}
		p.take(at)
	}
	for len(p.early) > 0 {
		c := p.early[0]
		p.early = p.early[1:]
		if float64(c.At) < p.s.until*1000 {
			return c, true
		}
	}
	return Call{}, false
}

// peek is when the next row is made, and false if that is too late or there is none.
func (p *replay) peek() (ledger.Millis, bool) {
	if p.row == len(p.rec.Rows) {
		if !p.s.Repeats {
			return 0, false
		}
		// The last row is followed by the first after the mean time between rows, at least a millisecond.
		span := p.rec.Rows[p.row-1].At
		p.round += span + max(span/time.Duration(max(1, p.row-1)), time.Millisecond)
		p.row = 0
	}
	speed := p.s.Speed
	if speed == 0 {
		speed = 1
	}
	at := p.s.From.Seconds() + (p.round+p.rec.Rows[p.row].At).Seconds()/speed
	return ledger.Millis(at * 1000), at < p.s.until
}

// take makes the calls of the next row.
func (p *replay) take(at ledger.Millis) {
	s, row := p.s, &p.rec.Rows[p.row]
	p.row++
	copies := 1
	if s.Scale > 0 {
		copies = int(s.Scale)
		if s.r.Float64() < s.Scale-float64(copies) {
			copies++
		}
	}
	for i := range copies {
		c := Call{At: at, Stream: s.index, Class: s.Class, Model: s.Model, Priority: s.Priority, Prompt: row.Prompt, Output: row.Output}
		if i > 0 {
			c.At += ledger.Millis(s.r.Int64N(copyWithin.Milliseconds()))
		}
		p.who(&c, row, s.r)
		s.limit(&c, s.r)
		p.insert(c)
	}
}

// who says who calls and where: the recorded node or else agent is always at one node.
func (p *replay) who(c *Call, row *Row, r *rand.Rand) {
	s := p.s
	s.who(c, r)
	if row.Tenant != "" {
		c.Tenant, c.Agent = row.Tenant, ""
	}
	if row.Agent != "" {
		c.Agent = row.Agent
	}
	if row.Class != "" {
		c.Class = row.Class
	}
	if row.Model != "" {
		c.Model = row.Model
	}
	home := "node " + row.Node
	if row.Node == "" {
		home = "agent " + row.Tenant + "/" + row.Agent
	}
	if row.Node == "" && row.Agent == "" {
		c.Node = s.nodes[r.IntN(len(s.nodes))]
		return
	}
	// The homes are dealt out in the order in which they appear, so that they are spread evenly.
	n, ok := p.homes[home]
	if !ok {
		n = len(p.homes)
		p.homes[home] = n
	}
	c.Node = s.nodes[n%len(s.nodes)]
}

// insert keeps early in order of time, and calls of one time in the order of the recording.
func (p *replay) insert(c Call) {
	i := len(p.early)
	for i > 0 && p.early[i-1].At > c.At {
		i--
	}
	p.early = append(p.early, Call{})
	copy(p.early[i+1:], p.early[i:])
	p.early[i] = c
}
