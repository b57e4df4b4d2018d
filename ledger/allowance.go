package ledger

import "github.com/swarmpurse/swarmpurse/ledger/guardian"

// allowance bounds what the messages to single peers cost: asks and what answers them, transfers, rows that answer
// digests. It is a bucket that holds two seconds of Config.Bytes. What must be told is told whatever it holds, and leaves
// a debt; while there is one, nothing is asked, and neither asks nor digests are answered: peers ask others, and later
// again; but asks for a guarantee are, down to a bound. So a node that many ask, or that knows much, does not cost more than the rest of the swarm may.
type allowance struct {
	left   float64 // bytes
	filled Instant
}

const (
	allowanceHolds = 2 // seconds
	aheadLeaves    = 2 // no call waits for what is asked ahead: that leaves one part in so many
)

// refill brings the allowance up to now. A clock that stepped back brings nothing.
func (r *Replica) refill(now Instant) {
	if dt := now - r.allowance.filled; dt > 0 {
		most := float64(allowanceHolds * r.cfg.Bytes)
		r.allowance.left = min(most, r.allowance.left+float64(r.cfg.Bytes)*min(float64(dt)/1000, 2*allowanceHolds))
	}
	r.allowance.filled = now
}

// may reports whether something may be said that need not be, or is said later as well.
func (r *Replica) may() bool { return r.cfg.Bytes <= 0 || r.allowance.left > 0 }

// mayFirst is the same for asks of some rank: for a guarantee they may leave a debt of as much as the bucket holds, for a tenant
// that has had less than its part half as much. It is paid by what goes after them.
func (r *Replica) mayFirst(rank int) bool {
	return r.cfg.Bytes <= 0 || r.allowance.left > -float64(allowanceHolds*r.cfg.Bytes*int64(rank))/RankFloor
}

// mayAhead is the same for what no call waits for.
func (r *Replica) mayAhead() bool {
	return r.cfg.Bytes <= 0 || r.allowance.left > float64(allowanceHolds*r.cfg.Bytes)/aheadLeaves
}

// rowsLeft is how many rows may be told.
func (r *Replica) rowsLeft() int {
	if r.cfg.Bytes <= 0 {
		return rowsPerDigest
	}
	return min(rowsPerDigest, int(max(0, r.allowance.left))/rowBytes)
}

const (
	packetBytes  = 56  // of a packet, beside its payload
	rowBytes     = 130 // a row with names of some twenty bytes together
	holderBytes  = 24  // of a holder in a digest
	messageBytes = 64  // of any other message, beside its names
	guardPart    = 0.5 // of what messages of guarding take: the rest is at the cost of rows, which wait below the same ceiling
)

// cost is about what a message takes on the wire.
func cost(m any) float64 {
	names := 0
	switch m := m.(type) {
	case []Row:
		return float64(packetBytes + len(m)*rowBytes)
	case *Digest:
		return float64(packetBytes + len(m.Holders)*holderBytes)
	case *Ask:
		names = len(m.Instance) + len(m.From.Node)
	case *Hold:
		names = len(m.Instance) + len(m.From.Node)
	case *Offer:
		names = len(m.Instance) + len(m.From.Node)
	case *Refuse:
		names = len(m.Instance) + len(m.From.Node)
		for _, d := range m.Donors {
			names += len(d.Node) + 4
		}
	case *Transfer:
		names = len(m.Instance) + len(m.From.Node) + len(m.To.Node)
	case *guardian.Note:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Records))
	case *guardian.Promise:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Stored.Records))
	case *guardian.Accept:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Records))
	case *guardian.NoteAck:
		return guardPart * (packetBytes + messageBytes)
	case *guardian.Decided:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Records))
	case *guardian.Outcome:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Records))
	case *guardian.Part:
		return guardPart * (packetBytes + messageBytes + guardCost(m.Records))
	case *Ack:
		names = len(m.Instance) + len(m.From.Node) + len(m.To.Node)
	}
	return float64(packetBytes + messageBytes + names)
}

// guardCost is what records take.
func guardCost(rs []guardian.Record) (n float64) {
	for _, r := range rs {
		n += float64(len(r.Key) + len(r.Value) + 4)
	}
	return n
}
