package ledger

// GiveShares gives a peer shares that no strategy thought of, as far as they are there, and returns how many. The
// ledger must be safe whatever a strategy does, so those who judge it from outside try what none would.
func (r *Replica) GiveShares(now Instant, id InstanceID, to Holder, n Shares) Shares {
	in, e := r.gift(now, id, to)
	if e == nil {
		return 0
	}
	in.account.mu.Lock()
	n = in.account.giveShares(e, n, now)
	in.account.mu.Unlock()
	if n > 0 {
		r.gave(now, in, e, 0)
	}
	return n
}

// GiveRights gives a peer rights that it did not ask for; asked is when it might have, by its clock.
func (r *Replica) GiveRights(now Instant, id InstanceID, to Holder, n Tokens, asked Instant) Tokens {
	in, e := r.gift(now, id, to)
	if e == nil {
		return 0
	}
	in.account.mu.Lock()
	in.account.advance(now)
	n = in.account.giveRights(e, n, asked)
	in.account.mu.Unlock()
	if n > 0 {
		r.gave(now, in, e, 0)
	}
	return n
}

// gift is what giving to a peer needs; nil if there is nothing to give from.
func (r *Replica) gift(now Instant, id InstanceID, to Holder) (*instance, *edge) {
	in := r.instances[id]
	if in == nil || in.account == nil || now >= in.ends {
		return nil, nil
	}
	e, err := r.edge(in, to)
	if err != nil {
		return nil, nil
	}
	return in, e
}
