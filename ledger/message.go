package ledger

import "github.com/swarmpurse/swarmpurse/ledger/guardian"

// Messages that nodes exchange about the ledger. All are idempotent: loss, duplication and reorder of
// any of them are harmless.

// Row is the summary of an account that all nodes know. Only its holder writes it; of two rows of one
// holder and instance the higher version is the truth.
type Row struct {
	Holder   Holder
	Instance InstanceID
	Version  uint64 // one counter for all rows of the holder; never goes down, across restarts too
	Window   Window
	Shares   Shares

	Issued, Minted, Overdrawn, In, Out, Spent, Reserved, Lapsed, Debt Tokens

	Surplus Tokens // what the holder would give away now
	Demand  Tokens // asked for, tokens per second, smoothed
	Unmet   Tokens // the part of it that was not served
	Lent    Tokens // given for asks, tokens per second, smoothed
	Wanted  Tokens // what calls and asks wait for at the holder

	Free Shares // the part of Shares that no holder has counted for this window

	// Of instances whose price moves, 0 for all others.
	Used  Tokens // what calls really use, before the price, tokens per second, smoothed
	Price Tokens // what the holder multiplies costs by, in parts per million

	// Whole is when the whole of a rate will be in force again, by what the holder saw of the provider's refusals; 0 if it saw
	// none, or that is past.
	Whole Instant

	Decayed, Burned Tokens // of Lapsed; what is left of it has expired

	// Alone: too few of the holder's guardians answer. Nobody would hear of what it gave, and what it got would lie there.
	Alone bool

	// Inherited are top-ups of generations that this one is the heir of. Minted are its own: peers hold those against what operators signed for it.
	Inherited Tokens

	// Claims are the tenants that ask for most of Demand, the largest first; none where one node has all demand.
	Claims [MaxClaims]Claim
}

// SharedRow is a row that several replicas of one process are given. Where one of them found it, the next looks first.
type SharedRow struct {
	Row
	hints [2]hint // for each goroutine of SharedRows one
}

// SharedRows are several that come together, each of another account.
type SharedRows struct {
	Rows []*SharedRow
	// Beside is set by the second of two goroutines that drive replicas, so that each has hints of its own.
	Beside bool
}

// hint is where a row, and its holder among the peers, was found last.
type hint struct{ place, peer int32 }

func (m *SharedRows) hint(x *SharedRow) *hint {
	if m.Beside {
		return &x.hints[1]
	}
	return &x.hints[0]
}

// After has the row be looked for where an earlier version of it was found. It is called by the first of two goroutines.
func (x *SharedRow) After(before *SharedRow) {
	x.hints = [2]hint{before.hints[0], before.hints[0]}
}

// Balance is the rights that the holder had when it wrote the row.
func (r *Row) Balance() Tokens {
	return r.Issued + r.In - r.Out - r.Spent - r.Lapsed - r.Reserved
}

// issuedSince reports whether the holder has issued anything since it wrote an earlier row, or at all if that is nil.
func (r *Row) issuedSince(before *Row) bool {
	if before == nil || before.Window != r.Window {
		return r.Issued > 0
	}
	return r.Issued > before.Issued
}

// Ask wants rights of one instance from a donor.
type Ask struct {
	ID       uint64 // of the asker, to match the answer with
	From     Holder
	Instance InstanceID
	Window   Window
	Need     Tokens  // what a waiting call lacks, or the next may; 0 asks for what was offered
	Want     Tokens  // with what others lack, and a prefetch for calls to come; at least Need
	At       Instant // the asker's clock; borrowed rate rights lapse by it
	Patience Millis  // how long the call can wait: so long the donor may keep the ask until it has the rights
	Ahead    bool    // no call waits: this is for those to come, as far as the donor has no use for it
	Demand   Tokens  // the asker's, of a second: its row may not have come yet
	Floor    bool    // the call is within its tenant's guarantee: it goes before the donor's own calls that are not
	Share    int     // RankShare or RankSmall for a tenant that has had less than its part in the swarm: it goes before those that had more
}

// Ranks of calls and asks: what goes first. Within one rank the order is that of arrival.
const (
	RankNone  = iota
	RankShare // its tenant has had less than its part in the swarm
	RankSmall // and it asks for less than its part, too
	RankFloor // it is within its tenant's guarantee
	numRanks
)

// Rank says before which others the ask goes.
func (m *Ask) Rank() int { return rank(m.Floor, m.Share) }

func rank(floor bool, share int) int {
	if floor {
		return RankFloor
	}
	return share
}

// Offer tells of borrowed rights of a rate that its sender has no use for. Whoever has asks for them, with a need of 0.
type Offer struct {
	From     Holder
	Instance InstanceID
	Window   Window
	Amount   Tokens
}

