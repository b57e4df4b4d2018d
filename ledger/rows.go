package ledger

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// learn merges a row from a peer. Merge keeps, of two rows of one holder and instance, the one with the
// higher version: a maximum, so idempotent, commutative and associative. News travels on.
//
// at, if there is one, says where the row was found when it was learned last, and is set.
func (r *Replica) learn(now Instant, row *Row, at *hint) error {
	if row.Holder.Node == r.self.Node && row.Holder.Gen >= r.self.Gen {
		if row.Holder.Gen > r.self.Gen || row.Version > r.version {
			r.fence()
			return fmt.Errorf("%w: a row of %v with version %d, ours is %d", ErrFenced, row.Holder, row.Version, r.version)
		}
		return nil
	}
	if r.gone(row.Holder) {
		return nil // its heir's row counts what it did
	}
	if r.instances[row.Instance] == nil && r.ended(now-Instant(afterLife), row.Instance) {
		return nil // a peer has not forgotten it yet
	}
	in, err := r.instance(row.Instance)
	if err != nil {
		return err
	}
	before, news, err := r.merge(now, in, row, at)
	if err == nil && !news {
		r.batch.stale++
	}
	if news {
		r.batch.news++
		r.hearSlow(now, in, row, before)
		r.batch.spreads = append(r.batch.spreads, Spread{row, weightOfNews})
		if len(in.refusals) > 0 && in.account != nil && row.issuedSince(before) && in.account.Spec().Kind != Rate {
			in.forgive(row.Holder) // it has more than when it refused
		}
		if in.account != nil && in.need.First > 0 && row.Surplus > 0 {
			r.batch.grown = append(r.batch.grown, in.account)
			in.quiet = 0
		}
		if in.account != nil && row.Demand > 0 {
			in.news = true // a quiet holder of shares should see where they are needed
			r.activate(in)
		}
	}
	return err
}

// weightOfNews is the weight of a row that is passed on.
const weightOfNews = 0.5

// merge keeps the row if it is news, and returns the one before it, if there was one.
func (r *Replica) merge(now Instant, in *instance, row *Row, at *hint) (before *Row, news bool, err error) {
	var i int
	var ok bool
	if at == nil {
		i, ok = in.find(row.Holder, -1)
	} else {
		own := r.before(row.Holder)
		i, ok = in.find(row.Holder, int(at.place)-own)
		if place := int32(i + own); place != at.place { // as a rule all find the same
			at.place = place
		}
	}
	if ok {
		k := &in.rows[i]
		if before = k.Row; row.Version <= before.Version {
			return before, false, nil
		}
		k.Row, k.at = row, now
		r.replaced(in, i, before, at)
		return before, true, nil
	}
	if r.rows >= MaxRows {
		return nil, false, fmt.Errorf("%w: %d rows are known", ErrFull, r.rows)
	}
	r.rows++
	in.rows = slices.Insert(in.rows, i, known{row, now})
	r.replaced(in, i, nil, at)
	return nil, true, nil
}

// reach looks at all places where rows will be looked for. Each is a wait for memory that is in no cache where there are
// many replicas; so they wait together.
func (r *Replica) reach(m *SharedRows) {
	var in *instance
	for _, x := range m.Rows {
		if in == nil || in.id != x.Instance {
			if in = r.instances[x.Instance]; in == nil {
				continue
			}
		}
		if i := int(m.hint(x).place) - r.before(x.Holder); 0 <= i && i < len(in.rows) {
			r.reached ^= in.rows[i].Version
		}
	}
}

// before is how much higher the place of a holder's row is than where it lies: this node's own row, which is not among them,
// counts in a place.
func (r *Replica) before(h Holder) int {
	if r.self.Compare(h) < 0 {
		return 1
	}
	return 0
}

// find looks up the row of a holder, first at a place where it may be.
func (in *instance) find(h Holder, guess int) (i int, ok bool) {
	if guess >= 0 && guess < len(in.rows) && in.rows[guess].Holder == h {
		return guess, true
	}
	return slices.BinarySearchFunc(in.rows, h, func(k known, h Holder) int { return k.Holder.Compare(h) })
}

// digest is what a digest says of a holder of which this is the only row. The hash tells versions of rows apart: it
// guards against gaps, not against attackers.
func (in *instance) digest(row *Row) HolderDigest {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], in.hash)
	binary.BigEndian.PutUint64(b[8:], row.Version)
	return HolderDigest{Holder: row.Holder, Rows: 1, Highest: row.Version, Hash: xxhash.Sum64(b[:])}
}

