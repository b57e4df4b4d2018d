package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	tellEvery = 2_000  // ms between two times that a node tells its counters those that judge
	tellLasts = 30_000 // ms after which it tells them again though they have not changed, for those that joined
	// tellPart is the part of gossip's ceiling that counters may take which all are told: they grow with the swarm, and are told more
	// seldom then. rowBytes is what those of a run take at the most, with waits of all lengths, and copies to how many others each node
	// passes on what is news.
	tellPart   = 10
	rowBytes   = 450
	copies     = 6
	writeEvery = 5_000 // ms between two times that counters are written
	askEvery   = 2_000 // ms between two times that a missing document is asked for
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
	State State // what counts
	Tally Tally // of the candidate that is in force here

	trust   Trust
	life    Life
	ceiling int64 // of gossip, in bytes a second
	fresh   bool  // counters have changed since they were to be written, and told
	told    int64 // when this run's counters were told, told all, written, and asked for missing documents
	toldAll int64
	written int64
	asked   int64
	unbaked Key // said of this one that too few calls came
}

// Begin names this run of the node, and what gossip may take of bytes a second.
func (w *Watch) Begin(l Life, ceiling int64) { w.life, w.ceiling = l, max(1, ceiling) }

// Said is how an entry was and has become.
type Said struct{ Old, Now Entry }

// Learn takes words without signatures over. It says what has changed of what counts, which entries are news that should be told on,
// and which are not taken, as they need a signature. Entries must be valid.
func (w *Watch) Learn(es []Entry) (said []Said, news []Entry, no []Refused) {
	if w.trust.anchor != nil {
		return w.learnUnsigned(es)
	}
	for _, e := range es {
		old, _ := w.State.Of(e.Key)
		for _, now := range w.State.Merge([]Entry{e}) {
			said, news = append(said, Said{old, now}), append(news, now)
		}
	}
	return said, news, nil
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
// not: the words on it are on their way, and counters are told again. Nor are they at a node that judges: it is told them first.
func (w *Watch) Receive(of Key, rows []Row, alive []string) (news bool) {
	if of == (Key{}) || of != w.Tally.Of {
		return false
	}
	for _, row := range rows {
		if row.Life != w.life { // nobody else counts for this run
			news = w.Tally.Merge(row) || news
		}
	}
	w.fresh = w.fresh || news
	return news && !w.isJudge(alive)
}

// Deeds are what a node is to do.
type Deeds struct {
	// Tell are counters that peers are to be told, nil: none now; those of To, or all if that is empty, who pass them on. Write says
	// that all of the Tally is to be made durable.
	Tell  []Row
	To    []string
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
	w.tell(now, alive, &do)
	// What has been said since the candidate came into force here may not be durable yet. It must not be said of another one.
	force := w.State.InForce(has)
	if force.Candidate != tried || tried != w.Tally.Of || !w.isJudge(alive) {
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
	if bake == 0 || len(w.Signers()) > 0 || force.Paused != nil || now < force.Since+bake {
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
func (w *Watch) tell(now int64, alive []string, do *Deeds) {
	if since := now - w.told; since >= tellLasts || since < 0 || w.fresh && since >= tellEvery {
		w.told = now
		for _, row := range w.Tally.Rows() {
			if row.Node == w.life.Node {
				do.Tell = append(do.Tell, row)
			}
		}
		do.Tell = do.Tell[max(0, len(do.Tell)-maxOwnLives):]
		if since := now - w.toldAll; since >= w.pause(len(alive), len(do.Tell)) || since < 0 {
			w.toldAll = now
		} else {
			do.To = w.judges(alive)
		}
	}
	if since := now - w.written; w.fresh && (since >= writeEvery || since < 0) {
		w.written, w.fresh, do.Write = now, false, true
	}
}

// pause is how many ms lie between two times that a node tells all members so many rows, so that what comes of it at each stays within its part.
func (w *Watch) pause(members, rows int) int64 {
	bytes := int64(rows) * rowBytes * int64(min(copies, members))
	if members-1 > copies { // else nobody passes on
		bytes *= int64(members)
	}
	return bytes * tellPart * 1000 / w.ceiling
}

// judges are the others of those that judge.
func (w *Watch) judges(alive []string) []string {
	return slices.DeleteFunc(Judging(w.Tally.Of, w.life.Node, alive), func(name string) bool { return name == w.life.Node })
}

func (w *Watch) isJudge(alive []string) bool {
	return slices.Contains(Judging(w.Tally.Of, w.life.Node, alive), w.life.Node)
}

// Judging lists those that judge a candidate: the first by a hash, of a node and the members that live, of which it may be one.
func Judging(k Key, self string, alive []string) []string {
	type ranked struct {
		rank uint64
		name string
	}
	var first [Judges]ranked
	n := 0
	add := func(name string) {
		x := ranked{xxhash.Sum64String(name) ^ k.Seed(), name}
		i := n
		for i > 0 && cmp.Or(cmp.Compare(x.rank, first[i-1].rank), strings.Compare(name, first[i-1].name)) < 0 {
			i--
		}
		if i == Judges {
			return
		}
		n = min(n+1, Judges)
		copy(first[i+1:n], first[i:n])
		first[i] = x
	}
	add(self)
	for _, name := range alive {
		if name != self {
			add(name)
		}
	}
	list := make([]string, n)
	for i := range list {
		list[i] = first[i].name
	}
	return list
}

// Parts are all entries without signatures as messages hold them, the highest first.
func (w *Watch) Parts() (parts [][]Entry) {
	for es := w.Unsigned(); len(es) > 0; {
		k := min(len(es), entriesAtOnce)
		parts = append(parts, es[len(es)-k:])
		es = es[:len(es)-k]
	}
	return parts
}
