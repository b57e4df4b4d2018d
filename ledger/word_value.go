package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// What is decided by a word. The shares of an instance are known to the last one: those that none of the live owns, that are
// not on their way between two of them, and that no seat of theirs would bring, are the dead's. Rights are what the operator
// states. All of it is put into final records, so that all else goes as after a claim.

// takeAnswer takes a part of an answer to a word that this node gives.
func (r *Replica) takeAnswer(now Instant, m *WordAnswer) {
	a := r.words.own
	if a == nil || a.id != m.ID || a.err != nil || a.decided {
		return
	}
	i := slices.Index(a.live, m.From)
	switch {
	case i < 0:
		return
	case m.Code != 0:
		r.Unvouch(&peerRefusal{wordErrors[min(int(m.Code), len(wordErrors)-1)], m.Refused})
		return
	case m.Part == 0 && !r.allSeats(m.Seats):
		return
	}
	g := a.answers[i]
	if g == nil || len(g.parts) != m.Parts {
		g = &gathered{parts: make([]*WordAnswer, m.Parts)}
		a.answers[i] = g
	}
	g.parts[m.Part] = m
	r.decideWord(now, a)
}

// allSeats reports whether these are all seats in order, as every node knows them.
func (r *Replica) allSeats(ss []Seat) bool {
	for i, s := range ss {
		if s.Index != i {
			return false
		}
	}
	return len(ss) == len(r.seats.of)
}

// decideWord gives the word once all have answered. It is durable with this batch, and told after it.
func (r *Replica) decideWord(now Instant, a *attempt) {
	for _, g := range a.answers {
		if !g.whole() {
			return
		}
	}
	if err := r.mayDecide(a); errors.Is(err, errAgain) {
		a.answers = make([]*gathered, len(a.live)) // they are asked again
		return
	} else if err != nil {
		r.Unvouch(err)
		return
	}
	records, err := r.wordRecords(now, a)
	if err != nil {
		r.Unvouch(err)
		return
	}
	for i, h := range a.dead {
		if err := r.guard.Vouch(r.elapsed, h, guardian.Value{Version: a.id, Heir: r.self}, records[i]); err != nil && !a.decided {
			r.Unvouch(err)
			return
		}
		a.decided = true // with the first: from then on it is not given up
	}
}

// errAgain says that answers do not go together.
var errAgain = errors.New("ask again")

// mayDecide looks once more whether all is as the word says.
func (r *Replica) mayDecide(a *attempt) error {
	if r.fenced || r.guards.over || !r.heir.IsZero() {
		return fmt.Errorf("%w: this node is leaving or over", ErrNotNow)
	}
	if r.guard.Guarded() && !r.guard.Fresh(r.elapsed) && !r.loses(a.dead) {
		return fmt.Errorf("%w: this node does not reach its own guardians, so another may own all of it; ask another node", ErrNotNow)
	}
	for _, h := range a.live {
		if _, ok := r.alive(h); !ok && h != r.self {
			return fmt.Errorf("%w: %s is out of reach", ErrNotNow, h.Node)
		}
	}
	for _, h := range a.dead {
		if _, ok := r.alive(h); ok {
			return fmt.Errorf("%w: %s is back", ErrAlive, h.Node)
		}
	}
	again := false
	for i, g := range a.answers {
		for _, h := range g.parts[0].Retired {
			if slices.Contains(a.live, h) || slices.Contains(a.dead, h) {
				return fmt.Errorf("%w: %v is another's by now; give the word again", ErrNotNow, h)
			}
			if r.final(h) == nil {
				r.guard.Ask(h, a.live[i]) // others that know it may know no more than what concerns them
				again = true
			}
		}
	}
	if again {
		return errAgain
	}
	// What was decided before must have come to where it belongs, or it would be taken for the dead's.
	for _, h := range r.guard.Decisions() {
		heir := r.guard.Heir(h)
		if k := slices.Index(a.live, heir); k >= 0 && !slices.Contains(a.answers[k].parts[0].Retired, h) {
			r.guard.Tell(h, heir)
			return errAgain
		} else if k < 0 && !slices.Contains(a.dead, heir) {
			return fmt.Errorf("%w: %v owns what %v had, and is away; vouch for it in the same word", ErrOthers, heir, h)
		}
		for i, g := range a.answers {
			if r.final(h) == nil || !slices.Contains(g.parts[0].Retired, h) && r.final(h).with[a.live[i]] {
				r.guard.Tell(h, a.live[i])
				return errAgain
			}
		}
	}
	return r.seatsAgree(a)
}

