package sim

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// The life of revisions at a node, as package node drives it: what operators and guards say is durable before it is in force or told;
// the node that was asked tells all whom it sees, and spreads it; whoever hears it passes it on, asks for the documents that it lacks,
// and compares what it knows with others. While a candidate is tried nodes tell what became of calls, and some judge.

// revisions is what dies with the process.
type revisions struct {
	rollout.Watch
	docs             []bool // by index of the scenario's policies: their documents that are here
	changes, durable uint64
	said             []learned  // to be told once it is durable
	counted          bool       // counters are to be written
	writing          *keptBatch // to disk
	tried            int        // index of the candidate that decides here, -1 if none does
	how              policy.Rollout
	split            *policy.Split
	since            micros // when what is in force here changed last
	hashed           uint64 // changes for which hash holds, and one
	hash             [32]byte
	looked           uint64 // changes for which lacking holds, and one
	lacking          bool
}

// kept is what stays of it on disk.
type kept struct {
	entries []rollout.Entry
	docs    []bool
	tally   []byte
}

// keptBatch is what is on its way to disk.
type keptBatch struct {
	kept
	changes uint64
	said    []learned
}

// learned is news, and who told it; nil: the node says it itself.
type learned struct {
	now  rollout.Entry
	from *node
}

// Messages. Their bytes are those of their real wire form, and that of a word otherwise.
type (
	entriesTold struct {
		from *node
		es   []rollout.Entry
		size int
	}
	tallyTold struct {
		from *node
		of   rollout.Key
		rows []rollout.Row
		size int
	}
	haveRevisions struct { // what the sender knows has this hash
		from *node
		hash [32]byte
	}
	wantRevisions struct{ from *node }
	wantDocument  struct {
		from *node
		k    rollout.Key
	}
	document int // index of the policy
)

// initRevisions names the scenario's policies.
func (w *world) initRevisions() {
	w.indexOf = map[rollout.Key]int{}
	for i, p := range w.sc.Policies {
		k := rollout.KeyOf(p)
		w.keys = append(w.keys, k)
		w.indexOf[k] = i
	}
	docs := make([]bool, len(w.keys))
	docs[0] = true
	w.atFirst = kept{entries: []rollout.Entry{{Key: w.keys[0], Whole: &rollout.Word{At: int64(scenario.Epoch), Node: "n0000", By: "--policy"}}}, docs: docs}
}

// joined is what a node without any data has after its first push/pull.
func (w *world) joined(n *node) kept {
	for _, o := range w.nodes {
		if o != n && o.up && !o.paused && !w.links.cut(o.end, n.end) && !w.links.cut(n.end, o.end) {
			size := len(wire.EncodeEntries(o.kept.entries))
			for i, has := range o.kept.docs {
				if has {
					size += len(w.sc.Policies[i].Source())
				}
			}
			o.out.charge(size)
			return kept{entries: slices.Clone(o.kept.entries), docs: slices.Clone(o.kept.docs)}
		}
	}
	return w.atFirst
}

// loadRevisions takes up what the disk has.
func (n *node) loadRevisions() {
	if n.kept.entries == nil {
		n.kept = n.w.joined(n)
	}
	r := &n.roll
	*r = revisions{docs: slices.Clone(n.kept.docs), tried: -1}
	r.Begin(rollout.Life{Node: n.name, Began: int64(n.wall())}, n.w.pool.rate)
	r.Learn(n.kept.entries)
	if n.kept.tally != nil {
		of, rows, err := wire.DecodeTally(n.kept.tally)
		if err != nil {
			n.w.fail("a node loads what it wrote", "%s: counters: %v", n.name, err)
		}
		r.Tally.Of = of
		for _, row := range rows {
			r.Tally.Merge(row)
		}
	}
	n.policy = n.w.indexOf[r.State.InForce(n.hasDocument).Stable]
}

func (n *node) hasDocument(k rollout.Key) bool {
	i, ok := n.w.indexOf[k]
	return ok && n.roll.docs[i]
}

func useless(rollout.Key) bool { return false } // no document is of a version that nodes do not know

