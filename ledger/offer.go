package ledger

// What a node without shares of a rate gets back when a call ends, and what it borrowed in vain, would lapse there. It
// offers it to a holder of shares, who asks for it if he has use for it. The ask carries his clock, by which it lapses.

// In a big swarm few peers are looked at first for who has room, then widen times as many, and so on: as a rule some have, and
// gathering a thousand costs more than all else that a tick does.
const fewPeers, manyPeers, widen = 32, 128, 4

// lookAgain is how long, in ms, all are not looked at again after none of them had room. What is offered lives for some times that.
const lookAgain = Instant(3_000)

// somePeers are up to that many that lie side by side, each with the same chance, where there are many; all where there are not.
func (r *Replica) somePeers(few int) []Peer {
	n := len(r.peers)
	if n <= manyPeers || few >= n {
		return r.peers
	}
	end := 1 + r.dice(n+few-1)
	return r.peers[max(0, end-few):min(n, end)]
}

// offer tells a peer of borrowed rights that are of no use here.
func (r *Replica) offer(now Instant, in *instance) {
	a := in.account
	a.mu.Lock()
	idle := !r.guards.alone && a.open() && a.spec.Kind == Rate && a.accrual.lendable(a.last) > 0
	a.mu.Unlock()
	if !idle || in.need.First > 0 || len(in.held) > 0 {
		return
	}
	if _, n := r.cfg.Strategy.Return(r.viewSelf(now, in)); n <= 0 {
		return // as a rule, and for less than gathering the peers costs
	}
	further := now >= in.lookAt || in.lookAt > now+lookAgain
	for few := fewPeers; ; few *= widen {
		some := r.somePeers(few)
		v := r.viewOf(now, in, some)
		if i, n := r.cfg.Strategy.Return(v); i >= 0 {
			r.send(v.Peers[i].Holder.Node, &Offer{From: r.self, Instance: in.id, Window: v.Window, Amount: n})
			return
		}
		if !further {
			return
		}
		if len(some) == len(r.peers) {
			in.lookAt = now + lookAgain
			return
		}
	}
}

// receiveOffer asks for what was offered, if there is use for it.
func (r *Replica) receiveOffer(now Instant, m *Offer) {
	in, ok := r.instances[m.Instance]
	if !ok || in.account == nil || m.From == r.self || !r.heir.IsZero() || r.inVain(in) {
		return
	}
	v := r.viewSelf(now, in)
	if v.Spec.Kind != Rate || v.Window != m.Window || !r.cfg.Strategy.Accept(v, m.Amount) {
		return
	}
	r.askID++
	r.send(m.From.Node, &Ask{
		ID: r.askID, From: r.self, Instance: in.id, Window: v.Window, Want: m.Amount, At: now,
	})
}
