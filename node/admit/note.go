package admit

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// What decisions leave for the audit log. A decision is in the records anyway; beside it a note says which one is new, and
// what the record has no room for. Whoever writes the log takes the notes a few times a second, off the path of calls.

// Trace is the W3C trace context that a caller sent; the zero value is none.
type Trace struct {
	ID    [16]byte
	Span  [8]byte
	Quiet bool // the caller's tracer does not record it
}

// Auditing says what is noted, in parts per million of the calls, by their ids: so a call's decision and its end are both
// noted, or neither. The zero value notes nothing.
type Auditing struct {
	Admitted, Refused uint32
}

const (
	wholeAudit = 1_000_000
	// maxTrails bounds those of one shard. More are lost, and counted.
	maxTrails = 2 * maxPerShard
)

type trail struct {
	seq            uint64
	slot           int32
	end, used      bool // of a reservation's end; with the provider's usage
	trace          Trace
	key            string
	score          *float64
	prompt, output int64 // as the caller stated them; of an end what was used
	counted        Counted
	cached, think  int64
	left           [inline]ledger.Tokens // rights after the reservation
	data           []Datum
	was            *record // as it was admitted, of a call that has gone on to another upstream since; nil: as it is
}

// SetAuditing says what is to be noted from now on. Safe for concurrent use.
func (e *Engine) SetAuditing(a Auditing) {
	e.auditing.Store(uint64(min(a.Admitted, wholeAudit))<<32 | uint64(min(a.Refused, wholeAudit)))
}

// SetUnaudited has every call deferred for a reason, "" ends that: the policy wants no decision that the audit log misses, and it
// cannot be written. Safe for concurrent use.
func (e *Engine) SetUnaudited(why string) {
	if why == "" {
		e.unaudited.Store(nil)
		return
	}
	e.unaudited.Store(&why)
}

func (e *Engine) unauditedRefusal(now ledger.Instant, why string) refusal {
	return refusal{
		verdict: Defer, code: CodeAudit, retry: e.promise(now, &e.promises, time.Second, nodeSlot),
		reason: fmt.Sprintf("the audit log of this node cannot be written (%s), and the policy says on_full: refuse", why),
	}
}

// kept reports whether what a record decided is to be noted.
func (e *Engine) kept(r *record) bool {
	of := e.auditing.Load()
	if of == 0 {
		return false
	}
	ppm := uint32(of >> 32)
	if r.state == Refused {
		ppm = uint32(of)
	}
	if ppm >= wholeAudit || ppm == 0 {
		return ppm > 0
	}
	return uint32(((r.seq&seqMask)*0x9e3779b97f4a7c15)>>32)%wholeAudit < ppm
}

// trail makes room for what is noted of a record, nil if none is wanted. Its shard is locked.
func (e *Engine) trail(s *shard, i int32, r *record) *trail {
	if !e.kept(r) {
		return nil
	}
	if len(s.trails) >= maxTrails { // the older half is of records that others have the place of by now
		s.missed += len(s.trails) / 2
		s.trails = s.trails[:copy(s.trails, s.trails[len(s.trails)/2:])]
	}
	s.trails = append(s.trails, trail{seq: r.seq, slot: i})
	return &s.trails[len(s.trails)-1]
}

// leaveCall notes a decision on a call. Its shard is locked.
func (e *Engine) leaveCall(s *shard, i int32, rec *record, r *Request, takes []ledger.Take) {
	n := e.trail(s, i, rec)
	if n == nil {
		return
	}
	n.trace, n.key, n.prompt, n.output, n.data = r.Trace, r.Key, r.PromptTokens, r.MaxOutputTokens, r.data()
	n.counted = r.Counted
	for j := range min(len(takes), inline) {
		n.left[j] = takes[j].Left
	}
}

// copied is a record that does not change with the one that it was.
func (r *record) copied() record {
	c := *r
	if r.many != nil {
		m := *r.many
		c.many = &m
	}
	return c
}

// leaveAsItWas has the note of a call's decision, if it was not taken yet, be of the call as it was admitted: from now on it is at another upstream. Its shard is locked.
func (s *shard) leaveAsItWas(i int32, was *record) {
	for k := len(s.trails) - 1; k >= 0; k-- {
		if n := &s.trails[k]; n.slot == i && n.seq == was.seq && !n.end {
			if n.was == nil {
				n.was = was
			}
			return
		}
	}
}

// leaveEnd notes the end of a reservation. Its shard is locked.
func (e *Engine) leaveEnd(s *shard, i int32, rec *record, u *Usage) {
	n := e.trail(s, i, rec)
	if n == nil {
		return
	}
	n.end = true
	if rec.note != nil {
		n.score = rec.note.score
	}
	if u != nil {
		n.used = true
		n.prompt, n.output, n.cached, n.think = u.PromptTokens, u.CompletionTokens, u.CachedTokens, u.ReasoningTokens
	}
}

