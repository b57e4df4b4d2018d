package ledger

// What the tests of this package look at from outside it.

var (
	DecodeState = decodeState
	DecodeEntry = decodeEntry
	EncodeState = encodeState
	EncodeEntry = encodeEntry
)

// EntryOf is an account's record of one peer.
type EntryOf struct {
	Instance InstanceID
	Peer     Holder
	Entry    Entry
}

// Entries lists the pairwise records in memory, in order.
func (r *Replica) Entries() (es []EntryOf) {
	for _, in := range r.order {
		for _, e := range in.sortedEdges() {
			es = append(es, EntryOf{in.id, e.peer, e.Entry})
		}
	}
	return es
}

// Open transfers that wait for an acknowledgement.
func (r *Replica) Unacked() (n int) {
	for _, x := range r.unacked {
		if x.e.open(x.in.account.window()) {
			n++
		}
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

// Peek is the account's state without bringing it up to any time.
func (a *Account) Peek() (s State, spec Spec, overdraft Tokens, ready bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s, a.spec, a.overdraftPart, a.ready
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
