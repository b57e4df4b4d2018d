package gossip

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// mux stands between memberlist and serf's delegate. serf.Create sets its own delegate just before it
// creates the memberlist, so transport.FinalAdvertiseAddr puts mux around it.
type mux struct {
	serf  memberlist.Delegate
	p     *Pool
	ready atomic.Bool // serf.Create has returned
}

func (m *mux) NodeMeta(limit int) []byte { return m.serf.NodeMeta(limit) }

func (m *mux) GetBroadcasts(overhead, limit int) [][]byte {
	return m.serf.GetBroadcasts(overhead, limit)
}

// NotifyMsg comes from memberlist's packet goroutine and from one for each stream. It neither blocks
// nor keeps the buffer.
func (m *mux) NotifyMsg(msg []byte) {
	if isOurs(msg) {
		m.p.inbox.accept(msg)
		return
	}
	// Serf answers queries and relays through its memberlist field, which serf.Create sets after
	// memberlist has begun to deliver.
	if !m.ready.Load() {
		m.p.count.drop(dropEarly)
		return
	}
	m.serf.NotifyMsg(msg)
}

func (m *mux) LocalState(join bool) []byte {
	buf := m.serf.LocalState(join)
	state := m.p.opts.Delegate.LocalState(join)
	if len(state) == 0 {
		return buf
	}
	if len(state) > MaxState {
		m.p.count.drop(dropState)
		m.p.log.Error().Int("bytes", len(state)).Int("limit", MaxState).Msg("own state is too large to push; peers get none of it")
		return buf
	}
	return appendState(buf, m.p.opts.Name, state)
}

func (m *mux) MergeRemoteState(buf []byte, join bool) {
	serfs, ours := splitState(buf)
	m.serf.MergeRemoteState(serfs, join)
	if ours == nil {
		return
	}
	from, state, err := decodeState(ours)
	switch {
	case err != nil:
		m.p.count.drop(reasonOf(err))
	case m.p.net.faults.drops(from):
		m.p.count.drop(dropFault)
	case from == m.p.opts.Name: // also memberlist joining itself
		m.p.count.drop(dropOwnName)
	default:
		m.p.opts.Delegate.MergeState(state, join)
	}
}

// maxMembers bounds what a holder of the key can make this node remember.
const maxMembers = 32768

// newcomers is asked by memberlist about every node that is said to live. With it, memberlist also
// refuses messages that lack the protocol versions.
type newcomers struct{ p *Pool }

func (n newcomers) NotifyAlive(node *memberlist.Node) error {
	if len(node.Name) == 0 || len(node.Name) > MaxName {
		return fmt.Errorf("its name has %d bytes, 1 to %d are allowed", len(node.Name), MaxName)
	}
	v := n.p.view.Load()
	if i, known := v.byName[node.Name]; known && v.members[i].Self && node.Address() != v.members[i].Addr {
		n.p.namesake.Store(time.Now().UnixNano())
	}
	if _, known := v.byName[node.Name]; !known && len(v.members) >= maxMembers {
		return fmt.Errorf("%d members are known, this node keeps no more", len(v.members))
	}
	return nil
}

func reasonOf(err error) reason {
	switch err {
	case errKind:
		return dropKind
	case errVersion:
		return dropVersion
	}
	return dropMalformed
}