// row builds this node's present row of an instance, without a version.
func (r *Replica) row(now Instant, in *instance, v *View) Row {
	s := in.account.State(now)
	l := s.Lapses()
	return Row{
		Holder: r.self, Instance: in.id, Window: s.Window, Shares: s.Shares(), Free: s.Free,
		Issued: s.Issued() + s.Taken.Issued, Minted: s.Minted, Overdrawn: s.Overdrawn, In: max(0, s.In+s.Taken.In), Out: max(0, s.Out+s.Taken.Out),
		Spent: max(0, s.Spent+s.Taken.Spent), Reserved: s.Reserved, Lapsed: s.Lapsed + s.Taken.Lapsed, Debt: s.Debt,
		Surplus: r.cfg.Strategy.Surplus(v),
		Demand:  Tokens(v.Demand), Unmet: Tokens(v.Unmet), Lent: Tokens(v.Lending),
		Wanted: Tokens(v.Held) + in.need.All,
		Used:   v.Used, Price: v.Price, Whole: v.Whole,
		Claims: v.Claims, Alone: r.guards.alone,
		Decayed: l.Decayed + s.Taken.Decayed, Burned: l.Burned + s.Taken.Burned,
		Inherited: s.Taken.Minted,
	}
}

// emit sends the row if it changed enough to matter since peers were sent one. It reports whether a change
// is still unsent.
func (r *Replica) emit(now Instant, in *instance) (unsent bool) {
	if !in.account.started() || in.dirty {
		return true // what a row shows is durable first
	}
	if now < in.tellAt && !in.tellNow() {
		return true
	}
	v := r.viewSelf(now, in)
	row, last := &r.scratch.row, &r.scratch.last
	*row, *last = r.row(now, in, v), in.sent
	row.Version = last.Version
	if *row == *last {
		return false
	}
	if r.version+1 >= r.versionMark {
		return true // versions are durable before they are used: the next batch brings more
	}
	weight := r.cfg.Strategy.Weight(v, last, row, Millis(now-in.sentAt))
	if weight < 0 {
		in.tellAt = now + Instant(-weight)
	}
	if weight <= 0 {
		return true
	}
	r.version++
	row.Version = r.version
	in.sent, in.sentAt = *row, now
	told := in.sent
	r.batch.spreads = append(r.batch.spreads, Spread{&told, weight})
	return false
}

// tellNow reports whether something changed that a row tells at once.
func (in *instance) tellNow() bool {
	a := in.account
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s.Shares() != in.sent.Shares || a.s.Minted != in.sent.Minted || a.s.Window != in.sent.Window || a.slow.own > in.sent.Whole
}

// viewSelf is a view without peers: there may be thousands, and a row needs none. It is valid until the next
// call of it or of view.
func (r *Replica) viewSelf(now Instant, in *instance) *View {
	a := in.account
	v := &r.scratch.view
	a.mu.Lock()
	a.advance(now)
	*v = View{
		Now: now, Self: r.self, Instance: in.id, Spec: a.spec, Share: a.s.Shares(), Free: a.s.Free, Window: a.s.Window,
		Givable: a.givable(), Demand: float64(a.demand), Unmet: float64(a.unmet),
		Used: Tokens(a.used), Price: a.price, MeanCall: Tokens(a.meanCall), Waiting: in.need.First, Lending: float64(a.lending),
		Borrowed: a.accrual.lent, Claims: a.claims, Spare: a.spare(),
		Reserved: a.s.Reserved, Peers: v.Peers[:0], Rand: r.dice,
		Members: max(1, r.live),
	}
	in.heldNeed(&v.HeldBy)
	v.Held = v.HeldBy[RankNone]
	if in.need.First > 0 {
		v.First = in.need.rank()
	}
	if ppm := a.part(a.last); ppm < Whole {
		v.Spec.Per = Part(v.Spec.Per, ppm)
	}
	if a.slow.own > a.last {
		v.Whole = a.slow.own
	}
	v.Lapsing = a.accrual.lapsing(a.last + Instant(a.spec.Lend/2))
	if a.open() {
		v.Rights = max(0, a.rights-a.s.Debt)
	}
	a.mu.Unlock()
	if r.guards.alone {
		v.Givable = 0 // nobody would hear of it
	}
	return v
}

// view gathers what a strategy may look at. It is valid until the next call.
func (r *Replica) view(now Instant, in *instance) *View { return r.viewOf(now, in, r.peers) }