// govern has calls decided by what all known words come to. Only what is durable gets here.
func (n *node) govern() {
	w, r := n.w, &n.roll
	f := r.State.InForce(n.hasDocument)
	stable, ok := w.indexOf[f.Stable]
	if !ok {
		w.fail("some revision is in force", "%s knows of none", n.name)
		return
	}
	tried, was := -1, r.tried
	if i, ok := w.indexOf[f.Candidate]; ok {
		if _, err := policy.Tryable(w.sc.Policies[stable], w.sc.Policies[i]); err == nil {
			tried = i
		}
	}
	r.Try(f.Candidate)
	r.tried = tried
	changed := stable != n.policy
	switch {
	case tried >= 0 && (changed || tried != was || f.Trial.How.String() != r.how.String()):
		r.how, r.since = f.Trial.How, w.now
		r.split = r.how.Split(w.keys[tried].Seed(), w.zoneName(n.zone))
		split := r.split
		if w.audit.bug == bugOtherSplit && n.i%2 == 1 {
			split = r.how.Split(0, w.zoneName(n.zone))
		}
		n.core.Engine.SetTrial(w.sc.Policies[stable], w.sc.Policies[tried], split)
	case changed || tried < 0 && was >= 0:
		r.since = w.now
		n.core.Engine.SetPolicy(w.sc.Policies[stable])
	}
	if changed {
		n.adopt(stable)
		for _, i := range n.view.live {
			if i != int32(n.i) {
				n.send(w.nodes[i], wordSize, evRevision, nil) // for versions before rollouts, of which there are none here
			}
		}
	}
	w.measure.rollouts.look(w)
}

// adopt has another policy be the stable one here, but for the engine.
func (n *node) adopt(i int) {
	n.w.measure.adopted[n.policy]--
	n.w.inForce(n.policy)
	n.policy = i
	n.w.measure.adopted[i]++
	n.w.inForce(i)
	n.core.Replica.Respec(n.clockNow())
	n.core.Replica.SetGuards(n.clockNow(), n.w.sc.Policies[i].Guards())
}

// learnWords takes words over, and a document if doc is not below 0.
func (n *node) learnWords(es []rollout.Entry, doc int, from *node) {
	r := &n.roll
	if n.w.audit.bug == bugForgive && n.i%10 == 1 {
		es = slices.DeleteFunc(slices.Clone(es), func(e rollout.Entry) bool { return e.Back != nil })
	}
	news, _, _ := r.Learn(es)
	fresh := doc >= 0 && !r.docs[doc]
	if !fresh && len(news) == 0 {
		return
	}
	if fresh {
		r.docs[doc] = true
	}
	r.changes++
	for _, s := range news {
		r.said = append(r.said, learned{s.Now, from})
		if from == nil {
			n.w.measure.rollouts.said(n, s)
		}
	}
	n.w.stir("revision", n.name)
}

// toWrite is what of the life of revisions is to be written; nil if nothing is.
func (n *node) toWrite() *keptBatch {
	r := &n.roll
	if r.changes == r.durable && !r.counted {
		return nil
	}
	b := &keptBatch{kept: n.kept, changes: r.changes, said: r.said}
	r.said = nil
	if r.changes != r.durable {
		b.entries, b.docs = slices.Clone(r.State.Entries()), slices.Clone(r.docs)
	}
	if r.counted {
		r.counted = false
		b.tally = wire.EncodeTally(r.Tally.Of, r.Tally.Rows())
	}
	return b
}

// wroteRevisions is the end of a write of them, if there was one.
func (n *node) wroteRevisions(ok bool) {
	r, b := &n.roll, n.roll.writing
	if r.writing = nil; b == nil {
		return
	}
	if !ok {
		r.said = append(b.said, r.said...) // with the next batch
		return
	}
	n.kept = b.kept
	if r.durable == b.changes {
		return // counters only
	}
	r.durable = b.changes
	n.govern()
	n.tellRevisions(b.said)
}

