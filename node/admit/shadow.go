package admit

import (
	"maps"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// While a candidate is looked at as a shadow, decisions leave a copy of what they saw, and somebody compares it with what the candidate would
// have decided, off the path of calls. What is left beyond a bound is not compared, and counted.

// maxShadowed bounds the copies of one shard.
const maxShadowed = 32

// Shadowed is a decision of the stable revision, as a shadow is compared with. It is only valid in the call that it is given to.
type Shadowed struct {
	ID      string
	At      ledger.Instant
	Call    policy.Call // as it came
	Fixed   bool        // it could not be made cheaper
	Verdict Verdict
	Code    string
	Short   *Shortage
	Level   int
	Plan    *policy.Plan // that it was decided by at last; nil if it was refused before it was matched
	Came    *policy.Plan // that it came with
	Advice  *Advice
	Low     bool // it was made cheaper because little was left, not instead of a refusal
	Draws   []ShadowedDraw
	Forward bool // this node was to send it to an upstream
	// Upstream is the one to which it went, or by whose budgets it was refused; "" for none.
	Upstream string
}

// ShadowedDraw is what it drew on one instance, or would have drawn.
type ShadowedDraw struct {
	Draw   *policy.Draw
	Amount ledger.Tokens
	Price  policy.PPM
	Left   int64         // of the limit, in parts per million, as far as the node knew
	Room   ledger.Tokens // that was left in the swarm before it; -1 if the node does not know
}

// shadowed is the copy.
type shadowed struct {
	id      ID
	at      ledger.Instant
	call    policy.Call
	fixed   bool
	verdict Verdict
	code    string
	short   *Shortage
	level   int
	bound   *bound
	forward bool
	to      string // upstream
	n       int
	amounts [inline]ledger.Tokens
	prices  [inline]policy.PPM
	left    [inline]int64
	room    [inline]ledger.Tokens
}

// SetShadow has decisions leave copies of what they saw, or leave none. Safe for concurrent use.
func (e *Engine) SetShadow(on bool) { e.shadow.Store(on) }

// leaveShadow leaves a copy. takes are nil for a refusal. The shard is locked. Calls that draw on more than inline instances are not compared.
func (e *Engine) leaveShadow(s *shard, id ID, rec *record, r *Request, b *bound, takes []ledger.Take, prices []policy.PPM) {
	if len(s.shadowed) >= maxShadowed || b != nil && len(b.takes) > inline {
		s.unshadowed++
		return
	}
	x := shadowed{id: id, at: rec.at, call: r.Call, fixed: r.AsIs, verdict: rec.verdict, code: CodeOK, level: int(rec.flags / flagLevel % 4), bound: b, forward: r.Forward, to: rec.note.upstream()}
	// Whoever made the call may use these again.
	if len(x.call.Tokens) > 0 {
		x.call.Tokens = slices.Clone(x.call.Tokens)
	}
	if len(x.call.Data) > 0 {
		x.call.Data = slices.Clone(x.call.Data)
	}
	if len(x.call.Attributes) > 0 {
		x.call.Attributes = maps.Clone(x.call.Attributes)
	}
	if rec.state == Refused {
		x.code, x.short = rec.note.no.code, rec.note.no.short
	}
	if b != nil {
		if b.root != nil {
			x.to = b.plan.Route.Upstreams[0].Name
		}
		x.n = len(b.takes)
		for j := range b.takes {
			t := &b.takes[j]
			if x.room[j] = -1; t.gate.most.Load() > 0 {
				x.room[j] = t.account.Rights(rec.at) + ledger.Tokens(t.gate.others.Load())
			}
			if x.left[j] = t.gate.left.Load(); takes != nil {
				x.amounts[j], x.prices[j] = takes[j].Amount, prices[j]
				if x.room[j] >= 0 {
					x.room[j] += takes[j].Amount
				}
			} else {
				x.prices[j] = t.price()
			}
		}
	}
	s.shadowed = append(s.shadowed, x)
}

// Shadows gives fn the copies that were left since it was last called, and returns how many decisions left none because there was no room. One
// goroutine at a time may call it; calls are decided meanwhile.
func (e *Engine) Shadows(fn func(*Shadowed)) (dropped int) {
	var v Shadowed
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		taken := s.shadowed
		s.shadowed = e.shadows[:0]
		dropped += s.unshadowed
		s.unshadowed = 0
		s.mu.Unlock()
		for i := range taken {
			x := &taken[i]
			v = Shadowed{
				ID: e.Format(x.id), At: x.at, Call: x.call, Fixed: x.fixed, Verdict: x.verdict, Code: x.code, Short: x.short, Level: x.level, Draws: v.Draws[:0],
				Forward: x.forward, Upstream: x.to,
			}
			if b := x.bound; b != nil {
				v.Plan, v.Came, v.Advice = b.whole().plan, b.came(), b.advice()
				v.Low = b.cheaper != nil && b.cheaper.by.Below > 0
				for j := range x.n {
					d := ShadowedDraw{Draw: b.takes[j].draw, Amount: x.amounts[j], Price: x.prices[j], Left: x.left[j], Room: x.room[j]}
					if !x.verdict.Admitted() { // what it would have drawn
						call := x.call
						if a := b.experiment; a != nil {
							a.arm.Apply(&call)
						}
						d.Amount, _, _ = d.Draw.AmountAt(&call, d.Price)
					}
					v.Draws = append(v.Draws, d)
				}
			}
			fn(&v)
		}
		clear(taken) // it must not keep what it pointed to
		e.shadows = taken[:0]
	}
	return dropped
}
