package gossip

import (
	"slices"
	"strconv"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Serf can take a member for leaving that is not, for ever. A node that left and is back announces itself anew, by a number that all
// numbers before are below (its Lamport time). A peer may hear that before memberlist tells it that the node is alive again; until then it
// has the node among those that left, beside the new number. Whoever asks it for its state just then is told of a leave, later by one than
// the number (serf's MergeRemoteState makes it so, since push/pull has none for leaves), and nobody ever says a greater one.
//
// So a member that is leaving for longer than any leave takes is told that it is. It knows better, and serf refutes that by announcing
// itself anew, which all take. One that does leave, and is slow, goes on.

// leaveIntent is serf's message of that name, as it encodes it.
type leaveIntent struct {
	LTime uint64
	Node  string
	Prune bool
}

// leaveIntentType stands before it.
const leaveIntentType = 0

// leavers notes since when members are leaving, or were last told so. For one goroutine.
type leavers map[string]time.Time

// due returns those to be told now.
func (l leavers) due(members []Member, now time.Time, takes time.Duration) (names []string) {
	for _, m := range members {
		if m.Status != Leaving || m.Self {
			continue
		}
		if since, ok := l[m.Name]; !ok {
			l[m.Name] = now
		} else if now.Sub(since) >= takes {
			l[m.Name] = now
			names = append(names, m.Name)
		}
	}
	for name := range l {
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == name && m.Status == Leaving }) {
			delete(l, name)
		}
	}
	return names
}

// doubt tells a member that it is taken for leaving. The packet may be lost: then it is told again.
func (p *Pool) doubt(name string) {
	node := p.node(name)
	// Beyond all that this node has heard, so that whoever does not leave takes it for news.
	at, err := strconv.ParseUint(p.serf.Stats()["member_time"], 10, 64)
	if node == nil || err != nil {
		return
	}
	body, err := msgpack.Marshal(&leaveIntent{LTime: at, Node: name})
	if err != nil {
		panic("BUG: a leave intent cannot be encoded: " + err.Error())
	}
	p.log.Info().Str("peer", name).Msg("this peer is said to leave for longer than that takes: it is asked whether it does")
	if err := p.memberlist().SendBestEffort(node, append([]byte{leaveIntentType}, body...)); err != nil {
		p.log.Debug().Err(err).Str("peer", name).Msg("packet not sent")
	}
}
