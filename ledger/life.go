package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Lives. An instance of a budget whose policy says `renew` lives from one instant to another, which its identity names: after that its
// budget has another one for the same values, which begins anew. Everything is keyed by identity: shares, pairs, seats' uses,
// rows, credits of heirs. So nobody needs to agree on what is over, and every node forgets it by itself (see forget). What makes
// that safe is in DESIGN.md, "Lives".

// ErrEnded says that the life of an instance is over: its budget has another one by now.
var ErrEnded = errors.New("the life of this instance is over")

// afterLife is how long an instance stays after its life, in ms: calls end, peers whose clocks are behind have what they ask for. No
// invariant rests on it, but for an operator's word, which trusts clocks to a minute (wordSlack).
const afterLife Millis = 120_000

// InLife names the instance that lives from begins to ends, whole seconds since 1970, of an identity without a life.
func (id InstanceID) InLife(begins, ends Instant) (InstanceID, error) {
	if begins < 0 || ends <= begins || begins%1000 != 0 || ends%1000 != 0 {
		return "", fmt.Errorf("instance %.64q cannot live from %d to %d", string(id), begins, ends)
	}
	live := id + InstanceID("."+strconv.FormatInt(int64(begins)/1000, 16)+"-"+strconv.FormatInt(int64(ends)/1000, 16))
	if len(live) > MaxInstanceIDLen {
		return "", fmt.Errorf("instance %.64q makes a name of %d bytes, at most %d are allowed: use shorter values", string(id), len(live), MaxInstanceIDLen)
	}
	return live, nil
}

// Life says from when to when an instance lives; false if it has no end.
func (id InstanceID) Life() (begins, ends Instant, ok bool) {
	_, tail, _ := strings.Cut(string(id), "@")
	_, life, ok := strings.Cut(tail, ".")
	if !ok {
		return minInstant, maxInstant, false
	}
	from, to, _ := strings.Cut(life, "-")
	b, err := strconv.ParseInt(from, 16, 64)
	e, bad := strconv.ParseInt(to, 16, 64)
	if err != nil || bad != nil || b < 0 || e <= b || e > 1<<40 || from != strconv.FormatInt(b, 16) || to != strconv.FormatInt(e, 16) {
		return minInstant, maxInstant, false
	}
	return Instant(b) * 1000, Instant(e) * 1000, true
}

// Lifeless is the identity without a life: the same for all that follow each other.
func (id InstanceID) Lifeless() InstanceID {
	if i := strings.LastIndexByte(string(id), '.'); i > strings.LastIndexByte(string(id), '@') {
		return id[:i]
	}
	return id
}

// mortal are the instances with a life that a replica knows.
type mortal struct {
	latest map[InstanceID]*instance // by identity without a life: the one that began last
	closes Instant                  // when the next of those ends that have not
	leaves Instant                  // when to look again which can be forgotten
	floor  Instant                  // durable with what was forgotten: lives that ended by then are not opened any more
	past   map[string]Lives         // of those that have ended, by budget
}

// lives notes an instance that has just become known, if it has a life.
func (r *Replica) lives(in *instance) {
	var mortal bool
	if in.begins, in.ends, mortal = in.id.Life(); !mortal {
		return
	}
	m := &r.mortal
	if m.latest == nil {
		m.latest, m.past = map[InstanceID]*instance{}, map[string]Lives{}
	}
	base := in.id.Lifeless()
	if was := m.latest[base]; was == nil || was.begins < in.begins {
		m.latest[base] = in
	}
	m.closes = min(m.closes, in.ends)
}

// ended reports whether an instance's life is over here, so that it is not opened: by this node's clock, or since it was forgotten.
func (r *Replica) ended(now Instant, id InstanceID) bool {
	_, ends, ok := id.Life()
	return ok && (ends <= now || ends <= r.mortal.floor)
}

// closeLives counts the instances no more that have ended by then.
func (r *Replica) closeLives(by Instant) {
	m := &r.mortal
	if by < m.closes {
		return
	}
	m.closes = maxInstant
	for _, in := range r.order {
		switch {
		case in.over:
		case in.ends <= by:
			in.over = true
			m.count(in, 1, 0)
			r.counts[in.id.budget()]--
			m.leaves = min(m.leaves, in.ends+Instant(afterLife))
		default:
			m.closes = min(m.closes, in.ends)
		}
	}
}

