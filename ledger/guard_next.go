package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// How one generation of a data directory follows another: what is on disk then, and what the next one takes along that is
// not.

// Records that one generation leaves to the next one in its directory, and nobody else has.
const (
	keyGeneration      = "generation" // the number of the present one, once one has followed another
	kindGen       byte = 84
	keyOverdrew        = "overdrew/" // + instance: what those before have overdrawn of it
	kindOverdrew  byte = 86
)

// overdrew is what earlier generations of a directory have overdrawn in a window. They are one member with the present one:
// were each of them given its part of the overdraft anew, a node would overdraw it with every restart.
type overdrew struct {
	window Window
	tokens Tokens
	marked Tokens // perhaps beyond that: what is below the mark counts as spent, as after a crash. It says nothing of a rate
	used   Tokens // by the last of them, by its own disk, which may know more than its guardians do of a soft budget
	of     uint64 // which that was; 0 for the first of the directory
}

// Succeed lists the writes that make the records of a retired generation those of generation gen of the same directory:
// what was its own is deleted, and the next one finds in what was decided what it inherits, if anything. They belong in one
// transaction: a generation that found the accounts of the one before would own what is its heir's.
func Succeed(records []Write, gen uint64) (ws []Write) {
	before, present := map[string]overdrew{}, uint64(0)
	for _, w := range records {
		if w.Key == keyGeneration {
			present, _ = decodeGeneration(w.Value)
		}
		if id, ok := strings.CutPrefix(w.Key, keyOverdrew); ok {
			if o, err := decodeOverdrew(w.Value); err == nil {
				before[id] = o
			}
		}
	}
	for _, w := range records {
		if mirrored(w.Key) || w.Key == keyOwn {
			ws = append(ws, Write{Key: w.Key})
		}
		id, ok := strings.CutPrefix(w.Key, keyAccount)
		if !ok {
			continue
		}
		s, err := decodeState(w.Value)
		if err != nil {
			continue
		}
		used := max(s.used(), s.Mark)
		o := overdrew{s.Window, s.Overdrawn, max(0, used-s.owned()), used, present}
		if b := before[id]; b.window == o.window {
			o.tokens, o.marked = min(o.tokens+b.tokens, MaxTokens), min(o.marked+b.marked, MaxTokens)
		}
		ws = append(ws, Write{Key: keyOverdrew + id, Value: encodeOverdrew(o)})
	}
	return append(ws, Write{Key: keyGeneration, Value: encodeGeneration(gen)})
}

func encodeOverdrew(o overdrew) []byte {
	w := newWriter(kindOverdrew)
	w.array(5)
	w.ints(int64(o.window), int64(o.tokens), int64(o.marked), int64(o.used))
	w.uint(o.of)
	return w.done()
}

func decodeOverdrew(b []byte) (overdrew, error) {
	r := newReader(b, kindOverdrew)
	more := r.record(5)
	o := overdrew{r.window(), r.tokens(), r.tokens(), r.tokens(), r.uint()}
	r.skip(more)
	return o, r.err
}

// loadOverdrew reads what earlier generations have overdrawn.
func (r *Replica) loadOverdrew(w Write) error {
	id, ok := strings.CutPrefix(w.Key, keyOverdrew)
	if !ok {
		return nil
	}
	o, err := decodeOverdrew(w.Value)
	if err != nil {
		return err
	}
	if r.overdrew == nil {
		r.overdrew = map[InstanceID]overdrew{}
	}
	r.overdrew[InstanceID(id)] = o
	return nil
}