// seatsAgree checks that every seat is held by one who says so himself, or by the dead. One that passes from one to another
// meanwhile would count for neither, or for both.
func (r *Replica) seatsAgree(a *attempt) error {
	for i := range r.seats.of {
		last := a.lastSeat(i)
		said := 0
		for k, g := range a.answers {
			for _, u := range g.parts[0].Held {
				if u.Seat.Index == i {
					if said++; a.live[k] != last.Holder {
						return errAgain
					}
				}
			}
		}
		heir := r.guard.Heir(last.Holder)
		switch {
		case slices.Contains(a.live, last.Holder) && said == 1, slices.Contains(a.dead, heir) && said == 0:
		default:
			return errAgain
		}
	}
	return nil
}

// lastSeat is who holds a seat, by all answers.
func (a *attempt) lastSeat(i int) (s Seat) {
	for k, g := range a.answers {
		if have := g.parts[0].Seats[i]; k == 0 || have.Serial > s.Serial {
			s = have
		}
	}
	return s
}

// told gathers all that was said of one instance.
type told struct {
	id     InstanceID
	net    Shares
	window Window
	first  Window
	with   map[Holder]map[Holder]WordPair // by the dead, then by who says it
}

// gatherTold sorts the answers by instance.
func (r *Replica) gatherTold(now Instant, a *attempt) []*told {
	by := map[InstanceID]*told{}
	get := func(id InstanceID) *told {
		t := by[id]
		if t == nil {
			t = &told{id: id, with: map[Holder]map[Holder]WordPair{}}
			t.window, t.first = r.wordWindow(now, id)
			by[id] = t
		}
		return t
	}
	for k, g := range a.answers {
		for _, p := range g.parts {
			for _, w := range p.Accounts {
				t := get(w.Instance)
				t.net += w.Net
				t.window, t.first = max(t.window, w.Window), max(t.first, w.First)
				for _, e := range w.With {
					if t.with[e.Dead] == nil {
						t.with[e.Dead] = map[Holder]WordPair{}
					}
					t.with[e.Dead][a.live[k]] = e
				}
			}
		}
	}
	// What earlier claims show on the way to and from the dead, and what the dead were heirs of.
	for _, h := range r.guard.Decisions() {
		f := r.final(h)
		heir := slices.Contains(a.dead, r.guard.Heir(h))
		for _, id := range f.order {
			if heir {
				get(id)
			}
			for _, d := range a.dead {
				if e := f.accounts[id].entry(d); e != (Entry{}) {
					t := get(id)
					if t.with[d] == nil {
						t.with[d] = map[Holder]WordPair{}
					}
					t.with[d][h] = WordPair{Dead: d, SharesOut: e.SharesOut, SharesIn: e.SharesIn, Window: e.Window, Out: e.Out, In: e.In}
					t.first = max(t.first, e.First)
				}
			}
			if spec, ok := r.cfg.Resolve(id); ok && spec.Kind == Windowed && by[id] != nil {
				t := by[id]
				s := f.accounts[id].state
				t.window, t.first = max(t.window, s.Window), max(t.first, s.Window+1)
			}
		}
	}
	for _, s := range slices.Concat(a.word.Stock, a.word.Limits) {
		get(s.Instance)
	}
	ts := make([]*told, 0, len(by))
	for _, t := range by {
		if r.ended(now, t.id) {
			continue // some have forgotten it, and nobody will miss it
		}
		ts = append(ts, t)
	}
	slices.SortFunc(ts, func(x, y *told) int { return strings.Compare(string(x.id), string(y.id)) })
	return ts
}

// rest is how many shares of an instance the dead own.
func (r *Replica) rest(a *attempt, t *told) (Shares, error) {
	n, h := TotalShares-t.net, hashID(t.id)
	for _, g := range a.answers {
		for _, u := range g.parts[0].Held {
			if _, used := slices.BinarySearch(u.Used, h); !used {
				n -= r.charter.seatShares(u.Seat.Index)
			}
		}
	}
	if n < 0 || n > TotalShares {
		return 0, fmt.Errorf("%w: of %q the live own %d shares more than there are", errAgain, t.id, -n)
	}
	return n, nil
}