// forget drops the instances of which nothing is left to do: accounts, pairs, credits, rows and seats' uses. Nothing that is
// forgotten can begin again: floors say so, on this node's disk, to its heirs, and to whoever takes a seat over.
func (r *Replica) forget(now Instant) {
	m := &r.mortal
	if r.closeLives(now); now < m.leaves {
		return
	}
	m.leaves = maxInstant
	floor, any := r.pastUses(now)
	var gone map[*instance]bool
	for _, in := range r.order {
		if !in.over {
			continue
		}
		if now < in.ends+Instant(afterLife) {
			m.leaves = min(m.leaves, in.ends+Instant(afterLife))
			continue
		}
		if !r.spent(now, in) {
			m.leaves = min(m.leaves, now+slowTick)
			continue
		}
		if gone == nil {
			gone = map[*instance]bool{}
		}
		gone[in] = true
		floor = max(floor, in.ends)
		r.drop(in)
	}
	if any || gone != nil {
		r.raiseFloor(floor)
	}
	if gone == nil {
		return
	}
	r.order = slices.DeleteFunc(r.order, func(in *instance) bool { return gone[in] })
	r.active = slices.DeleteFunc(r.active, func(in *instance) bool { return gone[in] })
	r.unacked = slices.DeleteFunc(r.unacked, func(x *edgeRef) bool { return gone[x.in] })
	r.guards.marks = slices.DeleteFunc(r.guards.marks, func(in *instance) bool { return gone[in] })
	r.near = nil
}

// pastUses looks for what seats held here were used for by lives that ended long enough ago, whether or not this node knows the
// instances: it returns until when the last of them lived, at least the present floor.
func (r *Replica) pastUses(now Instant) (floor Instant, any bool) {
	m := &r.mortal
	floor = m.floor
	for _, used := range r.seats.used {
		for _, level := range used {
			ends, ok := level.lifeEnds()
			if !ok {
				continue
			}
			if ends+Instant(afterLife) > now {
				m.leaves = min(m.leaves, ends+Instant(afterLife))
				continue
			}
			floor, any = max(floor, ends), true
		}
	}
	return floor, any
}

// spent reports whether nothing of an instance whose life is over is reserved, owed or on its way to the disk. What is owed
// goes to the next life; it is given up when there was none for as long as this one was.
func (r *Replica) spent(now Instant, in *instance) bool {
	if in.dirty || len(in.changes) > 0 {
		return false
	}
	for _, e := range in.edges {
		if e.dirty {
			return false
		}
	}
	a := in.account
	if a == nil {
		return true
	}
	a.mu.Lock()
	a.advance(now)
	reserved, debt, retired := a.s.Reserved, a.s.Debt, a.retired
	a.mu.Unlock()
	if reserved > 0 && !retired {
		return false
	}
	if debt == 0 || now >= in.ends+(in.ends-in.begins)+Instant(afterLife) {
		return true
	}
	if next := r.mortal.latest[in.id.Lifeless()]; next != in && next.account != nil && next.account.started() && !next.dirty {
		r.growLater(next, change{apply: func(s *State, _ *Entry) { s.Debt += debt }})
		r.growLater(in, change{apply: func(s *State, _ *Entry) { s.Debt -= min(s.Debt, debt) }})
	}
	return false
}

// drop forgets one instance. The caller takes it off the lists.
func (r *Replica) drop(in *instance) {
	m := &r.mortal
	gone := int64(0)
	if a := in.account; a != nil {
		a.mu.Lock()
		s, was := a.s, a.ready
		a.notify = nil
		a.mu.Unlock()
		if gone = 1; was {
			l := m.past[in.id.budget()]
			l.Past.add(s.ever())
			m.past[in.id.budget()] = l
		}
	}
	m.count(in, -1, gone)
	if in.account != nil || in.parked != nil {
		r.meta(keyAccount+string(in.id), nil)
	}
	for _, e := range in.sortedEdges() {
		r.meta(entryKey(in.id, e.peer), nil)
	}
	for _, k := range in.sortedDues() {
		r.meta(dueRecordKey(in.id, k), nil)
	}
	r.edges -= len(in.edges)
	r.rows -= len(in.rows)
	if base := in.id.Lifeless(); m.latest[base] == in {
		delete(m.latest, base)
	}
	delete(r.instances, in.id)
	in.account, in.parked, in.edges, in.rows, in.dues = nil, nil, nil, nil, nil
}

const (
	keyFloor       = "floor"
	kindFloor byte = 87

	// floorKey stands among the instances that were used under a seat for all whose lives have ended by its level, an instant.
	floorKey uint64 = 1
)

