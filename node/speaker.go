package node

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// speaks checks that a message is of a generation of the directory that its sender signs for. dir is 0 for nodes that sign nothing.
func (n *Node) speaks(from string, dir uint64, m any) error {
	h, ok := speaker(m)
	if !ok || dir == 0 || from == "" {
		return nil
	}
	return n.book.Speaks(from, dir, h.Gen)
}

// speaker is the holder that says that it has written a message.
func speaker(m any) (ledger.Holder, bool) {
	switch m := m.(type) {
	case *ledger.Ask:
		return m.From, true
	case *ledger.Hold:
		return m.From, true
	case *ledger.Offer:
		return m.From, true
	case *ledger.Refuse:
		return m.From, true
	case *ledger.Transfer:
		return m.From, true
	case *ledger.Ack:
		return m.From, true
	case *ledger.SeatPass:
		return m.From, true
	case *ledger.SeatAck:
		return m.From, true
	case *ledger.Digest:
		return m.From, true
	case *guardian.Note:
		return m.From, true
	case *guardian.NoteAck:
		return m.From, true
	case *guardian.Refused:
		return m.From, true
	case *guardian.Release:
		return m.From, true
	case *guardian.Promise:
		return m.From, true
	case *guardian.Accepted:
		return m.From, true
	case *guardian.Reject:
		return m.From, true
	case *guardian.Query:
		return m.From, true
	case *guardian.Decided:
		return m.From, true
	case *guardian.Outcome:
		return m.From, true
	case *guardian.Fetch:
		return m.From, true
	case *guardian.Part:
		return m.From, true
	case *ledger.WordAsk:
		return m.From, true
	case *ledger.WordAnswer:
		return m.From, true
	case *ledger.WordDoubt:
		return m.From, true
	case *ledger.WordOver:
		return m.From, true
	case *guardian.Prepare:
		return m.Ballot.By, true
	case *guardian.Accept:
		return m.Ballot.By, true
	}
	return ledger.Holder{}, false
}
