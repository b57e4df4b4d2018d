package ledger

import (
	"fmt"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

const (
	maxAsks      = 2    // outstanding per instance
	maxFirst     = 6    // and of those that go first, beside those of lower ranks, which may be kept for long: what they ask for is bounded by parts
	askTimeout   = 500  // ms until an ask without an answer is given up
	refusalLasts = 1000 // ms during which a refuser is not asked again
	firstRepeat  = 200  // ms until a transfer is told again; doubles up to lastRepeat
	lastRepeat   = 15_000
	repeatsATick = 256
	maxHeld      = 256             // asks that wait for rights at one instance
	maxPatience  = Millis(600_000) // of an ask
	briefly      = Millis(100)     // for which a donor may keep an ask of RankSmall, of the first few donors
	briefAsks    = 3               // that refuse
	needLasts    = Instant(1_000)  // ms for which a need stands after its time: a call that is late is decided first
	askPause     = Instant(200)    // ms until donors are looked for again when there were none, unless something changes
)

// outstanding is an ask without an answer yet.
type outstanding struct {
	id    uint64
	to    Holder
	want  Tokens
	at    Instant
	held  Instant // the donor keeps it until then; 0 while nothing was heard
	ahead bool    // nobody waited when it was sent
	rank  int
}

// overdue reports whether no answer is expected any more.
func (o *outstanding) overdue(now Instant) bool {
	if o.held != 0 {
		late := Instant(askTimeout)
		if o.rank == RankSmall { // others have it: see briefly
			late = Instant(briefly)
		}
		return now < o.at || now >= o.held+late
	}
	return due(now, o.at, askTimeout)
}

type refusal struct {
	by    Holder
	until Instant
	rank  int // of the ask: what goes before it may find more there
}

// Receive takes one message from a peer. An error says why it was refused; what was
// refused changed nothing then. Rows are kept and must not be written to any more.
func (r *Replica) Receive(now Instant, m any) error {
	switch m := m.(type) {
	case *Row:
		return r.learn(now, m, nil)
	case *SharedRow:
		return r.learn(now, &m.Row, &m.hints[0])
	case *SharedRows:
		r.reach(m)
		var first error
		for _, x := range m.Rows {
			if err := r.learn(now, &x.Row, m.hint(x)); err != nil && first == nil {
				first = err
			}
		}
		return first
	case []Row:
		var first error // one bad row does not keep the others away
		for i := range m {
			if err := r.learn(now, &m[i], nil); err != nil && first == nil {
				first = err
			}
		}
		return first
	case *Ask:
		return r.receiveAsk(now, m)
	case *Hold:
		return r.receiveHold(now, m)
	case *Offer:
		r.receiveOffer(now, m)
		return nil
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
	case *guardian.Note, *guardian.NoteAck, *guardian.Refused, *guardian.Release, *guardian.Prepare, *guardian.Promise,
		*guardian.Accept, *guardian.Accepted, *guardian.Reject, *guardian.Decided, *guardian.Outcome, *guardian.Query, *guardian.Fetch, *guardian.Part:
		return r.receiveGuard(now, m)
	case *WordAsk, *WordAnswer, *WordDoubt, *WordOver:
		return r.receiveWord(now, m)
	}
	panic(fmt.Sprintf("BUG: unknown message %T", m))
}

// maxEarly bounds the asks that wait for an account to be opened.
const maxEarly = 32

func (r *Replica) receiveAsk(now Instant, m *Ask) error {
	r.tellRetired(m.From)
	a, err := r.Open(now, m.Instance)
	if err != nil {
		return err
	}
	if m.From == r.self {
		return fmt.Errorf("an ask from ourselves")
	}
	if !r.mayFirst(m.Rank()) {
		return nil // the asker hears nothing and asks others
	}
	in := r.instances[m.Instance]
	r.activate(in)
	a.mu.Lock()
	a.advance(now)
	early := !a.ready || a.last >= a.end && m.Window > a.s.Window
	a.mu.Unlock()
	if early && len(in.early) < maxEarly {
		in.early = append(in.early, m) // answered when the issue is durable
		return nil
	}
	r.answer(now, in, m)
	return nil
}

// answerEarly answers the asks that waited for an issue.
func (r *Replica) answerEarly(now Instant, in *instance) {
	if len(in.early) == 0 || len(in.changes) > 0 || !in.account.started() {
		return
	}
	asks := in.early
	in.early = nil
	for _, m := range asks {
		r.answer(now, in, m)
	}
}

// answer gives rights, keeps the ask until there are some, or refuses. A repeated ask gets nothing more than the
// repeated transfer.
func (r *Replica) answer(now Instant, in *instance, m *Ask) {
	v := r.viewSelf(now, in)
	if m.Window == v.Window && !r.guards.alone {
		switch {
		case m.Need == 0: // for what was offered
			if r.serve(now, in, m, min(m.Want, v.Borrowed, v.Givable)) {
				return
			}
		case (len(in.held) == 0 || m.Rank() > in.held[0].ask.Rank()) && r.serve(now, in, m, r.cfg.Strategy.Give(v, m)):
			return
		}
		if m.Need > 0 && m.Patience > 0 && len(in.held) < maxHeld && r.cfg.Strategy.Hold(v, m) {
			r.hold(now, in, m)
			return
		}
	}
	r.event(Event{Kind: RefusedAsk, Instance: in.id, Peer: m.From})
	r.send(m.From.Node, &Refuse{ID: m.ID, From: r.self, Instance: m.Instance, Donors: r.hints(in, m.From)})
}

// serve gives up to n rights for an ask. It reports whether the ask is answered.
func (r *Replica) serve(now Instant, in *instance, m *Ask, n Tokens) bool {
	if n <= 0 || len(r.unacked) >= MaxOpen {
		return false
	}
	e, err := r.edge(in, m.From)
	if err != nil {
		return false
	}
	if e.answered(m.ID) {
		return true
	}
	a := in.account
	a.mu.Lock()
	a.advance(now)
	given := a.giveRights(e, n, m.At)
	if given > 0 && m.Need > 0 {
		a.given += given
		a.seen(m.Need)
	}
	a.touch()
	a.mu.Unlock()
	if given == 0 {
		return false
	}
	e.remember(m.ID)
	shares := Shares(0)
	if m.Need > 0 {
		shares = r.along(now, in, e, m)
	}
	r.moved(in, e.peer, GaveRights, given, shares)
	r.gave(now, in, e, m.ID)
	return true
}

// gave has the peer told of what was just given to it, once that is durable.
func (r *Replica) gave(now Instant, in *instance, e *edge, ask uint64) {
	r.mark(in)
	r.markEdge(in, e)
	e.tries = 0
	r.activate(in)
	if r.bound {
		e.ask = ask
		r.await(in, e) // told once it is held
		return
	}
	r.tell(now, in, e, ask)
}

// hints names the best donors that are known, for a refusal.
func (r *Replica) hints(in *instance, not Holder) []Holder {
	var best [MaxHints]*Row
	for _, k := range in.rows {
		if k.Surplus <= 0 || k.Holder == not || best[MaxHints-1] != nil && k.Surplus <= best[MaxHints-1].Surplus {
			continue
		}
		if _, ok := r.alive(k.Holder); !ok {
			continue
		}
		row := k.Row
		for i, b := range best {
			if b == nil || row.Surplus > b.Surplus {
				best[i], row = row, b
				if row == nil {
					break
				}
			}
		}
	}
	hs := make([]Holder, 0, MaxHints)
	for _, b := range best {
		if b != nil {
			hs = append(hs, b.Holder)
		}
	}
	return hs
}

// tell sends the cumulative values of an edge, and again until the peer acknowledges them.
func (r *Replica) tell(now Instant, in *instance, e *edge, ask uint64) {
	out := &e.Entry
	if r.bound {
		out = &e.guards.held.Entry
	}
	t := &Transfer{
		From: r.self, To: e.peer, Instance: in.id, Window: in.account.window(),
		SharesOut: out.SharesOut, First: out.First, Asked: out.Asked, AskID: ask,
	}
	if out.Window == t.Window {
		t.Out = out.Out
	}
	r.send(e.peer.Node, t)
	r.await(in, e)
	e.told = now
	e.tries++
}

// await puts an edge on the list of those that are told until they are acknowledged.
func (r *Replica) await(in *instance, e *edge) {
	if !e.listed {
		e.listed = true
		r.unacked = append(r.unacked, &edgeRef{in, e})
	}
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
		if now >= x.in.ends || !x.e.open(x.in.account.window()) {
			x.e.tries, x.e.listed = 0, false
			return true
		}
		on := r.wentOn(x.e.peer) // then it may never have heard of the gift, nor will it, if nobody holds it
		if r.bound && on.IsZero() && !x.e.tellable(x.in.account.window()) {
			return false // what is held was acknowledged
		}
		pause := min(Millis(firstRepeat)<<min(x.e.tries, 10), lastRepeat)
		if x.e.dirty || !due(now, x.e.told, pause) || sent >= repeatsATick || !r.may() {
			return false
		}
		if _, ok := r.alive(x.e.peer); ok {
			sent++
			r.tell(now, x.in, x.e, 0)
		} else if r.bound && !on.IsZero() {
			sent++
			r.askWhat(x.e.peer, on)
			x.e.told = now
			x.e.tries++
		}
		return false
	})
}