// Hold answers an ask that the donor keeps: rights are expected in time.
type Hold struct {
	ID       uint64
	From     Holder
	Instance InstanceID
	For      Millis // from when it was sent, at most
}

// Refuse answers an ask that gets nothing.
type Refuse struct {
	ID       uint64
	From     Holder
	Instance InstanceID
	Donors   []Holder // the best donors that the refuser knows, at most MaxHints
}

// MaxHints bounds the donors that a refusal names.
const MaxHints = 3

// Transfer tells the cumulative values of what From ever gave to To: rights in a window, and shares.
// The receiver takes the maximum of what it was told.
type Transfer struct {
	From, To  Holder
	Instance  InstanceID
	Window    Window
	Out       Tokens
	SharesOut Shares
	First     Window  // the first window for whose issue all these shares count
	Asked     Instant // Rate: when the oldest rights not yet acknowledged were asked for, To's clock
	AskID     uint64  // the ask that this answers, or 0
}

// Ack tells the giver what the receiver has durably credited.
type Ack struct {
	From, To Holder // From is the receiver of the transfer
	Instance InstanceID
	Window   Window
	In       Tokens
	SharesIn Shares
}

// SeatPass hands a founder's seat on: the right to hold its part of all shares of every instance that no
// holder of the seat has used yet.
type SeatPass struct {
	Seat    Seat
	From    Holder
	To      Holder
	Used    []uint64 // hashes of the instances whose genesis ran under this seat
	Charter CharterID
	// Levels says of each of Used up to which limit the seat's part was issued; below 0 if that is not known. Nil
	// from a giver that does not say.
	Levels []Tokens
}

// SeatAck tells that the seat is durably taken over.
type SeatAck struct {
	Index  int
	Serial uint64
	From   Holder
	To     Holder
}

// Seat is who may run a founder's genesis. The serial grows with every hand-over, which only the present
// holder can make, so of two the higher is the truth.
type Seat struct {
	Index  int
	Serial uint64
	Holder Holder
}

// Digest tells which rows a node has, so that a peer can send what it lacks.
type Digest struct {
	From    Holder
	Charter CharterID
	Seats   []Seat
	Holders []HolderDigest
	Retired []Holder // generations of which it knows what was decided
	Gone    []Gone   // generations of which it knows, or was told lately, that they were claimed
	Buried  []Holder // for whose death operators have vouched
}

// HolderDigest sums up all rows of one holder: their number, the highest version and a hash that does
// not depend on their order.
type HolderDigest struct {
	Holder  Holder
	Rows    int
	Highest uint64
	Hash    uint64
}

// Sender is the node that says that it has written a message; false if that does not matter, as whoever knows rows
// may tell them. Whoever takes messages from a network refuses one that comes from
// another node than it says: what peers acknowledge, promise and give is theirs to say.
func Sender(m any) (node string, ok bool) {
	switch m := m.(type) {
	case *Ask:
		return m.From.Node, true
	case *Hold:
		return m.From.Node, true
	case *Offer:
		return m.From.Node, true
	case *Refuse:
		return m.From.Node, true
	case *Transfer:
		return m.From.Node, true
	case *Ack:
		return m.From.Node, true
	case *SeatPass:
		return m.From.Node, true
	case *SeatAck:
		return m.From.Node, true
	case *Digest:
		return m.From.Node, true
	case *guardian.Note:
		return m.From.Node, true
	case *guardian.NoteAck:
		return m.From.Node, true
	case *guardian.Refused:
		return m.From.Node, true
	case *guardian.Release:
		return m.From.Node, true
	case *guardian.Prepare:
		return m.Ballot.By.Node, true
	case *guardian.Promise:
		return m.From.Node, true
	case *guardian.Accept:
		return m.Ballot.By.Node, true
	case *guardian.Accepted:
		return m.From.Node, true
	case *guardian.Reject:
		return m.From.Node, true
	case *guardian.Query:
		return m.From.Node, true
	case *guardian.Decided:
		return m.From.Node, true
	case *guardian.Outcome:
		return m.From.Node, true
	case *guardian.Fetch:
		return m.From.Node, true
	case *guardian.Part:
		return m.From.Node, true
	case *WordAsk:
		return m.From.Node, true
	case *WordAnswer:
		return m.From.Node, true
	case *WordDoubt:
		return m.From.Node, true
	case *WordOver:
		return m.From.Node, true
	}
	return "", false
}

// Send is a message for one peer, by node name.
type Send struct {
	To      string
	Message any // *Ask, *Hold, *Offer, *Refuse, *Transfer, *Ack, *SeatPass, *SeatAck, *Digest, []Row, one of package guardian
}

// Spread is a row that all nodes should know, heavier first.
type Spread struct {
	Row    *Row // never changed
	Weight float64
}
