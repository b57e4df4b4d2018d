package ledger

// sums is what the rows of others come to. It is kept up to date while rows come: every refusal asks for it, and what
// watches prices and pressure does so every second, of a thousand rows and more.
type sums struct {
	known  bool
	places uint64 // of the replica when they were added up: who lives has not changed since
	rowSums
}

type rowSums struct {
	window       Window // which those of them are of that a window ends
	shares, live Shares // all, and those of live holders
	demand       Tokens // of live holders

	out, in, minted Tokens
	swarm, reserved Tokens // of live holders
	free            Shares
	away            Tokens // of the others
	others          Others
}

// add adds a row, or takes it out with sign -1.
func (s *rowSums) add(k *Row, alive bool, sign int64) {
	s.shares += Shares(sign) * k.Shares
	if alive {
		s.live += Shares(sign) * k.Shares
		s.demand += Tokens(sign) * k.Demand
		s.others.Holders += int(sign)
		if k.Alone {
			s.others.Alone += Shares(sign) * k.Shares
		} else {
			s.others.Demand += Tokens(sign) * (k.Demand + k.Lent)
		}
	}
	if k.Window != s.window {
		return
	}
	s.out += Tokens(sign) * k.Out
	s.in += Tokens(sign) * k.In
	s.minted += Tokens(sign) * (k.Minted + k.Inherited)
	if alive {
		s.swarm += Tokens(sign) * max(0, k.Balance())
		s.reserved += Tokens(sign) * k.Reserved
		s.free += Shares(sign) * k.Free
	} else {
		s.away += Tokens(sign) * max(0, k.Balance())
	}
}

// sums returns what the rows of an instance come to, for one window.
func (r *Replica) sums(in *instance, w Window) *rowSums {
	s := &in.sums
	if !s.known || s.places != r.places || s.window != w {
		*s = sums{known: true, places: r.places, rowSums: r.addUp(in, w)}
	}
	return &s.rowSums
}

func (r *Replica) addUp(in *instance, w Window) rowSums {
	s := rowSums{window: w}
	peers := r.peers // sorted by holder, as rows are
	for _, k := range in.rows {
		alive := false
		for len(peers) > 0 {
			p := &peers[0]
			same := p.Holder == k.Holder // as a rule: all know all
			if !same && p.Holder.Compare(k.Holder) > 0 {
				break
			}
			peers = peers[1:]
			if same {
				alive = p.Alive
				break
			}
		}
		s.add(k.Row, alive, 1)
	}
	return s
}

// replaced has the sums show that the row at a place has come instead of another, nil if there was none.
func (r *Replica) replaced(in *instance, place int, before *Row, at *hint) {
	s := &in.sums
	if !s.known || s.places != r.places {
		s.known = false
		return
	}
	row := in.rows[place].Row
	alive := r.aliveAt(row.Holder, at)
	if before != nil {
		s.add(before, alive, -1)
	}
	s.add(row, alive, 1)
}

// aliveAt is alive, for a holder that may be where it was among the peers of another replica.
func (r *Replica) aliveAt(h Holder, at *hint) bool {
	if at == nil {
		_, ok := r.alive(h)
		return ok
	}
	if i := int(at.peer); i < len(r.peers) && r.peers[i].Holder == h {
		return r.peers[i].Alive
	}
	i, ok := r.peer(h.Node)
	at.peer = int32(i)
	return ok && r.peers[i].Holder == h && r.peers[i].Alive
}
