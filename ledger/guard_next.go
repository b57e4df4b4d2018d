package ledger

import (
	"fmt"
	"slices"
)

// How one generation of a data directory follows another: what is on disk then, and what the next one takes along that is
// not.

// keyGeneration is the number of the directory's present generation, once one has followed another in it.
const (
	keyGeneration      = "generation"
	kindGen       byte = 84
)

// Succeed lists the writes that make the records of a retired generation those of generation gen of the same directory:
// what was its own is deleted, and the next one finds in what was decided what it inherits, if anything. They belong in one
// transaction: a generation that found the accounts of the one before would own what is its heir's.
func Succeed(records []Write, gen uint64) (ws []Write) {
	for _, w := range records {
		if mirrored(w.Key) || w.Key == keyOwn {
			ws = append(ws, Write{Key: w.Key})
		}
	}
	return append(ws, Write{Key: keyGeneration, Value: encodeGeneration(gen)})
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
	for _, old := range before.order {
		in, err := r.instance(old.id)
		if err != nil {
			return // what has no room is told again
		}
		if in.rows != nil || r.rows+len(old.rows) > MaxRows {
			continue
		}
		in.rows = slices.DeleteFunc(slices.Clone(old.rows), func(k known) bool {
			_, alive := before.alive(k.Holder)
			return !alive
		})
		r.rows += len(in.rows)
	}
}