// wentOn returns the live generation as which the node of another goes on; zero if there is none.
func (r *Replica) wentOn(h Holder) Holder {
	if i, ok := r.peer(h.Node); ok && r.peers[i].Alive && r.peers[i].Holder.Gen > h.Gen {
		return r.peers[i].Holder
	}
	return Holder{}
}

func (r *Replica) receiveTransfer(now Instant, m *Transfer) error {
	if m.To != r.self || m.From == r.self {
		return fmt.Errorf("a transfer for %v, which we are not", m.To)
	}
	r.tellRetired(m.From)
	if r.isShut(m.From) {
		return fmt.Errorf("a transfer of %v, which an operator says is dead", m.From)
	}
	a, err := r.Open(now, m.Instance)
	if err != nil {
		return err // the giver tells it again
	}
	in := r.instances[m.Instance]
	r.answered(now, in, m.AskID)
	e, err := r.edge(in, m.From)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.advance(now)
	if d := m.SharesOut - e.SharesIn; d > 0 && a.s.Shares()+in.coming+d > TotalShares {
		a.mu.Unlock()
		return fmt.Errorf("%w: a transfer of %d shares on top of %d", ErrTooMuch, d, a.s.Shares())
	}
	if m.Out > MaxTokens {
		a.mu.Unlock()
		return fmt.Errorf("%w: a transfer of %d tokens", ErrTooMuch, m.Out)
	}
	credit, rights := a.credit(e, m)
	marks := r.heldOf(now, in)
	w, ready, lend := a.s.Window, a.ready, a.spec.Lend
	a.mu.Unlock()
	if credit != nil {
		grow := r.growLater
		if in.need.First > 0 { // a call waits for it
			grow = r.grow
		}
		grow(in, change{edge: e, apply: func(s *State, e *Entry) {
			credit(s, e)
			marks(s)
		}, lapses: m.Asked + Instant(lend)})
		in.arriving += rights
		r.activate(in)
	}
	// Acknowledge what this batch makes durable. Rights of a window that is over here are acknowledged
	// without being credited: they lapsed on the way. Those of a window that is not issued here yet are told
	// again; shares need no window.
	ack := &Ack{From: r.self, To: m.From, Instance: m.Instance, Window: m.Window, In: m.Out, SharesIn: max(m.SharesOut, e.SharesIn)}
	if !ready || m.Window > w {
		ack.In = 0
	}
	r.send(m.From.Node, ack)
	return nil
}

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
func (r *Replica) answered(now Instant, in *instance, id uint64) {
	in.asks = slices.DeleteFunc(in.asks, func(o outstanding) bool {
		if id == 0 || o.id != id {
			return false
		}
		r.event(Event{Kind: AskGranted, Instance: in.id, Peer: o.to, Took: Millis(now - o.at)})
		return true
	})
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
	r.event(Event{Kind: AskRefused, Instance: in.id, Peer: m.From, Took: Millis(now - in.asks[i].at)})
	if in.asks[i].ahead {
		in.aheadAt = now + aheadRefuse
	}
	rank := in.asks[i].rank
	in.asks = slices.Delete(in.asks, i, i+1)
	in.refuse(m.From, now+refusalLasts, rank)
	in.hints = m.Donors
	if in.account != nil {
		r.batch.grown = append(r.batch.grown, in.account) // the waiting calls look for another donor
	}
	return nil
}

