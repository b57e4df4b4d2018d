package ledger

// What the tests of this package look at from outside it.

var (
	DecodeState = decodeState
	DecodeEntry = decodeEntry
	EncodeState = encodeState
	EncodeEntry = encodeEntry
)

// DecodeVersion reads the record of versions that may be used.
func DecodeVersion(b []byte) uint64 {
	v, err := decodeVersion(b)
	if err != nil {
		panic(err)
	}
	return v
}

// GiveShares and GiveRights are gifts that no strategy thought of.
func (r *Replica) GiveShares(now Instant, id InstanceID, to Holder, n Shares) Shares {
	in := r.instances[id]
	if in == nil || in.account == nil {
		return 0
	}
	e, _ := r.edge(in, to)
	in.account.mu.Lock()
	n = in.account.giveShares(e, n, now)
	in.account.mu.Unlock()
	if n > 0 {
		r.gave(now, in, e, 0)
	}
	return n
}

func (r *Replica) GiveRights(now Instant, id InstanceID, to Holder, n Tokens, asked Instant) Tokens {
	in := r.instances[id]
	if in == nil || in.account == nil {
		return 0
	}
	e, _ := r.edge(in, to)
	in.account.mu.Lock()
	in.account.advance(now)
	n = in.account.giveRights(e, n, asked)
	in.account.mu.Unlock()
	if n > 0 {
		r.gave(now, in, e, 0)
	}
	return n
}

// Sent is the row that peers were sent last.
func (r *Replica) Sent(id InstanceID) (Row, bool) {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return Row{}, false
	}
	return in.sent, true
}

// UsedUnderSeat reports whether genesis ran here under the seat.
func (r *Replica) UsedUnderSeat(seat int, id InstanceID) bool {
	return r.seats.used[seat] != nil && r.seats.used[seat][hashID(id)]
}

// SeatPart is what a seat brings.
func (c *Charter) SeatPart(i int) Shares { return c.seatShares(i) }

const (
	KeyAccount = keyAccount
	KeyEntry   = keyEntry
	KeyVersion = keyVersion
)
