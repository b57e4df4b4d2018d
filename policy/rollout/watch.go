package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	tellEvery  = 2_000  // ms between two times that a node tells its counters
	tellLasts  = 30_000 // ms after which it tells them again though they have not changed, for those that joined
	writeEvery = 5_000  // ms between two times that counters are written
	askEvery   = 2_000  // ms between two times that a missing document is asked for
	// leastBaked is how many calls a candidate must have had until it is promoted for its time.
	leastBaked = 100
	// maxOwnLives bounds the runs whose counters a node tells: one that is started again and again leaves the older ones out.
	maxOwnLives = 4
	// MaxDocuments bounds the documents that a node keeps: those in force, and those below that a roll back brings back.
	MaxDocuments = 8
	// entriesAtOnce is how many entries one message holds.
	entriesAtOnce = 16
)

// Watch is one node's part in the life of revisions: what it knows, what it tells of what became of calls, and what it says by
// itself. A few nodes judge a candidate by the sum of all counters, and roll it back or promote it. Who drives a Watch makes
// durable what it learns, and puts in force and tells what is durable. A Watch has one owner.
type Watch struct {
	State State
	Tally Tally // of the candidate that is in force here

	life    Life
	fresh   bool  // counters have changed since they were to be written, and told
	told    int64 // when this run's counters were told, written, and asked for missing documents
	written int64
	asked   int64
	unbaked Key // said of this one that too few calls came
}

// Begin names this run of the node.
func (w *Watch) Begin(l Life) { w.life = l }

// Said is how an entry was and has become.
type Said struct{ Old, Now Entry }

// Learn takes words over and returns what is news. Entries must be valid.
func (w *Watch) Learn(es []Entry) (news []Said) {
	for _, e := range es {
		old, _ := w.State.Of(e.Key)
		for _, now := range w.State.Merge([]Entry{e}) {
			news = append(news, Said{old, now})
		}
	}
	return news
}

// Try has the counters be those of the candidate that is in force from now on, the zero Key for none.
func (w *Watch) Try(k Key) {
	if k == (Key{}) || k != w.Tally.Of {
		w.Tally, w.fresh = Tally{Of: k}, true
	}
}

// Ask lists the documents that are to be asked for of some peer now, without those for which useless holds; nil as a rule. Who told
// of them is asked at once: with soon.
func (w *Watch) Ask(now int64, soon bool, has, useless func(Key) bool) []Key {
	if since := now - w.asked; !soon && since < askEvery && since >= 0 {
		return nil
	}
	missing := slices.DeleteFunc(w.State.InForce(has).Missing, useless)
	if len(missing) > 0 {
		w.asked = now
	}
	return missing[:min(len(missing), MaxDocuments)]
}

// Receive takes a peer's counters over, and reports whether they are news that should be told on. Those of another candidate are
// not: the words on it are on their way, and counters are told again.
func (w *Watch) Receive(of Key, rows []Row) (news bool) {
	if of == (Key{}) || of != w.Tally.Of {
		return false
	}
	for _, row := range rows {
		if row.Life != w.life { // nobody else counts for this run
			news = w.Tally.Merge(row) || news
		}
	}
	w.fresh = w.fresh || news
	return news
}

// Deeds are what a node is to do.
type Deeds struct {
	// Tell are counters that all peers are to be told; nil: none now. Write says that all of the Tally is to be made durable.
	Tell  []Row
	Write bool
	// Say are words of this node, to be learned and told: the candidate is rolled back, or promoted.
	Say []Entry
	// Breach is why it rolls the candidate back, in a sentence.
	Breach string
	// Unbaked is how many calls of the candidate are known, once, when it has baked and that is too few to promote it; -1 else.
	Unbaked int64
}

// Tick is what a node named self does at a moment, a few times a second. tried is the candidate that decides on calls at it, the
// zero Key for none, and stable and candidate what became of calls here, if that is counted. alive are the members that live, with
// or without self.
func (w *Watch) Tick(now int64, tried Key, stable, candidate Counts, counted bool, alive []string, has func(Key) bool) Deeds {
	do := Deeds{Unbaked: -1}
	if tried == (Key{}) {
		return do
	}
	if counted && w.Tally.Merge(Row{Life: w.life, Stable: stable, Candidate: candidate}) {
		w.fresh = true
	}
	w.tell(now, &do)
	// What has been said since the candidate came into force here may not be durable yet. It must not be said of another one.
	force := w.State.InForce(has)
	if force.Candidate != tried || !Judging(w.life.Node, tried, alive) {
		return do
	}
	s, c := w.Tally.Sum()
	word := Word{At: now, Node: w.life.Node, By: Guardian}
	if b := Judge(force.Trial.How.Guard, &s, &c); b != nil {
		word.Why = b.What + ": " + b.Why
		if es, err := w.State.RollBack(word, force, has); err == nil {
			do.Say, do.Breach = es, word.Why
		}
		return do
	}
	bake := force.Trial.How.Bake.Milliseconds()
	if bake == 0 || force.Paused != nil || now < force.Since+bake {
		return do
	}
	if c.Calls < leastBaked {
		if w.unbaked != tried {
			w.unbaked, do.Unbaked = tried, c.Calls
		}
		return do
	}
	word.By, word.Why = Baked, fmt.Sprintf("%v without a breach, %d calls of it, %d of the stable revision", force.Trial.How.Bake, c.Calls, s.Calls)
	if e, err := w.State.Promote(word, force); err == nil {
		do.Say = []Entry{e}
	}
	return do
}

// tell is when a node tells what it has counted, in this run and those before, and has all counters made durable.
func (w *Watch) tell(now int64, do *Deeds) {
	if since := now - w.told; since >= tellLasts || since < 0 || w.fresh && since >= tellEvery {
		w.told = now
		for _, row := range w.Tally.Rows() {
			if row.Node == w.life.Node {
				do.Tell = append(do.Tell, row)
			}
		}
		do.Tell = do.Tell[max(0, len(do.Tell)-maxOwnLives):]
	}
	if since := now - w.written; w.fresh && (since >= writeEvery || since < 0) {
		w.written, w.fresh, do.Write = now, false, true
	}
}

// Judging reports whether a node is one of those that judge a candidate: the first by a hash, of those that live.
func Judging(self string, k Key, alive []string) bool {
	rank := func(name string) uint64 { return xxhash.Sum64String(name) ^ k.Seed() }
	first, own := 0, rank(self)
	for _, name := range alive {
		if name != self && cmp.Or(cmp.Compare(rank(name), own), strings.Compare(name, self)) < 0 {
			first++
		}
	}
	return first < Judges
}

// Parts are all entries as messages hold them, the highest first.
func (s *State) Parts() (parts [][]Entry) {
	for es := s.entries; len(es) > 0; {
		k := min(len(es), entriesAtOnce)
		parts = append(parts, es[len(es)-k:])
		es = es[:len(es)-k]
	}
	return parts
}