// entriesFor are entries as a message holds them, through their real wire form.
func (n *node) entriesFor(es []rollout.Entry) *entriesTold {
	b := wire.EncodeEntries(es)
	back, err := wire.DecodeEntries(b)
	if err != nil {
		n.w.fail("what is sent decodes", "%s tells of revisions: %v", n.name, err)
	}
	return &entriesTold{n, back, len(b) + 1}
}

func (n *node) tellRevisions(news []learned) {
	for _, s := range news {
		m := n.entriesFor([]rollout.Entry{s.now})
		if s.from != nil {
			if n.passesOn() {
				n.spread(m.size, evRevision, m, int32(s.from.i))
			}
			continue
		}
		n.spread(m.size, evRevision, m, -1)
		for _, i := range n.view.live {
			if i != int32(n.i) {
				n.send(n.w.nodes[i], m.size, evRevision, m)
			}
		}
	}
}

func (n *node) sendRevisions(to *node) {
	for _, es := range n.roll.Parts() {
		m := n.entriesFor(es)
		n.send(to, m.size, evRevision, m)
	}
}

// compareRevisions tells a peer what this node knows, by its hash.
func (n *node) compareRevisions(to *node) {
	n.send(to, wordSize, evRevision, haveRevisions{n, n.revisionsHash()})
}

func (n *node) revisionsHash() [32]byte {
	if r := &n.roll; r.hashed != r.changes+1 {
		r.hash, r.hashed = sha256.Sum256(wire.EncodeEntries(r.State.Entries())), r.changes+1
	}
	return n.roll.hash
}

// hearsRevision is a message about revisions.
func (n *node) hearsRevision(now ledger.Instant, m any) {
	switch m := m.(type) {
	case *entriesTold:
		n.learnWords(m.es, -1, m.from)
		for _, k := range n.roll.Ask(int64(now), true, n.hasDocument, useless) {
			n.send(m.from, wordSize, evRevision, wantDocument{n, k})
		}
	case *tallyTold:
		if n.roll.Receive(m.of, m.rows, n.view.names) && n.passesOn() {
			n.spread(m.size, evRevision, m, int32(m.from.i))
		}
	case haveRevisions:
		if m.hash != n.revisionsHash() {
			n.sendRevisions(m.from)
			n.send(m.from, wordSize, evRevision, wantRevisions{n})
		}
	case wantRevisions:
		n.sendRevisions(m.from)
	case wantDocument:
		if i, ok := n.w.indexOf[m.k]; ok && n.roll.docs[i] {
			n.send(m.from, wordSize+len(n.w.sc.Policies[i].Source()), evRevision, document(i))
		}
	case document:
		if _, known := n.roll.State.Of(n.w.keys[m]); known {
			n.learnWords(nil, int(m), nil)
		}
	}
}

// watchRollout counts, tells, judges and promotes, at every tick.
func (n *node) watchRollout(now ledger.Instant) {
	w, r := n.w, &n.roll
	if n.misses() {
		for _, k := range r.Ask(int64(now), false, n.hasDocument, useless) {
			for _, i := range n.view.pick(nil, n, -1, n.dice, 1) {
				n.send(w.nodes[i], wordSize, evRevision, wantDocument{n, k})
			}
		}
	}
	if r.tried < 0 {
		return
	}
	s, c, counted := n.core.Engine.Outcomes()
	do := r.Tick(int64(now), w.keys[r.tried], s, c, counted, n.view.names, n.hasDocument)
	if do.Tell != nil {
		b := wire.EncodeTally(r.Tally.Of, do.Tell)
		of, rows, err := wire.DecodeTally(b)
		if err != nil {
			w.fail("what is sent decodes", "%s tells counters: %v", n.name, err)
		}
		m := &tallyTold{n, of, rows, len(b) + 1}
		for _, name := range do.To {
			n.send(w.byName[name], m.size, evRevision, m)
		}
		if len(do.To) == 0 {
			n.spread(m.size, evRevision, m, -1)
		}
	}
	r.counted = r.counted || do.Write
	if do.Say != nil {
		n.learnWords(do.Say, -1, nil)
	}
}

// watches reports whether a node's next tick may do something about revisions.
func (n *node) watches() bool {
	r := &n.roll
	return r.tried >= 0 || r.counted || r.changes != r.durable || n.misses()
}

