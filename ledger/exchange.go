package ledger

import (
	"fmt"
	"math"
	"slices"
)

const (
	maxAsks      = 2    // outstanding per instance
	askTimeout   = 500  // ms until an ask without an answer is given up
	refusalLasts = 1000 // ms during which a refuser is not asked again
	firstRepeat  = 200  // ms until a transfer is told again; doubles up to lastRepeat
	lastRepeat   = 15_000
	repeatsATick = 256
)

// outstanding is an ask without an answer yet.
type outstanding struct {
	id   uint64
	to   Holder
	want Tokens
	at   Instant
}

type refusal struct {
	by    Holder
	until Instant
}

// Receive takes one message from a peer. An error says why it was refused; it changed nothing then.
func (r *Replica) Receive(now Instant, m any) error {
	switch m := m.(type) {
	case []Row:
		for i := range m {
			if err := r.learn(now, &m[i]); err != nil {
				return err
			}
		}
		return nil
	case *Ask:
		return r.receiveAsk(now, m)
	case *Refuse:
		return r.receiveRefuse(now, m)
	case *Transfer:
		return r.receiveTransfer(now, m)
	case *Ack:
		return r.receiveAck(m)
	case *SeatPass:
		return r.receiveSeat(m)
	case *SeatAck:
		return r.receiveSeatAck(m)
	case *Digest:
		return r.receiveDigest(now, m)
	}
	panic(fmt.Sprintf("BUG: unknown message %T", m))
}

func (r *Replica) receiveAsk(now Instant, m *Ask) error {
	a, err := r.Open(now, m.Instance)
	if err != nil {
		return err
	}
	if m.From == r.self {
		return fmt.Errorf("an ask from ourselves")
	}
	in := r.instances[m.Instance]
	r.activate(in)
	v := r.view(now, in)
	given := Tokens(0)
	e := r.edge(in, m.From)
	if n := r.cfg.Strategy.Give(v, m); n > 0 && (m.Window == v.Window) {
		a.mu.Lock()
		a.advance(now)
		given = a.giveRights(e, n, m.At)
		a.touch()
		a.mu.Unlock()
	}
	if given == 0 {
		r.send(m.From.Node, &Refuse{ID: m.ID, From: r.self, Instance: m.Instance, Donors: r.hints(v, m.From)})
		return nil
	}
	r.mark(in)
	r.markEdge(in, e)
	e.tries = 0
	r.tell(now, in, e, m.ID)
	return nil
}

// hints names the best donors that a view knows, for a refusal.
func (r *Replica) hints(v *View, not Holder) []Holder {
	best := make([]*PeerView, 0, len(v.Peers))
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.Row != nil && p.Row.Surplus > 0 && p.Holder != not {
			best = append(best, p)
		}
	}
	slices.SortStableFunc(best, func(a, b *PeerView) int { return int(sign(b.Row.Surplus - a.Row.Surplus)) })
	hs := make([]Holder, 0, MaxHints)
	for _, p := range best[:min(len(best), MaxHints)] {
		hs = append(hs, p.Holder)
	}
	return hs
}

func sign(t Tokens) Tokens { return max(-1, min(1, t)) }

// tell sends the cumulative values of an edge, and again until the peer acknowledges them.
func (r *Replica) tell(now Instant, in *instance, e *edge, ask uint64) {
	t := &Transfer{
		From: r.self, To: e.peer, Instance: in.id, Window: in.account.window(),
		SharesOut: e.SharesOut, First: e.First, Asked: e.Asked, AskID: ask,
	}
	if e.Window == t.Window {
		t.Out = e.Out
	}
	r.send(e.peer.Node, t)
	if e.tries == 0 && !slices.ContainsFunc(r.unacked, func(x *edgeRef) bool { return x.e == e }) {
		r.unacked = append(r.unacked, &edgeRef{in, e})
	}
	e.told = now
	e.tries++
}

func (a *Account) window() Window {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s.Window
}

// repeat tells again what has not been acknowledged.
func (r *Replica) repeat(now Instant) {
	sent := 0
	r.unacked = slices.DeleteFunc(r.unacked, func(x *edgeRef) bool {
		if !x.e.open(x.in.account.window()) {
			x.e.tries = 0
			return true
		}
		pause := min(Instant(firstRepeat)<<min(x.e.tries, 10), lastRepeat)
		if _, ok := r.alive(x.e.peer); ok && !x.e.dirty && now >= x.e.told+pause && sent < repeatsATick {
			sent++
			r.tell(now, x.in, x.e, 0)
		}
		return false
	})
}

func (r *Replica) receiveTransfer(now Instant, m *Transfer) error {
	if m.To != r.self || m.From == r.self {
		return fmt.Errorf("a transfer for %v, which we are not", m.To)
	}
	a, err := r.Open(now, m.Instance)
	if err != nil {
		return err // the giver tells it again
	}
	in := r.instances[m.Instance]
	r.answered(in, m.AskID)
	e := r.edge(in, m.From)
	a.mu.Lock()
	a.advance(now)
	change := a.credit(e, m)
	w, ready, lend := a.s.Window, a.ready, a.spec.Lend
	a.mu.Unlock()
	if change != nil {
		lapses := m.Asked + Instant(lend)
		if e.dirty && e.lapses > 0 {
			lapses = min(lapses, e.lapses)
		}
		e.lapses = lapses
		r.grow(in, change1(e, change))
		r.activate(in)
	}
	if !ready || m.Window > w {
		return nil // told again when the window is issued here
	}
	// Acknowledge what this batch makes durable. Rights of a window that is over here are acknowledged
	// without being credited: they lapsed on the way.
	r.send(m.From.Node, &Ack{
		From: r.self, To: m.From, Instance: m.Instance, Window: m.Window,
		In: m.Out, SharesIn: max(m.SharesOut, e.SharesIn),
	})
	return nil
}