// unheld is what the generation before this one has used of a soft budget beyond what its heir counts: it goes on when its
// guardians do not hear of it, and only its own disk knows. What was decided is known here, or this one would not be.
func (r *Replica) unheld(a *Account) Tokens {
	o := a.overdrew
	if o.used == 0 || a.spec.Ceiling == Hard || a.spec.Kind == Rate || a.spec.Kind == Slots {
		return 0
	}
	of := Holder{Node: r.self.Node, Gen: o.of}
	if of.Gen == 0 {
		of.Gen = r.cfg.Directory
	}
	f := r.final(of)
	if f == nil {
		return 0
	}
	counted := Tokens(0)
	if fa := f.accounts[a.id]; fa != nil && fa.state.Window == o.window {
		s := &fa.state
		if counted = s.owned(); a.spec.Ceiling == Soft {
			counted -= max(0, s.owned()-max(s.Held, s.used())-s.Debt)
		}
	}
	return max(0, o.used-counted)
}

// mayHaveOverdrawn is how much the account may have overdrawn in its present window: its part, less what earlier
// generations have taken of it.
func (a *Account) mayHaveOverdrawn() Tokens {
	part := a.overdraftPart
	if a.overdrew.window == a.s.Window {
		if part -= a.overdrew.tokens; a.spec.Kind != Rate {
			part -= a.overdrew.marked
		}
	}
	return max(0, part)
}

// Generation says of which generation the records of a directory are: first, with which the directory began, or the one
// that Succeed named last.
func Generation(records []Write, first uint64) (uint64, error) {
	for _, w := range records {
		if w.Key != keyGeneration {
			continue
		}
		gen, err := decodeGeneration(w.Value)
		if err == nil && gen < first {
			err = fmt.Errorf("%w: generation %x of a directory that began with %x", ErrWire, gen, first)
		}
		if err != nil {
			return 0, fmt.Errorf("record %q: %w", w.Key, err)
		}
		return gen, nil
	}
	return first, nil
}

func encodeGeneration(gen uint64) []byte {
	w := newWriter(kindGen)
	w.array(1)
	w.uint(gen)
	return w.done()
}

func decodeGeneration(b []byte) (uint64, error) {
	r := newReader(b, kindGen)
	more := r.record(1)
	gen := r.uint()
	r.skip(more)
	return gen, r.err
}

// Follow takes along what the generation before this one knew in this very process, after Load: what it has counted, the
// rows of live peers, and until when leases last that it has granted, which else would be taken for granted at the start. before
// stays as it is, to be looked at until this one is durable, and for another attempt if that fails.
func (r *Replica) Follow(before *Replica) {
	r.guard.CountOn(before.guard.Counts())
	r.guards.gains = before.guards.gains
	r.followWord(before.words.own)
	r.guard.Follow(before.guard)
	r.former = before.former.and(before)
	for _, old := range before.order {
		in, err := r.instance(old.id)
		if err != nil {
			return // what has no room is told again
		}
		in.slow = old.slow
		if a := old.account; a != nil {
			a.mu.Lock()
			in.slow = a.slow
			a.mu.Unlock()
		}
		if in.account != nil {
			in.account.slow = in.slow
		}
		if in.rows != nil || r.rows+len(old.rows) > MaxRows {
			continue
		}
		in.sums.known = false
		in.rows = slices.DeleteFunc(slices.Clone(old.rows), func(k known) bool {
			_, alive := before.alive(k.Holder)
			return !alive
		})
		r.rows += len(in.rows)
	}
}

// former is the accounts of slots of generations that this very process was before, with calls that ran when those ended.
type former map[formerKey]*Account

type formerKey struct {
	of Holder
	id InstanceID
}

// and is f with the accounts of the generation that has just ended.
func (f former) and(before *Replica) former {
	next := former{}
	for k, a := range f {
		if !a.idle() {
			next[k] = a
		}
	}
	for _, in := range before.order {
		if a := in.account; a != nil && a.Spec().Kind == Slots {
			next[formerKey{before.self, in.id}] = a
		}
	}
	return next
}

// ended reports whether this process has seen all calls end for which a generation before this one had reserved slots.
func (f former) ended(of Holder, id InstanceID) bool {
	a := f[formerKey{of, id}]
	return a != nil && a.idle()
}

// idle reports that nothing is reserved.
func (a *Account) idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s.Reserved == 0
}
