package judge

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Seats are the serials that a generation has told of founders' seats which it took or passed on, by index: the highest of each.
// Others forget the seat for it, so a claim must find no less.
type Seats map[int]uint64

// Tell takes over what a message of self tells.
func (s Seats) Tell(self ledger.Holder, msg any) {
	tell := func(i int, serial uint64) { s[i] = max(s[i], serial) }
	switch m := msg.(type) {
	case *ledger.SeatAck:
		tell(m.Index, m.Serial)
	case *ledger.SeatPass:
		tell(m.Seat.Index, m.Seat.Serial)
	case *ledger.Digest:
		for _, x := range m.Seats {
			if x.Holder == self {
				tell(x.Index, x.Serial)
			}
		}
	}
}

// In checks that records show them.
func (s Seats) In(self ledger.Holder, records []guardian.Record) error {
	shown := Seats{}
	for _, r := range records {
		rec, err := ledger.Inspect(ledger.Write(r))
		if err != nil {
			return broken(Readable, "the records of %v: %v", self, err)
		}
		if rec.Seat != nil {
			shown[rec.Seat.Index] = rec.Seat.Serial
		}
	}
	for i, serial := range s {
		if shown[i] < serial {
			return broken(ToldIsHeld, "%v has told of seat %d with serial %d; a claim would find serial %d", self, i, serial, shown[i])
		}
	}
	return nil
}
