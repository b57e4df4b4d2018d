package core

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

// meanwhile is the replica as the engine sees it while a batch is on its way to the disk: it can be looked at, but takes
// no input.
type meanwhile struct{ c *Core }

func (m meanwhile) Charter() ledger.Charter { return m.c.Replica.Charter() }
func (m meanwhile) Fenced() bool            { return m.c.Replica.Fenced() }

func (m meanwhile) Open(_ ledger.Instant, id ledger.InstanceID) (*ledger.Account, error) {
	if a := m.c.Replica.Account(id); a != nil {
		return a, nil
	}
	return nil, admit.ErrLater
}

func (m meanwhile) Room(id ledger.InstanceID, most int) bool { return m.c.Replica.Room(id, most) }

func (m meanwhile) Waiting(_ ledger.Instant, id ledger.InstanceID, n ledger.Need) {
	m.c.needs.add(id, n)
}

func (m meanwhile) Outlook(now ledger.Instant, id ledger.InstanceID, need ledger.Tokens) ledger.Outlook {
	return m.c.Replica.Outlook(now, id, need)
}

func (m meanwhile) Market(now ledger.Instant, id ledger.InstanceID) ledger.Market {
	return m.c.Replica.Market(now, id)
}

func (m meanwhile) Claims(id ledger.InstanceID) ([]ledger.Claim, ledger.Tokens, ledger.Tokens) {
	return m.c.Replica.Claims(id)
}

// needs is what the engine said of calls that wait while a batch was written: the replica hears it afterwards.
type needs struct {
	list []instanceNeed // in the order in which they came first
	at   map[ledger.InstanceID]int
}

type instanceNeed struct {
	id    ledger.InstanceID
	asked ledger.Need // the last that was one: rights are asked for though its call was refused meanwhile
	last  ledger.Need
}

func (n *needs) add(id ledger.InstanceID, need ledger.Need) {
	i, ok := n.at[id]
	if !ok {
		if n.at == nil {
			n.at = map[ledger.InstanceID]int{}
		}
		i = len(n.list)
		n.at[id] = i
		n.list = append(n.list, instanceNeed{id: id})
	}
	x := &n.list[i]
	if x.last = need; need.First > 0 {
		x.asked = need
	}
}

// tell passes on what nobody else will: of instances at which calls still wait the next Advance tells.
func (n *needs) tell(now ledger.Instant, r *ledger.Replica) {
	for i := range n.list {
		x := &n.list[i]
		if x.last.First > 0 {
			continue
		}
		if x.asked.First > 0 {
			r.Waiting(now, x.id, x.asked)
		}
		r.Waiting(now, x.id, x.last)
	}
	n.list = nil
	clear(n.at)
}
