package ledger

// EventKind says what happened, for metrics and logs.
type EventKind uint8

const (
	AskGranted    EventKind = iota + 1 // an ask of ours brought rights
	AskRefused                         // an ask of ours was refused
	AskUnanswered                      // an ask of ours was given up
	GaveRights                         // we gave rights for a peer's ask, or handed them on
	RefusedAsk                         // we refused a peer's ask
	GotRights                          // rights from a peer were credited
	GaveShares
	GotShares
	Reclaimed // this node, as its heir, was credited what a claimed generation (Peer) had
	Vouched   // it is known here now that an operator vouched for the death of a generation (Peer), in the words of Said
	TookBack  // this node took back what it had given to a generation (Peer) that was claimed before it came there
	Slowed    // a peer told of a refusal by the provider, for which the rate fell here
)

// Event is something that happened in a batch. It tells; nothing depends on it.
type Event struct {
	Kind     EventKind
	Instance InstanceID
	Peer     Holder
	Tokens   Tokens // of the rights moved
	Shares   Shares // of the shares moved
	Took     Millis // AskGranted, AskRefused: since the ask
	Said     *Said  // Vouched
	PPM      int64  // Slowed: the part of the rate that is in force
}

func (r *Replica) event(e Event) { r.batch.events = append(r.batch.events, e) }

// moved tells of rights and shares that left (GaveRights) or came (GotRights).
func (r *Replica) moved(in *instance, peer Holder, rightsKind EventKind, rights Tokens, shares Shares) {
	if rights > 0 {
		r.event(Event{Kind: rightsKind, Instance: in.id, Peer: peer, Tokens: rights})
	}
	if shares > 0 {
		kind := GotShares
		if rightsKind == GaveRights {
			kind = GaveShares
		}
		r.event(Event{Kind: kind, Instance: in.id, Peer: peer, Shares: shares})
	}
}