// Noted is a decision, or the end of its reservation, for the audit log. It is only valid in the call that it is given to.
type Noted struct {
	End bool

	ID                               string
	At                               ledger.Instant // of the decision
	Verdict                          Verdict
	State                            State // End
	Code, Reason                     string
	Tenant, Agent, Run, Class, Model string
	Rules                            []string
	Revision                         int64
	Arm                              string // see Answer
	Waited, RetryAfter               time.Duration
	Level                            int
	Advice                           *Advice
	Draws                            []NotedDraw
	Outcome                          string // End
	Trace                            Trace
	Key                              string // End is false: the name of the caller's key
	Prompt, MaxOutput                int64  // as the caller stated them
	Counted                          Counted
	Usage                            *Usage // End
	Data                             []Datum
	Upstream                         string     // that it was sent to
	Tried                            []Tried    // End: upstreams that did not run it, in order; not to be changed
	Shared                           []Standing // End is false: at the instances that were shared out
	Flags                            []string   // End is false
	Experiment, ExperimentArm        string
	Score                            *float64 // End
}

// NotedDraw is what one instance holds for a call, or was charged.
type NotedDraw struct {
	Instance ledger.InstanceID
	Token    string
	Amount   ledger.Tokens // reserved, or charged at the end
	Price    policy.PPM
	Left     ledger.Tokens // End is false: this node's rights after the reservation; -1: not known
	Overrun  ledger.Tokens // End
}

// Notes gives fn what was noted since it was last called, and returns how much was lost because it came too late. One
// goroutine at a time may call it; calls are decided meanwhile.
func (e *Engine) Notes(fn func(*Noted)) (lost int) {
	var v Noted
	var usage Usage
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		taken := s.trails
		s.trails = e.taking.trails[:0]
		recs := e.taking.records[:0]
		for i := range taken {
			n := &taken[i]
			r := s.rec(n.slot)
			if r.seq != n.seq { // another call has its place
				n.slot = -1
				lost++
				r = &record{}
			}
			if n.was != nil && n.slot >= 0 {
				r = n.was
			}
			recs = append(recs, r.copied())
		}
		lost += s.missed
		s.missed = 0
		s.mu.Unlock()
		for i := range taken {
			if n := &taken[i]; n.slot >= 0 {
				e.view(uint32(k), n, &recs[i], &v, &usage)
				fn(&v)
			}
		}
		clear(taken)
		clear(recs) // it must not keep what it pointed to
		e.taking.trails, e.taking.records = taken[:0], recs[:0]
		if cap(taken) > maxTrails/4 && len(taken) < maxTrails/16 {
			e.taking.trails = nil // after a storm
		}
	}
	return lost
}

// view fills in what is noted of a record.
func (e *Engine) view(sh uint32, n *trail, r *record, v *Noted, usage *Usage) {
	*v = Noted{
		End: n.end, ID: e.Format(makeID(sh, n.slot, r.seq)), At: r.at, Verdict: r.verdict, Code: CodeOK,
		Tenant: r.tenant, Agent: r.agent, Run: r.run, Model: r.model, Trace: n.trace, Key: n.key, Draws: v.Draws[:0],
		Waited: r.waitedFor(), Level: int(r.flags / flagLevel % 4),
	}
	if n.end {
		v.State, v.Score = r.state, n.score
		if r.note != nil {
			v.Tried = r.note.tried
		}
		if r.outcome != nil {
			v.Outcome = *r.outcome
		}
		if n.used {
			*usage = Usage{n.prompt, n.output, n.cached, n.think}
			v.Usage = usage
		}
	} else {
		v.Prompt, v.MaxOutput, v.Counted, v.Data = n.prompt, n.output, n.counted, n.data
		if r.note != nil {
			v.Shared = r.note.shared
		}
	}
	if r.note != nil && r.note.to != nil {
		v.Upstream = r.note.upstream()
	}
	if r.state == Refused {
		no := &r.note.no
		v.Reason, v.Code, v.RetryAfter, v.Class = no.reason, no.code, no.retry, no.class
	}
	if r.bound == nil {
		v.Revision = e.Policy().Revision()
		return
	}
	p := r.bound.plan
	v.Revision, v.Rules, v.Class, v.Arm = p.Policy.Revision(), p.Rules, p.Class.Name, r.bound.arm.name()
	v.Experiment, v.ExperimentArm = r.bound.experiment.names()
	if !n.end {
		v.Flags = r.bound.came().Flags
		if r.state != Refused {
			v.Advice = r.bound.advice()
		}
	}
	switch {
	case v.Reason != "" || n.end:
	case r.bound.cheaper != nil:
		v.Reason = r.bound.cheaper.reason()
	default:
		v.Reason = r.admitReason(v.Waited)
	}
	hs := r.held()
	for j := range hs {
		t := &r.bound.takes[j]
		d := NotedDraw{Instance: t.gate.id, Token: t.draw.Budget.Token, Amount: hs[j].reserved, Price: r.price(j), Left: -1}
		if n.end {
			d.Amount, d.Overrun, d.Price = hs[j].charged, hs[j].overrun(), 0
		} else if j < inline {
			d.Left = n.left[j]
		}
		v.Draws = append(v.Draws, d)
	}
}

// taking is what Notes keeps from one call to the next, its caller's.
type taking struct {
	trails  []trail
	records []record
}
