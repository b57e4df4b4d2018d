package node

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/node/store"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// op is work for the loop.
type op func(now ledger.Instant)

// meetEvery is how often, in ms, the ledger hears of round-trip times.
const meetEvery = 5_000

// opsPerBatch bounds what one write waits for.
const opsPerBatch = 512

var (
	errBusy    = errors.New("the node is busy: its queue of operations is full")
	errStopped = errors.New("the node has stopped")
)

// submit hands work to the loop without waiting for it.
func (n *Node) submit(f op) error {
	select {
	case <-n.stop:
		return errStopped
	default:
	}
	select {
	case n.inbox <- f:
		return nil
	default:
		n.metrics.Dropped(telemetry.Overflow)
		return errBusy
	}
}

// ask runs f in the loop and waits for it.
func (n *Node) ask(f op) error {
	done := make(chan struct{})
	if err := n.submit(func(now ledger.Instant) { f(now); close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-n.stopped:
		return errStopped
	}
}

// loop owns the replica: nobody else touches it. It takes what has come in, makes durable in one write what
// that changed, and only then tells anybody.
func (n *Node) loop() {
	defer close(n.stopped)
	tick := time.NewTicker(time.Duration(core.TickEvery) * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for {
		ticked := false
		select {
		case <-n.stop:
			return
		case f := <-n.inbox:
			f(n.now())
		case <-n.poke:
		case t := <-tick.C:
			ticked = true
			wall := time.Now()
			interval := ledger.Millis(t.Sub(last).Milliseconds())
			told := wall.Add(time.Duration(n.wrong.Load()))
			if step := n.clock.Follow(ledger.Instant(told.UnixMilli()), n.elapsed(wall), interval); step > 0 {
				n.log.Warn().Dur("step", time.Duration(step)*time.Millisecond).Msg("the clock stepped forward, or the machine slept")
			}
			last = t
		}
		for range opsPerBatch {
			select {
			case f := <-n.inbox:
				f(n.now())
				continue
			default:
			}
			break
		}
		now := n.now()
		if ticked {
			n.metrics.Expired(n.core.Tick(now))
			n.found(now)
			n.compare(now)
			if now >= n.met+meetEvery {
				n.meet(now) // round-trip times change without notice
			}
		}
		n.flush(now)
	}
}

// flush completes batches until nothing is left to do: each may let waiting calls run, which ask for more.
func (n *Node) flush(now ledger.Instant) {
	for range core.Rounds {
		decided, pending := n.core.Advance(now)
		n.answer(decided)
		if !pending && len(n.extra) == 0 && len(n.after) == 0 {
			return
		}
		if !n.commit(now) {
			return
		}
		now = n.now()
	}
}

// commit makes one batch durable and acts on it. false: the disk failed, and what the batch would have told
// was dropped; peers and callers will say it again.
func (n *Node) commit(now ledger.Instant) bool {
	ws := n.replica.Writes(now)
	all := make([]store.Write, 0, len(ws)+len(n.extra))
	for _, w := range ws {
		all = append(all, store.Write{Bucket: bucketOf(w.Key), Key: w.Key, Value: w.Value})
	}
	all = append(all, n.extra...)
	after := n.after
	n.after, n.extra = nil, nil
	if len(all) > 0 {
		if err := n.store.Commit(all); err != nil {
			n.replica.Abort()
			if !n.failing {
				n.log.Error().Err(err).Msg("the data directory cannot be written: nothing new is admitted beyond what is durable")
			}
			n.failing = true
			if errors.Is(err, store.ErrFailed) {
				n.broken(err)
			}
			for _, f := range after {
				f(fmt.Errorf("the data directory cannot be written: %w", err))
			}
			return false
		}
		if n.failing {
			n.log.Info().Msg("the data directory can be written again")
			n.failing = false
		}
	}
	fx := n.replica.Commit(now)
	for _, f := range after {
		f(nil)
	}
	n.do(fx)
	return true
}

// bucketOf sorts the ledger's records: accounts apart, since the first of them fixes the generation.
func bucketOf(key string) store.Bucket {
	if strings.HasPrefix(key, "account/") || strings.HasPrefix(key, "entry/") {
		return store.Accounts
	}
	return store.Seats
}

// answer tells the callers of calls that were decided.
func (n *Node) answer(ws []*admit.Waiter) {
	for _, w := range ws {
		w.Notify.(*pending).decided(w.ID, nil)
	}
}

// broken ends Run: nobody knows any more what is on disk, so only a restart, which reads it, can go on.
func (n *Node) broken(err error) {
	select {
	case n.fatal <- fmt.Errorf("the data directory is in an unknown state; start the node again: %w", err):
	default:
	}
}
