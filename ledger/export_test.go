package ledger

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// What the tests of this package look at from outside it.

var (
	DecodeState = decodeState
	DecodeEntry = decodeEntry
	EncodeState = encodeState
	EncodeEntry = encodeEntry
	GuardWrite  = guardWrite
)

// DecodeVersion reads the record of versions that may be used.
func DecodeVersion(b []byte) uint64 {
	v, err := decodeVersion(b)
	if err != nil {
		panic(err)
	}
	return v
}

// Sent is the row that peers were sent last.
func (r *Replica) Sent(id InstanceID) (Row, bool) {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return Row{}, false
	}
	return in.sent, true
}

// CheckSums says what is wrong with what rows are said to come to.
func (r *Replica) CheckSums(now Instant, id InstanceID) error {
	in, ok := r.instances[id]
	if !ok {
		return nil
	}
	if s := in.sums; s.known && s.places == r.places {
		if all := r.addUp(in, s.window); s.rowSums != all {
			return fmt.Errorf("the rows of %s come to %+v, not to %+v", id, all, s.rowSums)
		}
	}
	r.Outlook(now, id, 1) // from now on they are kept
	return nil
}

// UsedUnderSeat reports whether genesis ran here under the seat.
func (r *Replica) UsedUnderSeat(seat int, id InstanceID) bool {
	_, used := r.seats.used[seat][hashID(id)]
	return used
}

// SeatPart is what a seat brings.
func (c *Charter) SeatPart(i int) Shares { return c.seatShares(i) }

const (
	KeyAccount = keyAccount
	KeyEntry   = keyEntry
	KeyVersion = keyVersion
)

// SetPart has messages about guarding carry so many bytes of records.
func (r *Replica) SetPart(bytes int) { r.guard.SetPart(bytes) }

// Allow bounds what messages to single peers may cost from now on.
func (r *Replica) Allow(bytes int64) { r.cfg.Bytes = bytes }

// Lost is what lacks between two moments before a rate is whole again.
func Lost(f Feedback, from, to Millis) uint64 { return f.lost(from, to) }

// ReadFinal reads what a claim would of a generation's records.
func ReadFinal(of Holder, records []guardian.Record, seats int) {
	readFinal(of, of, true, records, seats)
}