// viewOf is a view of some peers that lie side by side.
func (r *Replica) viewOf(now Instant, in *instance, peers []Peer) *View {
	v := r.viewSelf(now, in)
	v.Seat = r.seated(r.self)
	v.Gather = r.gathers(&v.Spec)
	rows := in.rows // sorted by holder, as peers are
	if len(peers) > 0 && len(peers) < len(r.peers) {
		first, _ := in.find(peers[0].Holder, -1)
		rows = rows[first:]
	}
	for i := range peers {
		p := &peers[i]
		if !p.Alive {
			continue
		}
		if p.Holder.Gen == 0 || p.Holder == r.self {
			continue
		}
		pv := PeerView{Holder: p.Holder, Distance: p.Distance}
		for len(rows) > 0 && pv.Row == nil {
			if k := rows[0]; k.Holder == p.Holder { // as a rule: all know all
				pv.Row, pv.Age = k.Row, Millis(now-k.at)
			} else if k.Holder.Compare(p.Holder) > 0 {
				break
			}
			rows = rows[1:]
		}
		v.Peers = append(v.Peers, pv)
	}
	// What is special about a few of them.
	of := func(h Holder) *PeerView {
		if i, ok := slices.BinarySearchFunc(v.Peers, h, func(p PeerView, h Holder) int { return p.Holder.Compare(h) }); ok {
			return &v.Peers[i]
		}
		return &PeerView{}
	}
	for _, s := range r.seats.of {
		of(s.Holder).Founder = true
	}
	for _, f := range in.refusals {
		if now < f.until && (f.rank >= v.First || v.First < RankSmall) {
			of(f.by).Refused = true
		}
	}
	for _, h := range in.hints {
		of(h).Hinted = true
	}
	for _, o := range in.asks {
		of(o.to).Asked = true
	}
	for _, g := range in.gifts {
		of(g.to).Given = true
	}
	return v
}

// Known is one holder's account as this node knows it.
type Known struct {
	Row
	At    Instant // when it was learned; now for this node's own
	Alive bool
}

// Rows lists all that is known of an instance, this node's account first.
func (r *Replica) Rows(now Instant, id InstanceID) []Known {
	in, ok := r.instances[id]
	if !ok {
		return nil
	}
	var ks []Known
	if in.account != nil && in.account.started() {
		row := r.row(now, in, r.viewSelf(now, in))
		row.Version = in.sent.Version
		ks = append(ks, Known{row, now, true})
	}
	for _, k := range in.rows {
		_, alive := r.alive(k.Holder)
		ks = append(ks, Known{*k.Row, k.at, alive})
	}
	return ks
}

// Instances lists the instances that are known, in order of first sight.
func (r *Replica) Instances() []InstanceID {
	ids := make([]InstanceID, len(r.order))
	for i, in := range r.order {
		ids[i] = in.id
	}
	return ids
}

// Digest sums up the rows that are known, this node's own included, for a peer to compare.
func (r *Replica) Digest() *Digest {
	return &Digest{From: r.self, Charter: r.charter.ID, Seats: r.heldSeats(), Holders: append(r.scratch.spare(), r.digests()...),
		Retired: r.guard.Decisions(), Gone: r.tellGone(r.lastSlow), Buried: r.guard.Buried()}
}

// digests sums up what is known of each holder, sorted by holder. It is valid until the next call.
func (r *Replica) digests() []HolderDigest {
	all := r.scratch.digests[:0] // one for each row
	if len(r.order) == 0 {
		all = append(all, HolderDigest{Holder: r.self})
	}
	for _, in := range r.order {
		own, _ := in.find(r.self, -1)
		for _, k := range in.rows[:own] {
			all = append(all, in.digest(k.Row))
		}
		if in.sent.Version > 0 {
			all = append(all, in.digest(&in.sent))
		} else {
			all = append(all, HolderDigest{Holder: r.self})
		}
		for _, k := range in.rows[own:] {
			all = append(all, in.digest(k.Row))
		}
	}
	r.scratch.digests = all
	if len(r.order) > 1 {
		slices.SortFunc(all, func(a, b HolderDigest) int { return a.Holder.Compare(b.Holder) })
	}
	n := 0
	for _, h := range all[1:] {
		if sum := &all[n]; sum.Holder == h.Holder {
			sum.Rows += h.Rows
			sum.Highest = max(sum.Highest, h.Highest)
			sum.Hash ^= h.Hash
			continue
		}
		n++
		all[n] = h
	}
	return all[:n+1]
}

// rowsPerMessage keeps a message of rows well below what a peer accepts.
const rowsPerMessage = 512