// raiseFloor has no life begin here again that ended by then, nor under a seat held here; what seats were used for before is
// forgotten.
func (r *Replica) raiseFloor(floor Instant) {
	r.mortal.floor = floor
	r.meta(keyFloor, encodeFloor(floor))
	for i, used := range r.seats.used {
		if used == nil {
			continue
		}
		var hs []uint64
		for h, level := range used {
			if ends, ok := level.lifeEnds(); ok && ends <= floor {
				hs = append(hs, h)
			}
		}
		slices.Sort(hs)
		for _, h := range hs {
			delete(used, h)
			r.meta(usedKey(i, h), nil)
		}
		r.use(i, floorKey, max(used[floorKey], Tokens(floor)))
	}
	var ids []InstanceID
	for id := range r.overdrew {
		if _, ends, ok := id.Life(); ok && ends <= floor {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		delete(r.overdrew, id)
		r.meta(keyOverdrew+string(id), nil)
	}
}

func encodeFloor(at Instant) []byte {
	w := newWriter(kindFloor)
	w.array(1)
	w.int(int64(at))
	return w.done()
}

func readFloor(b []byte) (Instant, error) {
	d := newReader(b, kindFloor)
	more := d.record(1)
	at := d.instant()
	d.skip(more)
	return at, d.err
}

// lifeLevel is the level at which an instance with a life is used under a seat: it is issued by shares, and what matters is
// until when that must be known. All such levels are below those of amounts.
func lifeLevel(ends Instant) Tokens { return -Tokens(ends) }

func (n Tokens) lifeEnds() (ends Instant, ok bool) {
	if n >= legacyLevel {
		return 0, false
	}
	return Instant(-n), true
}

// known is a level as it is told: a record from before there were levels says nothing.
func (n Tokens) known() Tokens {
	if _, ok := n.lifeEnds(); ok {
		return n
	}
	return max(n, unknownLevel)
}

// forgot reports whether a generation whose final records show nothing of an instance had forgotten it, as its life was over.
func (f *final) forgot(id InstanceID) bool {
	_, ends, ok := id.Life()
	return ok && f.accounts[id] == nil && ends <= f.floor
}

// accruedBy is what shares have accrued of a rate since the life of its instance began, at most their part of the burst: so much
// is there when it is opened. The life before may have used its burst up until then.
func (a *Account) accruedBy(now Instant, s Shares) Tokens {
	all := mulDiv(int64(a.spec.Per), int64(max(0, now-a.begins)), int64(max(1, a.spec.PerMillis)))
	return min(Worth(s, a.spec.Amount), Worth(s, Tokens(all)))
}

// ever is all that an account came to, as if its window had ended.
func (s *State) ever() Past {
	p := s.Past
	p.Issued += s.Issued() + s.Taken.Issued
	p.Spent += s.used() + s.Taken.Spent
	p.Lapsed += s.Lapsed + s.Balance() + s.Taken.Lapsed
	p.Decayed += s.Decayed + s.Taken.Decayed
	p.Burned += s.Burned + s.Cut + s.Taken.Burned
	p.Rolled += s.Rolled
	p.Minted += s.Minted + s.Taken.Minted
	p.Overdrawn += s.Overdrawn
	return p
}

func (p *Past) add(o Past) {
	p.Issued += o.Issued
	p.Spent += o.Spent
	p.Lapsed += o.Lapsed
	p.Decayed += o.Decayed
	p.Burned += o.Burned
	p.Rolled += o.Rolled
	p.Minted += o.Minted
	p.Overdrawn += o.Overdrawn
}

// Lives tells of the instances of a budget whose lives are over.
type Lives struct {
	Over      int   // that are still known: calls of theirs run, or peers may still ask
	Forgotten int64 // accounts of this node, in this process
	Past            // what became of those: counters must not go down
}

// count counts an instance that has ended, or was forgotten.
func (m *mortal) count(in *instance, over int, gone int64) {
	l := m.past[in.id.budget()]
	l.Over += over
	l.Forgotten += gone
	m.past[in.id.budget()] = l
}

// Lives tells of the instances of a budget whose lives are over.
func (r *Replica) Lives(budget string) Lives { return r.mortal.past[budget] }

// Ended reports whether an instance is only known until what it left behind is over.
func (r *Replica) Ended(id InstanceID) bool {
	in := r.instances[id]
	return in != nil && in.over
}
