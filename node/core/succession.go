package core

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Start makes the replica of a data directory that holds records, by a clock of leases that says elapsed (see
// [ledger.Replica.Elapsed]). c.Self is the node in the generation with which the directory began, which is also what names the
// directory; the generation that lives in it now is named by its records. If that one was claimed, the next is started
// in its place. ws are the writes that make it so: they must be durable, in one transaction, before the replica takes any
// input; there are none as a rule.
//
// Drivers call it when the process starts, and when [Core.Over] says that a generation has ended, with before the replica of
// that one; nil at the start of a process. An error names a record that cannot be read: the directory must not be used then.
func Start(now ledger.Instant, elapsed time.Duration, c ledger.Config, g ledger.Guards, records []ledger.Write, before *ledger.Replica) (
	r *ledger.Replica, ws []ledger.Write, err error) {
	c.Directory = c.Self.Gen
	for {
		if c.Self.Gen, err = ledger.Generation(records, c.Directory); err != nil {
			return nil, nil, err
		}
		r = ledger.NewReplica(c)
		r.Elapsed(elapsed)
		r.SetGuards(now, g)
		if err := r.Load(now, records); err != nil {
			return nil, nil, err
		}
		heir, over := r.Retired()
		if !over {
			if before != nil {
				r.Follow(before)
			}
			return r, ws, nil
		}
		next := c.Self.Gen + 1
		if heir.Node == c.Self.Node {
			next = max(next, heir.Gen)
		}
		more := ledger.Succeed(records, next)
		ws = append(ws, more...)
		records = apply(records, more)
	}
}

// apply returns what records are after writes to them, one for each key.
func apply(records, ws []ledger.Write) []ledger.Write {
	at := make(map[string]int, len(ws))
	for i := range ws {
		at[ws[i].Key] = i
	}
	var rs []ledger.Write
	for _, r := range records {
		if _, changes := at[r.Key]; !changes {
			rs = append(rs, r)
		}
	}
	for _, w := range ws {
		if w.Value != nil {
			rs = append(rs, w)
		}
	}
	return rs
}

// Over reports whether this generation was claimed, so that the node goes on as another one: its replica does nothing any
// more, and calls that wait wait for the next. A driver looks after every Commit; if so, it reads the records of its
// directory, calls Start, makes its writes durable and calls Succeed. If the disk fails it tries again with a later tick.
func (c *Core) Over() bool {
	_, over := c.Replica.Retired()
	return over && !c.writing
}

// Succeed goes on with the replica of the next generation, which Start made. Calls that wait are served by it; what calls
// have reserved was spent by the one before, and is what they are charged.
func (c *Core) Succeed(now ledger.Instant, next *ledger.Replica) {
	if c.writing {
		panic("BUG: a generation is succeeded while its batch is written")
	}
	c.Replica, c.failed, c.needs = next, false, needs{}
	c.Engine.Succeed(now)
}