// receiveDigest sends the peer the rows of every holder of which it knows others than we do.
func (r *Replica) receiveDigest(now Instant, m *Digest) error {
	if !m.Charter.IsZero() && !r.charter.ID.IsZero() && m.Charter != r.charter.ID {
		return fmt.Errorf("node %s belongs to a cluster founded by charter %v, this one by %v: they never merge",
			m.From.Node, m.Charter, r.charter.ID)
	}
	r.learnSeats(m.Seats)
	r.learnRetired(now, m)
	theirs, byHolder := m.Holders, func(a, b HolderDigest) int { return a.Holder.Compare(b.Holder) }
	if !slices.IsSortedFunc(theirs, byHolder) { // as no node of ours sends it
		theirs = slices.SortedFunc(slices.Values(theirs), byHolder)
	}
	if i, ok := slices.BinarySearchFunc(theirs, r.self, HolderDigest.compare); ok && theirs[i].Highest > r.version {
		r.fence()
		return fmt.Errorf("%w: %s knows version %d of us, ours is %d", ErrFenced, m.From.Node, theirs[i].Highest, r.version)
	}
	r.sendLacking(m.From, theirs)
	return nil
}

const (
	// rowsPerDigest bounds the answer to one digest, some 2 MB: what is left comes with a later one.
	rowsPerDigest = 16_384
	// gapChance is how often, one in so many, a peer that is behind gets all rows of a holder, not only the newer
	// ones. Busy holders are never level at two nodes, so this is how a gap among their quiet instances closes.
	gapChance = 16
	// gapChanceFew is that of holders of few rows, which cost little.
	gapChanceFew, fewRows = 4, 16
)

func (d HolderDigest) compare(h Holder) int { return d.Holder.Compare(h) }

// sendLacking sends a peer what its digest, sorted by holder, lacks. The versions of a holder's rows are one count, so a
// peer that is behind lacks the rows above the highest that it knows. One that is level, or ahead, and yet differs has
// a gap, we do not know where. What there is no allowance for now comes with a later digest.
func (r *Replica) sendLacking(to Holder, theirs []HolderDigest) {
	own := r.digests()
	// The answer may be cut short, so it starts anywhere.
	first, firstRow := r.dice(len(own)), r.dice(max(1, len(r.order)))
	left := r.rowsLeft()
	if left == 0 {
		return
	}
	rows := r.scratch.rows[:0]
	defer func() { // never more than one message holds
		clear(rows)
		r.scratch.rows = rows[:0]
	}()
	next, _ := slices.BinarySearchFunc(theirs, own[first].Holder, HolderDigest.compare)
	for i := range own {
		o := own[(first+i)%len(own)]
		if first+i == len(own) {
			next = 0
		}
		var t HolderDigest
		for c := -1; c < 0 && next < len(theirs); {
			if h := &theirs[next]; h.Holder == o.Holder {
				t, c = *h, 0
			} else if c = h.compare(o.Holder); c < 0 {
				next++
			}
		}
		if t == o || o.Holder == to {
			continue
		}
		above, chance := uint64(0), gapChance
		if o.Rows <= fewRows {
			chance = gapChanceFew
		}
		if t.Highest < o.Highest && (t.Rows == 0 || r.dice(chance) > 0) {
			above = t.Highest
		} else if t.Highest > o.Highest && r.dice(chance) > 0 {
			continue // it knows more than we do
		}
		guess := (first + i) % len(own) // where all hold rows of everything
		if r.self.Compare(o.Holder) < 0 {
			guess--
		}
		for j := range r.order {
			row := r.rowOf(r.order[(firstRow+j)%len(r.order)], o.Holder, guess)
			if row == nil || row.Version <= above {
				continue
			}
			if rows = append(rows, *row); len(rows) == rowsPerMessage {
				r.send(to.Node, r.scratch.message(rows))
				rows = rows[:0]
			}
			if left--; left == 0 {
				break
			}
		}
		if left == 0 {
			break
		}
	}
	if len(rows) > 0 {
		r.send(to.Node, r.scratch.message(rows))
	}
}

// rowOf returns what is known of a holder's account of an instance, as it was last told; nil if nothing is. It is looked
// for at the place guessed first.
func (r *Replica) rowOf(in *instance, h Holder, guess int) *Row {
	if h == r.self {
		if in.sent.Version > 0 {
			return &in.sent
		}
		return nil
	}
	if i, ok := in.find(h, guess); ok {
		return in.rows[i].Row
	}
	return nil
}
