package admit

import (
	"fmt"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	numShards = 1 << shardBits // at the most
	inline    = 4              // draws kept without an allocation
)

// MaxRecords bounds the decisions that a node remembers, and so its open reservations.
const MaxRecords = numShards * maxPerShard

const maxPerShard = 1024

// State is where a decision stands.
type State uint8

const (
	Refused  State = iota + 1
	Reserved       // tokens are set aside
	Expired        // the TTL has ended; on hard ceilings the tokens are still set aside until Grace is over
	Settled
	Released
	Booked // the TTL and the grace have ended: charged in full
)

func (s State) String() string {
	switch s {
	case Refused:
		return "refused"
	case Reserved:
		return "reserved"
	case Expired, Booked:
		return "expired"
	case Settled:
		return "settled"
	case Released:
		return "released"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// record is one decision. A busy node writes them one after the other and finds each one cold, so it has as few lines as it may. 248 bytes and no
// more: with 256, where all begin on the same few sets of the first cache, a decision takes a twelfth longer.
type record struct {
	seq     uint64
	at      ledger.Instant
	due     ledger.Instant // when the wheel brings it: the end of the TTL, or of the grace
	ttl     uint32         // ms
	waited  uint32         // ms
	state   State
	verdict Verdict
	flags   flags
	n       uint8  // draws
	booked  uint16 // by draw: charged in full when the TTL or the grace ended

	bound *bound
	many  *many // instead of few and prices when n > inline
	// What follows is only written when a decision is made; nothing of most of few where it has one draw.
	note    *note   // why it was refused, where it was sent, what data it named; nil for none of these
	outcome *string // nil until it has ended

	tenant, agent, run, model string

	prices [inline]uint32 // of the admission, as policy.PPM.Short; 0: the budget's base price
	few    [inline]held
}

// flags of a record.
type flags uint8

const (
	flagLate     flags = 1 << iota // it was ended after its TTL
	flagLevel                      // two bits: the level of backpressure when it was decided
	flagFloor    flags = 1 << 3    // it was within its tenant's guarantee in one of its budgets
	flagAttained flags = 1 << 4    // it was charged to its tenant at its first draw; at the second, the bit above, and so on
)

// held is what one instance holds or was charged for a call.
type held struct {
	reserved ledger.Tokens
	charged  ledger.Tokens // until it has ended, the part of reserved that was charged on the way: see Pace
	window   ledger.Window
}

// outcomes are those that nearly all calls have, so that they take no memory of their own.
var outcomes = [...]string{"", "ok", "error", "cancelled", "released", "expired", OutcomeRefused, OutcomeReported}

// OutcomeRefused is the outcome of a call that was admitted and then refused by its provider.
const OutcomeRefused = "refused_upstream"

// ending returns where an outcome is kept.
func ending(s string) *string {
	for i := range outcomes {
		if outcomes[i] == s {
			return &outcomes[i]
		}
	}
	kept := s // so that only this one is allocated
	return &kept
}

// many is for calls that draw on more than a record keeps room for.
type many struct {
	held   [policy.MaxDraws]held
	prices [policy.MaxDraws]uint32
}

func (h *held) overrun() ledger.Tokens { return max(0, h.charged-h.reserved) }

func (r *record) held() []held {
	if r.many != nil {
		return r.many.held[:r.n]
	}
	return r.few[:r.n]
}

// short are the prices of its draws, as a record keeps them.
func (r *record) short() []uint32 {
	if r.many != nil {
		return r.many.prices[:r.n]
	}
	return r.prices[:r.n]
}

// price is what the j-th draw multiplies costs by: that of the admission.
func (r *record) price(j int) policy.PPM {
	short := r.prices[:]
	if r.many != nil {
		short = r.many.prices[:]
	}
	if short[j] == 0 {
		return r.bound.takes[j].terms.Base()
	}
	return policy.Long(short[j])
}

// expires is when the TTL ends, as the caller was told.
func (r *record) expires() ledger.Instant { return r.at + ledger.Instant(r.ttl) }

// link is where a record stands: on the wheel while tokens are set aside, on a list of ended ones after that. -1 ends a list. It is kept beside the
// records, so that none of them is read to find the next: a record is cold when its turn comes.
type link struct {
	next, prev int32
	bucket     int16
}

// chunkLen is how many records a shard takes at once, so that a quiet engine stays small.
const (
	chunkBits = 4
	chunkLen  = 1 << chunkBits
)

// shard is a part of the records with its own lock.
type shard struct {
	mu         sync.Mutex // guards all below
	chunks     []*[chunkLen]record
	links      []link // of the records
	len        int32  // records in use
	most       int32  // bounds len
	maxOpen    int    // bounds active: less than most, so that a refusal always finds room
	active     int    // reservations with tokens set aside
	seq        uint64
	refused    list // refusals
	done       list // reservations that have ended
	counts     [Deny + 1]int64
	trails     []trail // for the audit log
	missed     int     // for which there was no room
	shadowed   []shadowed
	unshadowed int // for which there was no room
	wheel      wheel
	_          [64]byte // the next shard's lock is on another cache line
}

func (s *shard) init(now ledger.Instant, most int) {
	s.most = int32(most)
	s.maxOpen = most - max(1, most/64)
	s.refused.clear()
	s.done.clear()
	s.wheel.reset(now)
}

func (s *shard) rec(i int32) *record { return &s.chunks[i>>chunkBits][i&(chunkLen-1)] }

// alloc returns a slot for a refusal, which always has one, or for a reservation: -1 when too many are open.
// The oldest ended record makes room. Refusals may fill a quarter of the records at the cost of ended
// reservations, no more: a storm of refusals does not make a node forget what it has settled.
func (s *shard) alloc(refusal bool) int32 {
	if !refusal && s.active >= s.maxOpen {
		return -1
	}
	if s.len < s.most {
		if s.len == int32(len(s.chunks))*chunkLen {
			s.chunks = append(s.chunks, new([chunkLen]record))
			s.links = append(s.links, make([]link, chunkLen)...)
		}
		s.len++
		return s.len - 1
	}
	if s.done.head < 0 || s.refused.n > s.most/4 {
		return s.pop(&s.refused)
	}
	return s.pop(&s.done)
}

// list is ended records, oldest first.
type list struct {
	head, tail, n int32
}

func (l *list) clear() { *l = list{-1, -1, 0} }

func (s *shard) push(l *list, i int32) {
	s.links[i].next = -1
	if l.tail >= 0 {
		s.links[l.tail].next = i
	} else {
		l.head = i
	}
	l.tail = i
	l.n++
}

func (s *shard) pop(l *list) int32 {
	i := l.head
	l.head = s.links[i].next
	if l.head < 0 {
		l.tail = -1
	}
	l.n--
	return i
}

// fill starts a record in slot i.
func (s *shard) fill(i int32, now ledger.Instant, r *Request, b *bound) *record {
	rec := s.rec(i)
	// Milliseconds since 1970 keep numbers of one life apart from those of lives before, whose records are gone.
	s.seq = max(s.seq+1, uint64(max(now, 0)))
	rec.seq, rec.at = s.seq, now
	rec.flags, rec.booked, rec.waited = flags(b.level())*flagLevel, 0, 0
	rec.bound, rec.many, rec.note = b, nil, nil
	rec.tenant, rec.agent, rec.run, rec.model, rec.outcome = r.Tenant, r.Agent, r.Run, r.Model, nil
	return rec
}

// find returns the record of id, with its shard locked if it is there.
func (e *Engine) find(id ID) (*shard, int32, bool) {
	sh, slot, seq := id.split()
	if int(sh) >= len(e.shards) {
		return nil, 0, false
	}
	s := &e.shards[sh]
	s.mu.Lock()
	if slot < s.len && s.rec(slot).seq&seqMask == seq {
		return s, slot, true
	}
	s.mu.Unlock()
	return nil, 0, false
}

// Shards take turns by the millisecond: what is decided at one time is written to one place, which the caches hold, and
// what is forgotten first is the oldest of all. A plan whose shard another core was at moves to another lane, some shards
// ahead, and stays there; so plans that different cores decide by come apart.
const (
	lanes    = 8
	laneBits = 3
	laneStep = numShards / lanes
)

// turn is the shard at which a plan's records start now, but for the number of shards.
func (b *bound) turn(now ledger.Instant, cursor uint32) uint32 {
	return uint32(now) + cursor + b.lane.Load()%lanes*laneStep
}

// move takes a plan to another lane, at most once in a millisecond: two cores that decide by one plan meet in any lane.
func (b *bound) move(now ledger.Instant) {
	old := b.lane.Load()
	if at := uint32(now) << laneBits; old&^(lanes-1) != at {
		b.lane.CompareAndSwap(old, at|(old+(b.hash|1))%lanes)
	}
}

// admitted records a reservation of what takes hold, with what it has to remember; nil for nothing. If too many are open it gives the tokens back and returns
// false.
func (e *Engine) admitted(now ledger.Instant, ttl ledger.Millis, r *Request, b *bound, takes []ledger.Take, prices []policy.PPM, waited ledger.Millis, n *note) (ID, bool) {
	// The cursor goes past shards that were found full; a shard that another core is at is left to it.
	cursor := e.cursor.Load()
	first := b.turn(now, cursor)
	shards := uint32(len(e.shards))
	for try := range 2 * shards {
		sh := (first + try) & (shards - 1)
		s := &e.shards[sh]
		if !s.mu.TryLock() {
			if try == 0 {
				b.move(now)
			}
			if try < shards {
				continue
			}
			s.mu.Lock()
		}
		i := s.alloc(false)
		if i < 0 {
			s.mu.Unlock()
			if try == 0 {
				e.cursor.CompareAndSwap(cursor, cursor+1)
			}
			continue
		}
		floors := flags(0) // counted before the record is written, which what is atomic would wait for
		for j := range takes {
			if f := b.takes[j].floor; f != nil && f.take(takes[j].Amount) {
				floors = flagFloor
			}
		}
		rec := s.fill(i, now, r, b)
		rec.state, rec.verdict, rec.n = Reserved, Admit, uint8(len(takes))
		rec.flags |= floors
		if b.beside && b.changed() {
			rec.verdict = Degrade
		}
		rec.ttl, rec.waited, rec.note = uint32(ttl), uint32(waited), n
		h, short := rec.few[:], rec.prices[:]
		if len(takes) > inline {
			rec.many = new(many)
			h, short = rec.many.held[:], rec.many.prices[:]
		}
		for j := range takes {
			h[j] = held{reserved: takes[j].Amount, window: takes[j].Window}
			short[j] = 0
			if prices[j] != b.takes[j].terms.Base() {
				short[j] = prices[j].Short()
			}
		}
		s.active++
		s.counts[rec.verdict]++
		if b.beside {
			if b.arm != nil {
				b.arm.admitted(sh, &r.Call, waited, b.budget)
			}
			if x := b.experiment; x != nil {
				x.shards[sh].Calls++
			}
		}
		s.schedule(i, now+ledger.Instant(ttl))
		if e.auditing.Load() != 0 {
			e.leaveCall(s, i, rec, r, takes)
		}
		id, verdict := makeID(sh, i, rec.seq), rec.verdict
		if e.shadow.Load() {
			e.leaveShadow(s, id, rec, r, b, takes, prices)
		}
		s.mu.Unlock()
		if n != nil {
			e.noted(now, id, r, b, verdict, n)
		}
		return id, true
	}
	for j := range takes {
		takes[j].Account.Settle(now, takes[j].Amount, 0, takes[j].Window)
	}
	return 0, false
}

// refused records a refusal.
func (e *Engine) refused(now ledger.Instant, r *Request, b *bound, no refusal, waited ledger.Millis) ID {
	// Shards take turns: all that are refused at one moment together must not push each other out of one.
	e.turn++
	sh := e.turn & uint32(len(e.shards)-1)
	if b != nil {
		no.class = b.plan.Class.Name
	} else {
		no.class = r.Class
	}
	n := &note{no: no, data: len(r.Data) > 0, shared: no.shared}
	s := &e.shards[sh]
	s.mu.Lock()
	i := s.alloc(true)
	rec := s.fill(i, now, r, b)
	rec.state, rec.verdict, rec.n, rec.note = Refused, no.verdict, 0, n
	rec.ttl, rec.waited = 0, uint32(waited)
	s.counts[no.verdict]++
	if b != nil && b.arm != nil {
		b.arm.refused(sh, &r.Call)
	}
	if b != nil && b.experiment != nil {
		b.experiment.shards[sh].Calls++
		b.experiment.shards[sh].Refused++
	}
	s.push(&s.refused, i)
	e.leaveCall(s, i, rec, r, nil)
	id := makeID(sh, i, rec.seq)
	if e.shadow.Load() {
		e.leaveShadow(s, id, rec, r, b, nil, nil)
	}
	s.mu.Unlock()
	if n.data {
		e.touched(now, id, r, b, no.verdict, no.code, n)
	}
	return id
}

// Counts returns how many decisions were made by verdict, and how many reservations have tokens set aside.
// Safe for concurrent use.
func (e *Engine) Counts() (byVerdict [Deny + 1]int64, active int) {
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		for v, n := range s.counts {
			byVerdict[v] += n
		}
		active += s.active
		s.mu.Unlock()
	}
	return byVerdict, active
}

func (r *record) waitedFor() time.Duration { return time.Duration(r.waited) * time.Millisecond }