// refuse remembers who is not to be asked for a while.
func (in *instance) refuse(h Holder, until Instant, rank int) {
	const most = 64
	if len(in.refusals) == most {
		in.refusals = slices.Delete(in.refusals, 0, 1)
	}
	in.refusals = append(in.refusals, refusal{h, until, rank})
}

// refused counts the peers that refused asks of a rank, or of one that goes before it, since then, of late.
func (in *instance) refused(since Instant, rank int) (n int) {
	for _, f := range in.refusals {
		if f.until-refusalLasts >= since && f.rank >= rank {
			n++
		}
	}
	return n
}

// forgive lets a peer that refused be asked again.
func (in *instance) forgive(h Holder) {
	in.refusals = slices.DeleteFunc(in.refusals, func(f refusal) bool { return f.by == h })
}

// MaxEdges bounds the pairwise records of a replica.
const MaxEdges = 1 << 20

// edge returns the pairwise record with a peer, making it if there is room. There is none with a generation that is
// known to be claimed, but to close it.
func (r *Replica) edge(in *instance, peer Holder) (*edge, error) {
	if _, ok := in.edges[peer]; !ok {
		if _, claimed := r.guard.Decision(peer); claimed {
			return nil, fmt.Errorf("%v was claimed: what it had is another's", peer)
		}
	}
	return r.anyEdge(in, peer)
}

