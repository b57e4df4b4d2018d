package admit

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Upstream is what a provider's answer to a call says of the provider's own limits.
type Upstream struct {
	Refused    bool          // it would not run the call now
	RetryAfter time.Duration // how long it says to wait; 0 if it does not
	// Left is the least part of any of its limits that it says is left, 0 to 1; only if Known.
	Left  float64
	Known bool
	// Latency is how long the answer took to begin; 0 if that is not said.
	Latency     time.Duration
	Unreachable bool // there was no answer, and nothing can have run
}

// Refuses reports whether an HTTP status says that the provider will not run the call now, though it might later: too many
// requests, unavailable, and Anthropic's own for overloaded.
func Refuses(status int) bool { return status == 429 || status == 503 || status == 529 }

// Lowered is a rate that was lowered for what a provider answered.
type Lowered struct {
	Instance ledger.InstanceID
	Budget   string
	Part     float64 // of the rate that is in force now, 0 to 1
}

// Feedback takes in what a provider answered to an admitted call: rates that the call draws on are lowered, in the whole
// swarm, if their policy says that they follow the provider. It returns those that fell for this. ErrUnknownID if this node
// has no such call. Safe for concurrent use.
func (e *Engine) Feedback(now ledger.Instant, id ID, u Upstream) ([]Lowered, error) {
	s, i, ok := e.find(id)
	if !ok {
		return nil, e.forgotten(id)
	}
	r := s.rec(i)
	b, at := r.bound, r.at
	if r.state == Refused {
		s.mu.Unlock()
		return nil, fmt.Errorf("%w %q: that call was refused here, so no provider has answered it", ErrUnknownID, e.Format(id))
	}
	if n := r.note; n != nil && n.to != nil {
		n.to.meter.heard(now, &u)
	}
	if u.Refused && r.outcome == nil {
		r.outcome = ending(OutcomeRefused)
	}
	s.mu.Unlock()
	var fell []Lowered
	for j := range b.takes {
		t := &b.takes[j]
		if !u.Refused && !(u.Known && u.Left*whole < float64(t.draw.Budget.Low)) {
			continue
		}
		if ppm, down := t.account.Refused(now, at, ledger.Millis(u.RetryAfter.Milliseconds())); down {
			fell = append(fell, Lowered{t.gate.id, t.draw.Budget.Name, float64(ppm) / whole})
		}
	}
	return fell, nil
}