// wordRecords makes the final records of each of the dead. The first is given all that they owned.
func (r *Replica) wordRecords(now Instant, a *attempt) ([][]guardian.Record, error) {
	records := make([][]guardian.Record, len(a.dead))
	add := func(i int, key string, value []byte) {
		records[i] = append(records[i], guardian.Record{Key: key, Value: value})
	}
	said := encodeWord(&a.word, now)
	for i := range a.dead {
		add(i, keySaid, said)
	}
	ts := r.gatherTold(now, a)
	for _, t := range ts {
		shares, err := r.rest(a, t)
		if err != nil {
			return nil, err
		}
		stated := Tokens(0)
		for _, s := range a.word.Stock {
			if s.Instance == t.id {
				stated = s.Tokens
			}
		}
		if shares > 0 || stated > 0 {
			a.back = append(a.back, Returned{t.id, shares, stated})
		}
		for i, d := range a.dead {
			if i > 0 {
				shares, stated = 0, 0
			}
			state := State{Window: t.window, Issues: true, ArrivingFirst: t.first, At: now}
			for _, by := range sortedHolders(t.with[d]) {
				p := t.with[d][by]
				e := Entry{SharesOut: p.SharesIn, SharesIn: p.SharesOut, Window: p.Window, Out: p.In, In: p.Out}
				add(i, entryKey(t.id, by), encodeEntry(&e))
				state.SharesIn += e.SharesIn
				state.SharesOut += e.SharesOut
				if e.Window == state.Window {
					state.In += e.In
					state.Out += e.Out
				}
			}
			if state.SharesIn > 1<<59 || state.SharesOut > 1<<59 || state.In > 1<<59 || state.Out > 1<<59 {
				return nil, fmt.Errorf("%w: sums of %+v", ErrTooMuch, state)
			}
			state.Genesis = max(0, shares+state.SharesOut-state.SharesIn)
			state.SharesOut += max(0, state.SharesIn-state.SharesOut-shares)
			spec, _ := r.cfg.Resolve(t.id)
			if row := r.lastRow(t.id, d); row != nil && row.Window == state.Window {
				state.Base = row.Issued // all else that it may have issued stays unsaid
			}
			state.Base = max(state.Base, stated+state.Out-state.In)
			if rest := state.Base + state.In - state.Out - stated; spec.Kind == Slots {
				state.Lapsed = rest // of what was reserved nothing comes free
			} else {
				state.Spent = rest // as it may have been
			}
			if state.ArrivingFirst > 0 {
				state.Arriving = state.Shares()
			}
			add(i, keyAccount+string(t.id), encodeState(&state))
		}
	}
	r.wordDues(a, add)
	r.wordSeats(now, a, ts, add)
	for i := range records {
		slices.SortFunc(records[i], func(x, y guardian.Record) int { return strings.Compare(x.Key, y.Key) })
	}
	return records, nil
}

// wordDues says that the dead were credited all that they were to be as heirs: it is among what they owned.
func (r *Replica) wordDues(a *attempt, add func(int, string, []byte)) {
	none := encodeDue(&Due{})
	for _, h := range r.guard.Decisions() {
		i := slices.Index(a.dead, r.guard.Heir(h))
		if i < 0 {
			continue
		}
		f := r.final(h)
		for _, id := range f.order {
			add(i, dueRecordKey(id, dueKey{from: h}), none)
			add(i, dueRecordKey(id, dueKey{h, h}), none)
			for _, peer := range f.accounts[id].peers() {
				add(i, dueRecordKey(id, dueKey{h, peer}), none)
			}
		}
	}
}

// wordSeats passes the seats of the dead on. Of what is known all was used, up to the limit that is stated; of what is not, see
// Word.Unseen and laterKey.
func (r *Replica) wordSeats(now Instant, a *attempt, ts []*told, add func(int, string, []byte)) {
	for s := range r.seats.of {
		last := a.lastSeat(s)
		i := slices.Index(a.dead, r.guard.Heir(last.Holder))
		if i >= 0 && last.Holder != a.dead[i] {
			last = Seat{Index: s, Serial: last.Serial + 1, Holder: a.dead[i]} // as its heir
		}
		for k := range a.dead { // also that it is another's by now
			add(k, keySeat+strconv.Itoa(s), encodeSeat(&last))
		}
		if i < 0 {
			continue
		}
		for _, t := range ts {
			level := unknownLevel
			if spec, known := r.cfg.Resolve(t.id); known && (spec.Kind == Windowed || spec.Kind == Rate) {
				level = 0
				if _, ends, ok := t.id.Life(); ok {
					level = lifeLevel(ends)
				}
			}
			for _, l := range a.word.Limits {
				if l.Instance == t.id {
					level = l.Tokens
				}
			}
			add(i, usedKey(s, hashID(t.id)), encodeLevel(level))
		}
		if !a.word.Unseen {
			add(i, usedKey(s, laterKey), encodeLevel(Tokens(now+wordSlack)))
		}
	}
}

// lastRow is the last row that is known of a holder.
func (r *Replica) lastRow(id InstanceID, h Holder) *Row {
	if in := r.instances[id]; in != nil {
		return r.rowOf(in, h, -1)
	}
	return nil
}

func sortedHolders[V any](m map[Holder]V) []Holder {
	hs := make([]Holder, 0, len(m))
	for h := range m {
		hs = append(hs, h)
	}
	slices.SortFunc(hs, Holder.Compare)
	return hs
}