func (r *Replica) anyEdge(in *instance, peer Holder) (*edge, error) {
	e, ok := in.edges[peer]
	if !ok {
		if r.edges >= MaxEdges {
			return nil, fmt.Errorf("%w: %d pairwise records are kept", ErrFull, r.edges)
		}
		r.edges++
		e = &edge{peer: peer, shut: r.isShut(peer)}
		in.edges[peer] = e
	}
	return e, nil
}

// sortedEdges lists the pairwise records in an order that does not depend on the map.
func (in *instance) sortedEdges() []*edge {
	es := make([]*edge, 0, len(in.edges))
	for _, e := range in.edges {
		es = append(es, e)
	}
	slices.SortFunc(es, func(a, b *edge) int { return a.peer.Compare(b.peer) })
	return es
}

// Need is what the calls that wait at an instance want.
type Need struct {
	First Tokens  // what the first needs in all; 0 if none waits
	All   Tokens  // what all need together
	Since Instant // when the first came
	Until Instant // how long it can wait: a second later nobody does who has not said so again
	Floor bool    // the first is within its tenant's guarantee, and so is All: peers give for it before their own calls
	Share int     // see Ask
}

func (n *Need) rank() int { return rank(n.Floor, n.Share) }

// Waiting tells the replica what the calls that wait at an instance need, and asks donors for what lacks. It is
// called whenever that changes and on every tick while calls wait.
func (r *Replica) Waiting(now Instant, id InstanceID, need Need) {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return
	}
	if need.First != in.need.First || need.rank() > in.need.rank() {
		in.quiet = 0
	}
	in.need = need
	if need.First == 0 {
		return
	}
	r.activate(in)
	r.giveUp(now, in)
	outstanding, most := 0, maxAsks
	if need.rank() > RankNone {
		most = maxFirst
	}
	for _, o := range in.asks {
		if o.rank >= need.rank() {
			outstanding++
		}
	}
	if outstanding >= most || r.inVain(in) || !r.mayFirst(need.rank()) || now < in.quiet && in.quiet <= now+askPause {
		return
	}
	self := r.viewSelf(now, in)
	lack := need.All - self.Rights - in.arriving
	first := need.First - self.Rights - in.arriving
	for _, o := range in.asks {
		if o.rank >= need.rank() {
			lack -= o.want
			first -= o.want
		}
	}
	if self.Spec.Ceiling == Observe || lack <= 0 {
		return
	}
	if first <= 0 { // it is asked for: this is for those behind it
		first = min(lack, need.First)
	}
	v := r.view(now, in)
	v.Lack, v.Patience, v.First = lack, Millis(max(0, need.Until-now)), need.rank()
	count := min(maxAsks, most-outstanding)
	if patience := v.Patience; need.rank() == RankSmall && patience > briefly && in.refused(need.Since, RankSmall) < briefAsks {
		// Most donors keep rather enough for it: one that has just given that away should say so.
		v.Patience = briefly
		if picks, want := r.cfg.Strategy.Donors(v, first, count); len(picks) > 0 {
			r.ask(now, in, v, picks, first, want)
			return
		}
		v.Patience = patience
	}
	picks, want := r.cfg.Strategy.Donors(v, first, count)
	if len(picks) == 0 {
		in.quiet = now + askPause
	}
	r.ask(now, in, v, picks, first, want)
}

