package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

const (
	handTimeout  = 5 * time.Second // most that handing rights on may take
	leaveTimeout = 5 * time.Second
	restTimeout  = 2 * time.Second
	wardsTimeout = 10 * time.Second // most that wards are waited for, which name other guardians
)

// drain ends the node's work: no new calls, those in flight end and settle, rights and seats go to a peer,
// the pool is told. What could not be handed on stays on disk, and is handed on when the node comes back.
func (n *Node) drain() {
	n.draining.Store(true)
	n.engine.Drain()
	if n.rls != nil {
		n.rls.Drain()
	}
	n.events.End()
	_ = n.look(func(ledger.Instant) { n.retag() })
	n.log.Info().Msg("draining: calls in flight end, new ones are refused")
	ctx, cancel := context.WithTimeout(context.Background(), n.opts.Drain)
	defer cancel()
	if err := n.proxy.Drain(ctx); err != nil {
		n.log.Warn().Msg("calls through the proxy were cut: they took longer than --drain")
	}
	n.until(ctx, n.looks, func(ledger.Instant) bool {
		_, active := n.engine.Counts()
		return active == 0 && n.waiting.Load() == 0
	})
	if n.rls != nil {
		n.rls.Flush() // nobody gives back any more what is held for that
	}
	if _, active := n.engine.Counts(); active > 0 {
		n.log.Warn().Int("reservations", active).Msg("not settled in time: they stay charged in full")
	}
	leaving := n.handOn()
	n.rest()
	n.letWardsGo()
	if leaving {
		n.release()
	}
	ctx, cancel = context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := n.pool.Leave(ctx); err != nil {
		n.log.Warn().Err(err).Msg("leaving the pool")
	}
}

// rest writes down what was really spent, so that the next start need not count the marks as spent.
func (n *Node) rest() {
	ctx, cancel := context.WithTimeout(context.Background(), restTimeout)
	defer cancel()
	written := make(chan error, 1)
	if !n.until(ctx, n.inputs, func(ledger.Instant) bool {
		if !n.replica.Rest() {
			return false
		}
		n.lastOutcomes()
		n.after = append(n.after, func(err error) { written <- err })
		return true
	}) {
		n.log.Warn().Msg("what was spent could not be written: the next start counts a little more as spent")
		return
	}
	var err error
	select {
	case err = <-written:
	case <-ctx.Done():
		err = ctx.Err()
	case <-n.stopped:
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("what was spent could not be written: the next start counts a little more as spent")
	}
}

// until asks the loop, tick by tick, whether something is so; by inputs if that changes the replica.
func (n *Node) until(ctx context.Context, ch chan<- op, so func(now ledger.Instant) bool) (is bool) {
	again(ctx, time.Duration(core.TickEvery)*time.Millisecond, func() bool {
		yes := make(chan bool, 1)
		if n.run(ctx, ch, func(now ledger.Instant) { yes <- so(now) }) != nil {
			return true
		}
		is = <-yes
		return is
	})
	return is
}