// misses reports whether there are documents that it knows of and does not have.
func (n *node) misses() bool {
	if r := &n.roll; r.looked != r.changes+1 {
		r.looked, r.lacking = r.changes+1, len(r.State.InForce(n.hasDocument).Missing) > 0
	}
	return n.roll.lacking
}

// operates is what an operator does at this node.
func (n *node) operates(f *scenario.Fault) {
	w, r := n.w, &n.roll
	word := rollout.Word{At: int64(n.clockNow()), Node: n.name, By: "operator"}
	force, doc := r.State.InForce(n.hasDocument), -1
	var es []rollout.Entry
	var e rollout.Entry
	var err error
	switch f.Act {
	case scenario.Promote:
		e, err = r.State.Promote(word, force)
	case scenario.HoldBack, scenario.Resume:
		e, err = r.State.Pause(word, f.Act == scenario.HoldBack, force)
	case scenario.RollBack:
		es, err = r.State.RollBack(word, force, n.hasDocument)
	default:
		p := w.sc.Policies[f.Policy]
		how := p.Rollout()
		if stable, ok := w.indexOf[force.Stable]; ok && how != nil {
			_, err = policy.Tryable(w.sc.Policies[stable], p)
		}
		if err == nil {
			e, err = r.State.Apply(word, w.keys[f.Policy], how, force)
		}
		doc = f.Policy
	}
	if err != nil {
		w.measure.rollouts.refuses(n, f, err)
		return
	}
	if es == nil {
		es = []rollout.Entry{e}
	}
	n.learnWords(es, doc, nil)
	n.flush()
}

// checkArm judges which revision has decided on a call, where it has not changed while the call waited.
func (n *node) checkArm(c *call, d *admit.Details) {
	w, r := n.w, &n.roll
	if d.Arm == "" && !d.Verdict.Admitted() {
		switch d.Code { // the node's word before any revision was asked, or could be
		case admit.CodeDraining, admit.CodeFrozen, admit.CodeFenced, admit.CodeDisk, admit.CodeGuardians:
			return
		}
	}
	if len(w.keys) == 1 || r.since >= c.came {
		return
	}
	by, arm := n.policy, ""
	if r.tried >= 0 {
		if arm = admit.Stable; r.split.Chooses(&c.req.Call) {
			by, arm = r.tried, admit.Candidate
		}
	}
	if want := w.sc.Policies[by].Revision(); d.Revision != want || d.Arm != arm {
		w.fail("the revision decides that is in force for a call", "call %d of agent %q at %s was decided (%s) by revision %d, arm %q, not %d, %q", c.Seq, c.Agent, n.name, d.Code, d.Revision, d.Arm, want, arm)
	}
}

// divided finds a node at which other revisions are in force than should be by the plainest reading of what any node knows.
func (w *world) divided() string {
	const whole, tried, back = 1, 2, 4
	said := make([]int, len(w.keys))
	var first *node
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		for _, e := range n.kept.entries {
			i := w.indexOf[e.Key]
			if e.Whole != nil {
				said[i] |= whole
			}
			if e.Trial != nil {
				said[i] |= tried
			}
			if e.Back != nil {
				said[i] |= back
			}
		}
	}
	stable, candidate := -1, -1
	for i, s := range said {
		switch {
		case s&back != 0 || s == 0:
		case s&whole != 0:
			stable, candidate = i, -1
		default:
			candidate = i
		}
	}
	if candidate >= 0 {
		if _, err := policy.Tryable(w.sc.Policies[stable], w.sc.Policies[candidate]); err != nil {
			candidate = -1
		}
	}
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		if first == nil {
			first = n
		}
		switch {
		case n.policy != stable || n.roll.tried != candidate:
			return fmt.Sprintf("%s has policy %d in force and tries %d, which should be %d and %d", n.name, n.policy, n.roll.tried, stable, candidate)
		case n.revisionsHash() != first.revisionsHash():
			return fmt.Sprintf("%s and %s know other words on revisions", first.name, n.name)
		}
	}
	return ""
}
