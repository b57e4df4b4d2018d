package sim

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// What a node's clocks say, now or at another time of the world.

// wall is what the machine's wall clock says.
func (n *node) wall() ledger.Instant {
	return scenario.Epoch + ledger.Instant((n.w.now+n.wallOff)/milli)
}

// uptime is what the clock says that leases go by: it counts the time in which the process did not run.
func (n *node) uptime() time.Duration { return n.uptimeAt(n.w.now) }

func (n *node) uptimeAt(at micros) time.Duration {
	return time.Duration(at-n.booted) * time.Microsecond
}

func (n *node) elapsed() ledger.Millis { return n.elapsedAt(n.w.now) }

func (n *node) elapsedAt(at micros) ledger.Millis { return ledger.Millis((at - n.started) / milli) }

// clockNow is the node's own time.
func (n *node) clockNow() ledger.Instant { return n.clockAt(n.w.now) }

func (n *node) clockAt(at micros) ledger.Instant {
	now := n.clock.At(n.elapsedAt(at))
	n.latest = max(n.latest, now)
	if n.core.Replica != nil {
		n.core.Replica.Elapsed(n.uptimeAt(at))
	}
	return now
}