// Outlook says what waiting for need tokens can bring at an instance. Every refusal asks for it, so it looks at
// what the rows come to, and at none of them.
func (r *Replica) Outlook(now Instant, id InstanceID, need Tokens) Outlook {
	in, ok := r.instances[id]
	if !ok || in.account == nil {
		return Outlook{}
	}
	a := in.account
	a.mu.Lock()
	a.advance(now)
	s, spec, end, rights, own := a.s, a.spec, a.end, Tokens(0), float64(a.demand)
	if !a.ready { // it will be issued for the present window
		s.Window, end, _ = a.due(now)
	}
	if a.open() || a.resting && a.ready && a.last < a.end { // what rests comes back with the next generation
		rights = max(0, a.rights-a.s.Debt)
	}
	over, ppm := a.retired, a.part(a.last)
	a.mu.Unlock()
	all := r.sums(in, s.Window)
	o := Outlook{
		Local: rights, Swarm: rights + all.swarm, Away: all.away, Reserved: s.Reserved + all.reserved, Asking: len(in.asks) > 0,
		Demand: own + float64(all.demand), Own: own,
	}
	shares, live := s.Shares()+all.shares, s.Shares()+all.live // all that are known, and those of live holders
	minted, free := s.Minted+s.Taken.Minted+all.minted, s.Free+all.free
	o.Swarm += max(0, s.Out+all.out-s.In-all.in)
	if r.gathers(&spec) {
		o.Swarm += Issue(min(free, TotalShares), spec.Amount)
	}
	o.Known = shares >= TotalShares*999/1000 && !over // or what was its own may be the next generation's
	switch spec.Kind {
	case Rate:
		// What live holders will have accrued: their shares' part of the rate, at most their part of the burst.
		o.Capacity = spec.Amount
		if live > 0 && spec.Per > 0 {
			lack := max(1, need-o.Swarm)
			perMs := float64(spec.Per) / float64(spec.PerMillis) * float64(min(live, TotalShares)) / float64(TotalShares) * float64(ppm) / Whole
			o.Refill = perMs * 1000
			o.NextAt = now + Instant(math.Ceil(min(float64(lack)/perMs, 1e12)))
		}
	case Windowed:
		o.Capacity = spec.Amount + minted + spec.rollover(TotalShares)
		o.NextAt = end
	default:
		o.Capacity = spec.Amount + minted
	}
	return o
}
