package judge

import (
	"maps"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Pair is an account's record with one peer.
type Pair struct {
	Peer ledger.Holder
	ledger.Entry
}

// find returns the record with a peer, all zero if there is none.
func find(ps []Pair, peer ledger.Holder) *Pair {
	for i := range ps {
		if ps[i].Peer == peer {
			return &ps[i]
		}
	}
	return &Pair{Peer: peer}
}

// Disk is a node's disk in a simulation: it keeps what a replica writes and sees to it that what only grows does.
type Disk struct {
	self     ledger.Holder
	records  map[string][]byte
	accounts map[ledger.InstanceID]*ledger.State // never written to
	entries  map[ledger.InstanceID][]Pair        // sorted by peer
	dues     map[ledger.InstanceID][]Due
	seats    Seats // of all that are on it
	version  uint64
	guards   *Guards
}

// NewDisk is an empty disk of self.
func NewDisk(self ledger.Holder) *Disk {
	return &Disk{self, map[string][]byte{}, map[ledger.InstanceID]*ledger.State{}, map[ledger.InstanceID][]Pair{}, map[ledger.InstanceID][]Due{}, Seats{}, 0, NewGuards(self)}
}

// Clone is a disk of its own with the same records.
func (d *Disk) Clone() *Disk {
	c := &Disk{d.self, maps.Clone(d.records), maps.Clone(d.accounts), make(map[ledger.InstanceID][]Pair, len(d.entries)), maps.Clone(d.dues), maps.Clone(d.seats), d.version, d.guards.Clone()}
	for id, ps := range d.entries {
		c.entries[id] = slices.Clone(ps)
	}
	return c
}

// Records lists what is on it, in order of keys.
func (d *Disk) Records() []ledger.Write {
	ws := make([]ledger.Write, 0, len(d.records))
	for _, k := range slices.Sorted(maps.Keys(d.records)) {
		ws = append(ws, ledger.Write{Key: k, Value: d.records[k]})
	}
	return ws
}

// Account is the account on it, nil if there is none. It must not be written to.
func (d *Disk) Account(id ledger.InstanceID) *ledger.State { return d.accounts[id] }

// Pairs lists the pairwise records of an instance in order of peers. They must not be written to.
func (d *Disk) Pairs(id ledger.InstanceID) []Pair { return d.entries[id] }

// Guards is what is on it about guarding.
func (d *Disk) Guards() *Guards { return d.guards }

// Dues lists what this node was credited as an heir. They must not be written to.
func (d *Disk) Dues(id ledger.InstanceID) []Due { return d.dues[id] }

// Version is the highest version that a row of this node may carry.
func (d *Disk) Version() uint64 { return d.version }

// Write makes one transaction durable.
func (d *Disk) Write(ws []ledger.Write) error {
	for _, w := range ws {
		rec, err := ledger.Inspect(w)
		if err != nil {
			return broken(Readable, "%v: %v", d.self, err)
		}
		if g, ok, err := ledger.ReadGuard(w); err != nil {
			return broken(Readable, "%v: %v", d.self, err)
		} else if ok {
			if err := d.guards.Write(g); err != nil {
				return err
			}
		}
		switch {
		case rec.Account != nil:
			err = d.account(rec.Instance, rec.Account)
		case rec.Dropped != "":
			if _, _, mortal := rec.Dropped.Life(); !mortal {
				err = broken(ForgottenOnce, "%v drops %s, which has no end", d.self, rec.Dropped)
			}
			delete(d.accounts, rec.Dropped)
			delete(d.entries, rec.Dropped)
			delete(d.dues, rec.Dropped)
		case rec.Entry != nil:
			err = d.entry(rec.Instance, rec.Peer, rec.Entry)
		case rec.Due != nil:
			err = d.due(rec.Instance, Due{From: rec.From, To: rec.To, Due: *rec.Due})
		case rec.Seat != nil:
			if before := d.seats[rec.Seat.Index]; rec.Seat.Serial < before {
				err = broken(Monotone, "the serial of seat %d goes from %d to %d at %v", rec.Seat.Index, before, rec.Seat.Serial, d.self)
			}
			d.seats[rec.Seat.Index] = rec.Seat.Serial
		case rec.Version > 0:
			if rec.Version < d.version {
				err = broken(Monotone, "the versions that %v may use go from %d to %d", d.self, d.version, rec.Version)
			}
			d.version = rec.Version
		}
		if err != nil {
			return err
		}
		if w.Value == nil {
			delete(d.records, w.Key)
		} else {
			d.records[w.Key] = w.Value
		}
	}
	return nil
}

func (d *Disk) account(id ledger.InstanceID, b *ledger.State) error {
	if b.Balance() < 0 && b.Mark < b.Spent+b.Reserved {
		return broken(BalancePositive, "%v writes an account of %s with a balance of %d: %+v", d.self, id, b.Balance(), *b)
	}
	a := d.accounts[id]
	d.accounts[id] = b
	if a != nil && (b.Genesis < a.Genesis || b.SharesIn < a.SharesIn || b.SharesOut < a.SharesOut || b.Window < a.Window ||
		b.ArrivingFirst < a.ArrivingFirst || b.Window == a.Window && (b.In < a.In || b.Out < a.Out || b.Cut < a.Cut)) {
		return broken(Monotone, "the account of %v in %s goes from\n%+v to\n%+v", d.self, id, *a, *b)
	}
	return nil
}

func (d *Disk) due(id ledger.InstanceID, b Due) error {
	for _, a := range d.dues[id] {
		if a.From == b.From && a.To == b.To {
			if a != b {
				return broken(CreditedOnce, "%v, in %s: %+v becomes %+v", d.self, id, a, b)
			}
			return nil
		}
	}
	d.dues[id] = append(slices.Clone(d.dues[id]), b)
	return nil
}

func (d *Disk) entry(id ledger.InstanceID, peer ledger.Holder, b *ledger.Entry) error {
	ps := d.entries[id]
	i, ok := slices.BinarySearchFunc(ps, peer, func(p Pair, h ledger.Holder) int { return p.Peer.Compare(h) })
	if !ok {
		d.entries[id] = slices.Insert(slices.Clone(ps), i, Pair{peer, *b})
		return nil
	}
	a := ps[i].Entry
	d.entries[id] = slices.Clone(ps)
	d.entries[id][i].Entry = *b
	if a.Closed && (!b.Closed || a.SharesBack != b.SharesBack) {
		return broken(CreditedOnce, "the entry of %v with %v in %s goes from\n%+v to\n%+v", d.self, peer, id, a, *b)
	}
	if b.SharesIn < a.SharesIn || b.SharesOut < a.SharesOut || b.Window < a.Window || b.AckedShares < a.AckedShares ||
		b.First < a.First && b.AckedShares < a.SharesOut || // what is on the way counts from the latest window told
		b.Window == a.Window && (b.In < a.In || b.Out < a.Out || b.AckedOut < a.AckedOut) {
		return broken(Monotone, "the entry of %v with %v in %s goes from\n%+v to\n%+v", d.self, peer, id, a, *b)
	}
	return nil
}

// Told checks that what a message tells is on this disk, its sender's.
func (d *Disk) Told(msg any) error {
	switch m := msg.(type) {
	case *ledger.Transfer:
		e := find(d.entries[m.Instance], m.To)
		if m.SharesOut > e.SharesOut || m.Out > 0 && (e.Window < m.Window || e.Window == m.Window && m.Out > e.Out) {
			return broken(DurableFirst, "%v tells %+v and has %+v on disk", d.self, *m, e.Entry)
		}
	case *ledger.Ack:
		e := find(d.entries[m.Instance], m.To)
		s := d.accounts[m.Instance]
		if m.SharesIn > e.SharesIn || s == nil ||
			m.In > 0 && (m.Window > s.Window || m.Window == s.Window && (e.Window != m.Window || m.In > e.In)) {
			return broken(DurableFirst, "%v acknowledges %+v and has %+v on disk", d.self, *m, e.Entry)
		}
	case *ledger.SeatAck:
		if d.seats[m.Index] < m.Serial {
			return broken(DurableFirst, "%v acknowledges seat %d with serial %d, on disk is %d", d.self, m.Index, m.Serial, d.seats[m.Index])
		}
	case *ledger.SeatPass:
		if d.seats[m.Seat.Index] < m.Seat.Serial {
			return broken(DurableFirst, "%v passes seat %d on with serial %d, on disk is %d", d.self, m.Seat.Index, m.Seat.Serial, d.seats[m.Seat.Index])
		}
	case []ledger.Row:
		for i := range m {
			if m[i].Holder == d.self && m[i].Version > d.version {
				return broken(DurableFirst, "%v sends a row of version %d, on disk is %d", d.self, m[i].Version, d.version)
			}
		}
	case *ledger.Digest:
		for _, h := range m.Holders {
			if h.Holder == d.self && h.Highest > d.version {
				return broken(DurableFirst, "%v tells of its row of version %d, on disk is %d", d.self, h.Highest, d.version)
			}
		}
	}
	return d.guards.Told(msg)
}

// Spread checks a row that this node sends about itself: its version is new, and was durable before.
func (d *Disk) Spread(row *ledger.Row, highest uint64) error {
	if row.Version <= highest {
		return broken(Monotone, "%v sends a row of version %d after %d", d.self, row.Version, highest)
	}
	if row.Version > d.version {
		return broken(DurableFirst, "%v sends a row of version %d, on disk is %d", d.self, row.Version, d.version)
	}
	return nil
}
