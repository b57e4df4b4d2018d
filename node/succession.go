package node

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/node/store"
)

// One generation of this node follows another: when the process starts on the directory of one that was claimed, and when
// one is claimed while it runs.

// ledgerConfig is what makes a replica of this directory.
func (n *Node) ledgerConfig() ledger.Config {
	return ledger.Config{
		Self: ledger.Holder{Node: n.opts.Name, Gen: n.dir}, Strategy: placement.Strategy{}, Rand: newRand(), Resolve: n.resolve,
		Bytes: core.MessageBytes(int64(n.opts.GossipBytesPerSecond)), Zone: n.opts.Zone, Host: n.opts.Host,
	}
}

// records reads what the ledger has on disk.
func (n *Node) records() (records []ledger.Write, err error) {
	for _, b := range []store.Bucket{store.Seats, store.Accounts, store.Guards} {
		if err := n.store.Each(b, func(key string, value []byte) error {
			records = append(records, ledger.Write{Key: key, Value: value})
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// loadLedger makes the replica of what is on disk.
func (n *Node) loadLedger() error {
	records, err := n.records()
	if err != nil {
		return err
	}
	unread := func(err error) error {
		return &OptionError{"data", fmt.Errorf("the data directory %s holds a record that this version cannot read: %w", n.opts.Data, err),
			"start the version that wrote it; an empty directory starts a new generation without rights"}
	}
	for _, w := range records {
		if w.Key == "charter" { // accounts are read by it
			c, err := ledger.DecodeCharter(w.Value)
			if err != nil {
				return unread(err)
			}
			n.charter = c.ID
		}
	}
	now := n.now()
	r, ws, err := core.Start(now, n.boot(), n.ledgerConfig(), n.policy.Load().policy.Guards(), records, nil)
	if err != nil {
		return unread(err)
	}
	if len(ws) > 0 {
		if err := n.write(inBuckets(nil, ws)); err != nil {
			return err
		}
		n.log.Warn().Stringer("holder", r.Self()).
			Msg("the generation that this data directory held was given up while the node was away: its rights are with its heir, and this one begins without")
	}
	self := r.Self()
	n.holder.Store(&self)
	n.replica, n.core = r, core.Core{Replica: r, Engine: n.engine}
	if n.signed.unsure = len(r.Instances()) > 0; !n.signed.unsure {
		n.starting.goOn() // an empty one has nothing to lose
	}
	if c := r.Charter(); !c.ID.IsZero() {
		n.log.Info().Stringer("charter", c.ID).Stringer("holder", self).Int("accounts", len(r.Instances())).Msg("data directory loaded")
	} else if n.opts.foundsAlone() {
		return n.foundAlone()
	}
	return nil
}

// followPause is how long, in ms, a disk that did not take the next generation is left alone.
const followPause = 1000

// follow looks whether this generation was claimed, and if so begins the next one: what was its own is taken off the disk,
// in one write, which the loop does not wait for. Until then the replica takes no input, and calls wait.
func (n *Node) follow(now ledger.Instant) {
	if n.next != nil || n.released || !n.core.Over() || now < n.followAt && n.followAt <= now+followPause {
		return
	}
	records, err := n.records()
	if err == nil {
		var ws []ledger.Write
		n.next, ws, err = core.Start(now, n.boot(), n.ledgerConfig(), n.policy.Load().policy.Guards(), records, n.replica)
		n.nextWrites = inBuckets(nil, ws)
	}
	if err != nil {
		n.next = nil
		n.broken(err)
		n.followAt = now + followPause
		return
	}
	n.since, n.saidSlow = time.Now(), false
	if write, ws := n.write, n.nextWrites; n.store.IsDurable() {
		go func() { n.following <- write(ws) }()
		return
	}
	n.succeed(now, n.write(n.nextWrites))
}

// succeed goes on as the next generation, once that is durable.
func (n *Node) succeed(now ledger.Instant, err error) {
	next := n.next
	n.next, n.nextWrites = nil, nil
	if err != nil {
		n.diskFailed(err)
		n.followAt = now + followPause
		return
	}
	n.diskWorks(true)
	before := n.replica
	heir, _ := before.Retired()
	was, self := n.self(), next.Self()
	n.holder.Store(&self)
	n.replica, n.guarded, n.unheld = next, false, 0
	n.core.Succeed(now, next)
	if before.Left() {
		n.log.Info().Stringer("was", was).Stringer("holder", self).Msg("having left in order, this node goes on as its next generation")
	} else if heir.Node == self.Node {
		n.log.Warn().Stringer("was", was).Stringer("holder", self).Msg("a guardian was lost, or took no more notes: this node goes on as its next generation, with all that it had not reserved")
	} else {
		n.log.Warn().Stringer("was", was).Stringer("holder", self).Stringer("heir", heir).Msg("this node was given up by its guardians while they had no word of it: its rights are with the heir, " +
			"and it goes on as its next generation, which asks for some")
	}
	n.retag()
	n.meet(now)
	n.found(now)
}

// unheldAfter is how long, in ms, guardians may take to confirm what is durable until callers who wait for it are told.
const unheldAfter = 2000

// watchGuards says who guards this generation, once, and keeps in mind for how long they have not answered: calls that need
// what guardians must hold first are told so.
func (n *Node) watchGuards(now ledger.Instant) {
	set := n.replica.Guardians()
	if len(set) > 0 && !n.guarded {
		n.guarded = true
		n.log.Info().Stringer("holder", n.self()).Stringers("guardians", stringers(set)).Msg("guardians keep copies of what this node holds")
	}
	switch noted := n.replica.Noted(); {
	case noted:
		n.unheld = 0
		n.engine.SetUnheld("")
	case n.unheld == 0 || n.unheld > now:
		n.unheld = now
	case now >= n.unheld+unheldAfter:
		n.engine.SetUnheld(fmt.Sprintf("fewer than %d of this node's %d guardians answer", len(set)/2+1, len(set)))
	}
}

func stringers(hs []ledger.Holder) (list []fmt.Stringer) {
	for _, h := range hs {
		list = append(list, h)
	}
	return list
}
