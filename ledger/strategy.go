package ledger

// Strategy decides where rights and shares go. The ledger is safe whatever it answers: a strategy can
// only make it slow or unfair. Package placement has the one that nodes use. Methods must not keep the
// view, which is reused.
type Strategy interface {
	// Donors names whom to ask for need tokens, as indexes into v.Peers, best first and at most n, and how
	// much to want of each.
	Donors(v *View, need Tokens, n int) (peers []int, want Tokens)
	// Ahead says what the next calls may need beyond what is here, to ask for it before they come; 0 for nothing. It is
	// asked while no call waits. Donors is then asked with View.Ahead set. The view has no peers. From 0 it must not rise by
	// time alone, while rights accrue and demand fades: ticks that would only ask that are passed over (see Due).
	Ahead(v *View) Tokens
	// Give says how many rights the donor gives for an ask; the ledger gives no more than it can. The view has no peers.
	Give(v *View, ask *Ask) Tokens
	// Hold says whether to keep an ask that cannot be served now until there are rights for it. View.Held is
	// what other asks ahead of it wait for. The view has no peers.
	Hold(v *View, ask *Ask) bool
	// Return names the peer to offer borrowed rights to that are of no use here, and how many; -1 for none. It is
	// asked once a second while there are some, first without peers: then only whether there are any to offer counts.
	Return(v *View) (peer int, n Tokens)
	// Accept says whether there is use for what a peer offers. The view has no peers.
	Accept(v *View, n Tokens) bool
	// Surplus is what the row should say that the holder would give. The view has no peers.
	Surplus(v *View) Tokens
	// Drifts says whether Drift may find a peer, from what the rows of live peers come to: as a rule nothing moves, and
	// that costs less than gathering the peers. The view has none.
	Drifts(v *View, o Others) bool
	// Drift names the peer that should get shares, and how many; -1 for none. It is asked again, a few times, with what
	// is left.
	Drift(v *View) (peer int, n Shares)
	// Along says how many shares go to a peer that is given rights for its ask.
	Along(v *View, peer int, ask *Ask) Shares
	// Gather names the peer that should get free shares, which are worth less than a token here, and how many; -1
	// for none. It is asked when there are some that it has not seen, and View.Gather is set.
	Gather(v *View) (peer int, n Shares)
	// Weight says how much a row matters now that it changed from what peers were sent last; 0 means it
	// need not be sent yet, less than that it need not for so many ms, unless its shares, top-ups or window change.
	// age is the time since it was sent. The view has no peers.
	Weight(v *View, last, now *Row, age Millis) float64
}

// Others is what the rows of live peers come to.
type Others struct {
	Holders int
	Demand  Tokens // tokens per second for calls and for asks, of those whose guardians hear of them
	Alone   Shares // of those whose guardians do not: they stay there
}

// View is what a strategy may look at: this node's account of one instance and what it knows of others.
type View struct {
	Now      Instant
	Self     Holder
	Seat     bool // this node holds a seat
	Instance InstanceID
	Spec     Spec // of a rate, Per is what is in force
	Share    Shares
	Free     Shares // the part of Share that no holder has counted for this window
	Gather   bool   // free shares are gathered: the limit is small beside the number of members
	// Rights can be spent here now; Givable is the part of them that could leave.
	Rights, Givable Tokens
	// Spare is the part of Givable that is kept for RankSmall and those that go before it.
	Spare Tokens
	// Borrowed is the part of the rights of a rate that lapses soon: lent by others, or refunds above what the
	// shares may hold.
	Borrowed Tokens
	// Lapsing is the part of Borrowed that has less than half of its life left.
	Lapsing       Tokens
	Demand, Unmet float64 // tokens per second
	Used, Price   Tokens  // as a row has them
	Whole         Instant // likewise
	Lending       float64 // given for asks, tokens per second
	MeanCall      Tokens  // of calls here and of asks
	// Waiting is what the first waiting call needs in all, 0 if none waits; Lack is what all that wait lack beyond
	// what is here and asked for; Patience is how long the first can wait. Lack and Patience are set for Donors only.
	Waiting, Lack Tokens
	Patience      Millis
	Ahead         bool             // no call waits: this is for those to come
	First         int              // rank of the first call that waits here
	HeldBy        [numRanks]Tokens // what asks of each rank, and of those that go before it, wait for that are held here
	Claims        [MaxClaims]Claim // as a row has them
	Held          Tokens           // what asks wait for that are held here
	Reserved      Tokens
	Window        Window
	Peers         []PeerView // live holders other than this one, sorted by holder
	Members       int        // live nodes, this one included
	// Rand is the replica's dice.
	Rand func(n int) int
}

// GivableTo is what could leave for an ask.
func (v *View) GivableTo(ask *Ask) Tokens {
	if ask.Rank() >= RankSmall {
		return v.Givable
	}
	return max(0, v.Givable-v.Spare)
}

// PeerView is what is known of one live peer for one instance.
type PeerView struct {
	Holder   Holder
	Row      *Row // nil if none is known
	Age      Millis
	Distance Millis // estimated round trip, 0 if unknown
	Founder  bool   // holds a seat: may own shares of an instance of which no row is known
	Refused  bool   // refused us lately
	Hinted   bool   // named by the last peer that refused us as one that has surplus
	Asked    bool   // an ask to it is outstanding
	Given    bool   // was given shares lately: its row may not show them yet
}

// Outlook is what waiting can bring at one instance.
type Outlook struct {
	Local    Tokens  // rights here
	Swarm    Tokens  // rights of all live holders known, here included, on the way, and of free shares that gather
	Away     Tokens  // rights that holders out of reach last said they had
	Reserved Tokens  // reserved everywhere: may come back
	Capacity Tokens  // the most that the instance can ever have at once
	NextAt   Instant // when new rights come: the window's end, or when a rate will have refilled need; 0 never
	Asking   bool    // an ask is outstanding or will be sent soon
	Known    bool    // rows of others, or all shares, are known
	// Demand is what calls ask for over all live holders, Own what they ask for here, in tokens per second and smoothed;
	// Refill is what a rate brings to live holders, in tokens per second, as it is in force.
	Demand, Own, Refill float64
}