// again does something at once and every so often until it is done; false: the context ended before.
func again(ctx context.Context, every time.Duration, done func() bool) bool {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// letWardsGo waits until those whom this node guards, and who would be left without a majority of their guardians, have
// moved on to other ones.
func (n *Node) letWardsGo() {
	ctx, cancel := context.WithTimeout(context.Background(), wardsTimeout)
	defer cancel()
	wards := 0
	if !n.until(ctx, n.looks, func(ledger.Instant) bool {
		wards = n.replica.WardsToMove()
		return wards == 0
	}) {
		n.log.Warn().Int("wards", wards).Msg("leaving wards behind that have no majority of guardians now: their hard budgets may wait until one of those returns")
	}
}

// release gives this generation's lease up, once guardians hold what was handed on or cannot be waited for any longer: what
// is left of it is claimed at once, and a start on this directory goes on as the next generation.
func (n *Node) release() {
	ctx, cancel := context.WithTimeout(context.Background(), restTimeout)
	defer cancel()
	if !n.until(ctx, n.looks, func(ledger.Instant) bool { return n.replica.Noted() }) {
		n.log.Warn().Msg("the guardians have not confirmed the last state of this node: what they do not know of stays with it")
	}
	told := make(chan error, 1)
	err := n.ask(ctx, func(ledger.Instant) {
		n.released = true
		n.replica.Release()
		n.after = append(n.after, func(err error) { told <- err })
	})
	if err == nil {
		select {
		case err = <-told:
		case <-n.stopped:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		n.log.Warn().Err(err).Msg("the lease was not given up: what is left comes back when it is over")
	}
}

// handOn gives rights, shares and seats to the nearest live peer, and waits until it has them durably. It reports whether somebody stays
// who has, or will have, what was this node's.
func (n *Node) handOn() bool {
	if n.begun() != nil {
		return false // what it holds may be another process's: the directory keeps it
	}
	ctx, cancel := context.WithTimeout(context.Background(), handTimeout)
	defer cancel()
	h := handing{
		heir: n.heir,
		leave: func(to ledger.Holder) error {
			left := make(chan error, 1)
			if err := n.ask(ctx, func(now ledger.Instant) {
				n.meet(now)
				left <- n.replica.Leave(now, to)
			}); err != nil {
				return err
			}
			return <-left
		},
		handed: func(to ledger.Holder) bool {
			return n.until(ctx, n.looks, func(ledger.Instant) bool { return n.replica.Handed() || !n.stays(to) }) && n.handed()
		},
		over:  func() bool { return ctx.Err() != nil },
		stays: n.stays,
	}
	to, how, err := h.on()
	switch how {
	case toNobody:
		n.log.Info().Msg("no live peer to hand rights on to: they stay with this data directory")
	case notBegun:
		n.log.Warn().Err(err).Msg("rights were not handed on: they stay with this data directory")
	case handedOn:
		n.log.Info().Stringer("to", to).Msg("rights handed on")
		return true
	case notConfirmed, lastLeaves:
		n.log.Warn().Stringer("to", to).Msg("the peer has not confirmed all rights: they are told again when this node comes back")
	}
	return how == notConfirmed
}

func (n *Node) handed() (yes bool) {
	_ = n.look(func(ledger.Instant) { yes = n.replica.Handed() })
	return yes
}

// heir chooses whom to hand rights on to.
func (n *Node) heir() (to ledger.Holder, ok bool) {
	var charter string
	_ = n.look(func(ledger.Instant) { charter = n.charterTag() })
	best := time.Duration(1 << 62)
	for _, m := range n.pool.Members() {
		if !m.Self && staying(m) && !stranger(&m, charter) && n.isPeer(&m) && m.RTT < best {
			to, best, ok = holderOf(m), m.RTT, true
		}
	}
	return to, ok
}

// stays reports whether a peer is alive and not about to leave.
func (n *Node) stays(h ledger.Holder) bool {
	for _, m := range n.pool.Members() {
		if holderOf(m) == h {
			return staying(m)
		}
	}
	return false
}

func staying(m gossip.Member) bool {
	return m.Status == gossip.Alive && m.Tags[tagDraining] == "" && holderOf(m).Gen != 0
}

// Reload reads again what may change while the node runs: the policy file, and the providers' keys. An error
// names what was wrong; all else was taken over.
func (n *Node) Reload(ctx context.Context) error {
	var errs []error
	if ups, err := n.opts.upstreams(); err != nil {
		errs = append(errs, err)
	} else if err := n.proxy.Reload(ups); err != nil {
		errs = append(errs, err)
	} else {
		n.engine.SetReach(reachOf(ups))
	}
	if p, by, err := n.givenPolicy(); p != nil || err != nil {
		switch {
		case err != nil:
			errs = append(errs, err)
		case p.Hash() == n.policy.Load().policy.Hash():
		default:
			if err := n.wait(ctx, func(_ ledger.Instant, done func(error)) {
				e, err := n.fileWord(by, p, time.Now())
				if e == nil {
					done(err)
					return
				}
				n.learn(telling{entries: []rollout.Entry{*e}}, &adopted{policy: p, by: by, since: time.Now()}, done)
			}); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", by, err))
			}
		}
	}
	return errors.Join(errs...)
}

// mintError sorts the ledger's refusals of a top-up by whose fault they are.
func mintError(err error) error {
	for _, e := range []error{ledger.ErrTooMuch, ledger.ErrNoTopUp, ledger.ErrUnknown} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", admit.ErrInvalid, err)
		}
	}
	return fmt.Errorf("%w: %w", api.ErrNotReady, err)
}