func change1(e *edge, f func(*State, *Entry)) change { return change{edge: e, apply: f} }

func (r *Replica) receiveAck(m *Ack) error {
	in, ok := r.instances[m.Instance]
	if !ok || in.account == nil || m.To != r.self {
		return fmt.Errorf("an acknowledgement of nothing that we gave")
	}
	e, ok := in.edges[m.From]
	if !ok || m.SharesIn > e.SharesOut || e.Window == m.Window && m.In > e.Out {
		return fmt.Errorf("an acknowledgement of more than we gave")
	}
	e.AckedShares = max(e.AckedShares, m.SharesIn)
	if e.Window == m.Window {
		e.AckedOut = max(e.AckedOut, m.In)
		if e.AckedOut == e.Out {
			e.Asked = 0
		}
	}
	e.tries = min(e.tries, 1)
	return nil
}

// answered takes an ask off the list.
func (r *Replica) answered(in *instance, id uint64) {
	in.asks = slices.DeleteFunc(in.asks, func(o outstanding) bool { return id != 0 && o.id == id })
}

func (r *Replica) receiveRefuse(now Instant, m *Refuse) error {
	in, ok := r.instances[m.Instance]
	if !ok {
		return fmt.Errorf("a refusal of nothing that we asked")
	}
	i := slices.IndexFunc(in.asks, func(o outstanding) bool { return o.id == m.ID && o.to == m.From })
	if i < 0 {
		return nil // late: given up already
	}
	in.asks = slices.Delete(in.asks, i, i+1)
	in.refuse(m.From, now+refusalLasts)
	in.hints = m.Donors
	if in.account != nil {
		r.batch.grown = append(r.batch.grown, in.account) // the waiting calls look for another donor
	}
	return nil
}

// refuse remembers who is not to be asked for a while.
func (in *instance) refuse(h Holder, until Instant) {
	const most = 64
	if len(in.refusals) == most {
		in.refusals = slices.Delete(in.refusals, 0, 1)
	}
	in.refusals = append(in.refusals, refusal{h, until})
}

// edge returns the pairwise record with a peer.
func (r *Replica) edge(in *instance, peer Holder) *edge {
	e, ok := in.edges[peer]
	if !ok {
		e = &edge{peer: peer}
		in.edges[peer] = e
	}
	return e
}

// Waiting tells the replica what the first call that waits at an instance needs in all, 0 for none, and
// asks donors for what lacks. It is called whenever that changes and on every tick while calls wait.
func (r *Replica) Waiting(now Instant, id InstanceID, need Tokens) {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return
	}
	in.waiting = need
	if need == 0 {
		return
	}
	r.activate(in)
	in.asks = slices.DeleteFunc(in.asks, func(o outstanding) bool {
		if now < o.at+askTimeout {
			return false
		}
		in.refuse(o.to, now+refusalLasts)
		return true
	})
	in.refusals = slices.DeleteFunc(in.refusals, func(f refusal) bool { return now >= f.until })
	if len(in.asks) >= maxAsks {
		return
	}
	v := r.view(now, in)
	if v.Spec.Ceiling == Observe {
		return
	}
	lack := need - v.Rights
	for _, o := range in.asks {
		lack -= o.want
	}
	if lack <= 0 {
		return
	}
	picks, want := r.cfg.Strategy.Donors(v, lack, maxAsks-len(in.asks))
	for _, i := range picks {
		p := v.Peers[i]
		r.askID++
		in.asks = append(in.asks, outstanding{r.askID, p.Holder, want, now})
		r.send(p.Holder.Node, &Ask{
			ID: r.askID, From: r.self, Instance: id, Window: v.Window, Need: lack, Want: max(want, lack), At: now,
		})
	}
}

// Outlook says what waiting for need tokens can bring at an instance.
func (r *Replica) Outlook(now Instant, id InstanceID, need Tokens) Outlook {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return Outlook{}
	}
	v := r.view(now, in)
	o := Outlook{Local: v.Rights, Swarm: v.Rights, Asking: len(in.asks) > 0}
	in.account.mu.Lock()
	s := in.account.s
	end := in.account.end
	in.account.mu.Unlock()
	o.Reserved = s.Reserved
	shares := v.Share
	var out, inn, minted Tokens = s.Out, s.In, s.Minted
	live := v.Share
	for i := range v.Peers {
		row := v.Peers[i].Row
		if row == nil {
			continue
		}
		live += row.Shares
		if row.Window == v.Window {
			o.Swarm += max(0, row.Balance())
			o.Reserved += row.Reserved
		}
	}
	for _, k := range in.rows {
		shares += k.Shares
		if k.Window == v.Window {
			out += k.Out
			inn += k.In
			minted += k.Minted
		}
	}
	o.Swarm += max(0, out-inn)
	o.Known = shares >= TotalShares*999/1000
	switch v.Spec.Kind {
	case Rate:
		// What live holders will have accrued: their shares' part of the rate, at most their part of the burst.
		o.Capacity = v.Spec.Amount
		if live > 0 && v.Spec.Per > 0 {
			lack := max(1, need-o.Swarm)
			perMs := float64(v.Spec.Per) / float64(v.Spec.PerMillis) * float64(min(live, TotalShares)) / float64(TotalShares)
			o.NextAt = now + Instant(math.Ceil(min(float64(lack)/perMs, 1e12)))
		}
	case Windowed:
		o.Capacity = v.Spec.Amount + minted
		o.NextAt = end
	default:
		o.Capacity = v.Spec.Amount + minted
	}
	return o
}
