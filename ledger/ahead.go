package ledger

import "slices"

const (
	aheadPause  = Instant(250)   // ms between asks for calls to come, at one instance
	aheadRefuse = Instant(1_000) // ms until the next one when a donor had nothing, or nobody was known to have
)

// ahead asks for rights before a call has to wait for them, when calls came since it last did and the strategy finds that
// few are left here. The ask says so: the donor gives only what it has no use for, and does not keep it.
func (r *Replica) ahead(now Instant, in *instance) {
	if now < in.aheadAt && in.aheadAt <= now+aheadRefuse {
		return
	}
	if !in.called || !r.mayAhead() || in.need.First > 0 || len(in.asks) > 0 || in.arriving > 0 || len(in.held) > 0 || len(in.early) > 0 || !r.heir.IsZero() || !in.account.started() || r.inVain(in) {
		return
	}
	v := r.viewSelf(now, in)
	if v.Spec.Ceiling == Observe {
		return
	}
	need := r.cfg.Strategy.Ahead(v)
	if need <= 0 {
		return
	}
	in.aheadAt, in.called = now+aheadPause, false
	v = r.viewOf(now, in, r.somePeers(fewPeers))
	v.Ahead = true
	picks, want := r.cfg.Strategy.Donors(v, need, 1)
	if len(picks) == 0 && len(r.peers) > manyPeers {
		v = r.view(now, in)
		v.Ahead = true
		picks, want = r.cfg.Strategy.Donors(v, need, 1)
	}
	if len(picks) == 0 {
		in.aheadAt = now + aheadRefuse
	}
	r.ask(now, in, v, picks, need, want)
}

// ask sends an ask to each of the peers that the strategy picked.
func (r *Replica) ask(now Instant, in *instance, v *View, picks []int, need, want Tokens) {
	if len(picks) == 0 {
		return
	}
	a := in.account
	a.mu.Lock()
	window, _, _ := a.due(now) // which may be on its way to the disk
	a.mu.Unlock()
	for _, i := range picks {
		p := v.Peers[i]
		r.askID++
		in.asks = append(in.asks, outstanding{id: r.askID, to: p.Holder, want: want, at: now, ahead: v.Ahead, rank: v.First})
		r.send(p.Holder.Node, &Ask{
			ID: r.askID, From: r.self, Instance: in.id, Window: window, Need: need, Want: max(want, need), At: now,
			Patience: min(v.Patience, maxPatience), Ahead: v.Ahead, Demand: Tokens(v.Demand), Floor: v.First == RankFloor, Share: v.First % RankFloor,
		})
	}
}

// giveUp takes asks off the list that no answer is expected to any more. Those peers are not asked again for a while.
func (r *Replica) giveUp(now Instant, in *instance) {
	in.asks = slices.DeleteFunc(in.asks, func(o outstanding) bool {
		if _, alive := r.alive(o.to); alive && !o.overdue(now) {
			return false
		}
		in.refuse(o.to, now+refusalLasts, numRanks)
		r.event(Event{Kind: AskUnanswered, Instance: in.id, Peer: o.to})
		return true
	})
	in.refusals = slices.DeleteFunc(in.refusals, func(f refusal) bool { return now >= f.until })
}
