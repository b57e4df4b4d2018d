package admit

import (
	"errors"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Succeed says that the node goes on as another generation, whose replica has other accounts; the next Offer and Pump
// come with that one. Calls that wait go on waiting, in the order in which they came and by the plans that they came
// with, and are served from the new accounts. Reservations stay what they are: the old accounts charge them as reserved
// whatever is said of them later. The owner's.
func (e *Engine) Succeed(now ledger.Instant) {
	now = e.queue.clock(now)
	again := e.startAgain(now, func(*gate) {})
	e.queue.unopened = append(again, e.queue.unopened...)
	e.Rebind()
}

// planOf returns the bound plan of a call: the one that it came with if it waits again after another generation has
// ended, unless the budgets of that plan are gone.
func (e *Engine) planOf(now ledger.Instant, l Ledger, w *Waiter) (*bound, error) {
	if w.plan != nil {
		if b, err := e.bind(now, l, w.plan, modelOf(w.plan, w.Request.Model)); err == nil || errors.Is(err, ErrLater) {
			return b, err
		}
	}
	return e.plan(now, l, w.Request)
}
