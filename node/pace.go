package node

import (
	"context"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const (
	paceTries = 10 * time.Millisecond // between looks whether rights have come
	paceAsks  = 20                    // looks from one ask of peers to the next
	paceWaits = 2 * time.Second       // without any byte until the rest is owed
)

// Pace charges bytes that a call is about to move, and waits until they may. See admit.Admitter.
func (n *Node) Pace(ctx context.Context, id string, bytes int64) bool {
	i, err := n.engine.Parse(id)
	if err != nil {
		return false
	}
	left := ledger.Tokens(bytes)
	done, lack, ok := n.engine.Pace(n.now(), i, left)
	if left -= done; !ok || left == 0 {
		return ok
	}
	tick := time.NewTicker(paceTries)
	defer tick.Stop()
	for looks, still := 0, time.Now(); ; looks++ {
		if looks%paceAsks == 0 {
			lack := lack
			_ = n.submit(n.looks, func(now ledger.Instant) { // full: it is tried again
				n.replica.Waiting(now, lack.Instance, ledger.Need{First: lack.First, All: lack.Need, Since: now, Until: now + ledger.Instant(paceWaits.Milliseconds())})
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		case <-n.stopped:
		}
		if done, lack, ok = n.engine.Pace(n.now(), i, left); !ok {
			return false
		}
		if left -= done; left == 0 {
			return true
		}
		if done > 0 {
			still = time.Now()
		}
		if ctx.Err() != nil || time.Since(still) > paceWaits || n.isStopped() {
			n.engine.Owe(n.now(), i, left)
			return true
		}
	}
}

func (n *Node) isStopped() bool {
	select {
	case <-n.stopped:
		return true
	default:
		return false
	}
}
