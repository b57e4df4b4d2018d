package guardian

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bounds.
const (
	MaxGuardians = 5
	MaxWards     = 1 << 14 // generations that one node keeps anything of
	MaxLease     = 24 * time.Hour
)

// ErrRolledBack says that this node's directory is an older copy: a guardian knows more of its generation than its own disk
// does, or a ward has its acknowledgement of more than is stored. What it has promised since is forgotten, too.
var ErrRolledBack = errors.New("peers know a later state of this directory")

// Margin is the part of a lease that its owner leaves unused at the end, and that a guardian waits beyond it: by so
// much each of their clocks may be wrong within the lease.
func Margin(lease time.Duration) time.Duration { return lease / 10 }

// Majority is how many of n guardians decide.
func Majority(n int) int { return n/2 + 1 }

// Write is one durable change. One field is set.
type Write struct {
	Own    *Own
	Ward   *Ward
	Record *WardRecord
	Round  *Round
}

// Own is what a guarded generation keeps of itself.
type Own struct {
	Set      []Holder
	Version  uint64 // of its latest records
	Released bool   // it has given up its lease for good
}

// Ward is what is kept of another generation, apart from its records.
type Ward struct {
	Of       Holder
	Set      []Holder
	Lease    time.Duration // the longest that was acknowledged
	Version  uint64        // of the records that are stored
	Promised Ballot
	Accepted Ballot
	Value    *Value // accepted, or decided: then Version is its version, but for what is decided and not fetched yet
	Decided  bool
}

// WardRecord is one record of a ward; its value is nil when it is gone.
type WardRecord struct {
	Of Holder
	Record
}

// Round is the last ballot that this node has begun to claim a generation with.
type Round struct {
	Of Holder
	N  uint64
}

// Effects are what a batch brings once it is durable.
type Effects struct {
	Sends   []Send
	Decided []Holder // generations whose claim is now known to be decided, see Machine.Decision
}

// Machine is one node's part in guarding: as an owner, as a guardian of others, and as one that claims.
type Machine struct {
	self   Holder
	dir    Holder // the same node, in the first generation of its data directory: who it is as a guardian and as a claimant
	own    *owner // nil while nobody guards this generation
	wards  []*ward
	ends   map[Holder]*ward // those of them that are known to be claimed
	claims []*claim
	rounds []Round // sorted by generation
	lease  time.Duration
	quiet  time.Duration // until when there is nothing to note unless something comes; 0 while that is not known

	partBytes int      // of records in a message
	fetches   []*fetch // in order of their beginning
	staged    int      // bytes in them

	gone   []Holder // for whose death operators have vouched
	counts Counts
	local  []any // that this node has sent itself
	batch  batch
}

// batch is what waits to be durable.
type batch struct {
	own     bool
	next    []Record // of this node's own records, which make the next version
	later   bool     // nobody waits for them
	wards   []*ward
	records []WardRecord
	rounds  []Round
	sends   []Send
	decided []Holder
}

// New returns the machine of a node that guards nobody and that nobody guards. Load brings what was durable. dir is the
// first generation of the node's data directory. What a directory has promised outlives the generations that follow each
// other in it, so a node that claims itself goes on guarding others.
func New(self Holder, dir uint64) *Machine {
	return &Machine{self: self, dir: Holder{Node: self.Node, Gen: dir}, partBytes: PartBytes}
}

// Load fills a new machine with what was durable when it started, at now. records are this generation's own, with the
// values that are on its disk.
func (m *Machine) Load(now time.Duration, ws []Write, records []Record) {
	for _, w := range ws {
		switch {
		case w.Own != nil:
			m.own = newOwner(*w.Own)
		case w.Ward != nil:
			x := m.ward(w.Ward.Of)
			x.Ward = *w.Ward
			// Acknowledgements of an earlier life may still be on their way or believed in.
			x.free = now + x.Lease + Margin(x.Lease)
			m.ended(x)
			m.bury(x)
		case w.Record != nil:
			m.ward(w.Record.Of).put(w.Record.Record)
		case w.Round != nil:
			m.setRound(*w.Round)
		}
	}
	if m.own != nil {
		m.own.put(m.own.floor, records) // what changed in which version is not known any more: all of it, in the next
		m.batch.own = true
	}
}

// Receive takes a message. What does not concern this node changes nothing.
func (m *Machine) Receive(now time.Duration, msg any) error {
	err := m.receive(now, msg)
	m.deliver(now)
	return err
}

func (m *Machine) receive(now time.Duration, msg any) error {
	m.quiet = 0
	switch msg := msg.(type) {
	case *Note:
		return m.note(now, msg)
	case *NoteAck:
		return m.acked(now, msg)
	case *Refused:
		return m.refused(msg)
	case *Release:
		m.released(msg)
	case *Prepare:
		return m.prepare(now, msg)
	case *Promise:
		m.promised(now, msg)
	case *Accept:
		return m.accept(now, msg)
	case *Accepted:
		m.accepted(now, msg)
	case *Reject:
		m.rejected(now, msg)
	case *Decided:
		return m.learn(now, msg, true)
	case *Outcome:
		return m.learn(now, &Decided{Of: msg.Of, From: msg.From, Value: msg.Value}, false)
	case *Query:
		m.Tell(msg.Of, msg.From)
	case *Fetch:
		m.serve(now, msg)
	case *Part:
		m.took(now, msg)
	default:
		panic(fmt.Sprintf("BUG: unknown message %T", msg))
	}
	return nil
}

// Tick repeats what was not answered, renews the lease and goes on with claims.
func (m *Machine) Tick(now time.Duration) {
	m.notes(now)
	m.askAgain(now)
	for _, c := range slices.Clone(m.claims) { // one may come to its end
		m.goOn(now, c)
	}
	m.deliver(now)
}

// Due returns when the first Tick comes that does something, unless there is an input before; false if there is none.
func (m *Machine) Due() (at time.Duration, ok bool) {
	if len(m.fetches)+len(m.claims)+len(m.local) > 0 {
		return 0, true
	}
	return m.quiet, m.own != nil
}

// Pending reports whether there is anything to write or to do.
func (m *Machine) Pending() bool {
	b := &m.batch
	return b.own || len(b.next)+len(b.wards)+len(b.rounds)+len(b.sends)+len(b.decided) > 0
}

// Put adds this generation's own records that the batch makes durable, while it is guarded.
func (m *Machine) Put(records ...Record) {
	if m.own != nil {
		m.batch.next = append(m.batch.next, records...)
	}
}

// Next is the version of the records that the batch makes durable.
func (m *Machine) Next() uint64 {
	if m.own == nil {
		return 0
	}
	if m.own.bump || len(m.batch.next) > 0 {
		return m.own.Version + 1
	}
	return m.own.Version
}

// Writes returns what the batch must make durable, in one transaction.
func (m *Machine) Writes() []Write {
	var ws []Write
	b := &m.batch
	if m.own != nil && (b.own || len(b.next) > 0) {
		own := m.own.Own
		own.Version = m.Next()
		ws = append(ws, Write{Own: &own})
	}
	for _, w := range b.wards {
		x := w.Ward
		ws = append(ws, Write{Ward: &x})
	}
	for i := range b.records {
		ws = append(ws, Write{Record: &b.records[i]})
	}
	for i := range b.rounds {
		ws = append(ws, Write{Round: &b.rounds[i]})
	}
	return ws
}

// Commit says that the writes are durable, and returns what may be done now.
func (m *Machine) Commit(now time.Duration) Effects {
	if m.own != nil && m.Next() > m.own.Version {
		m.own.wrote(now, m.Next(), m.batch.next, m.batch.later)
		m.quiet = 0
	}
	m.batch.own, m.batch.next, m.batch.later = false, nil, false
	m.notes(now)
	fx := Effects{m.batch.sends, m.batch.decided}
	for _, w := range m.batch.wards {
		w.dirty = false
	}
	m.batch = batch{}
	return fx
}

// Abort forgets the messages of a batch whose writes failed. All else stays as it is and is written with the next: it
// only binds this node, and nobody heard of it. Its own records are the host's to put again.
func (m *Machine) Abort() {
	m.batch.sends, m.batch.next, m.batch.later = nil, nil, false
}

func (m *Machine) send(to Holder, msg any) {
	if to.Node == m.self.Node {
		m.local = append(m.local, msg)
		return
	}
	m.batch.sends = append(m.batch.sends, Send{to, msg})
}

// Decision returns what was decided of a generation, if this node knows.
func (m *Machine) Decision(of Holder) (Value, bool) {
	if w := m.ends[of]; w != nil {
		return *w.Value, true
	}
	return Value{}, false
}

// ended takes over whether a generation is known to be claimed. Every row and every message asks for that.
func (m *Machine) ended(w *ward) {
	if !w.Decided {
		delete(m.ends, w.Of)
		return
	}
	if m.ends == nil {
		m.ends = map[Holder]*ward{}
	}
	m.ends[w.Of] = w
}

// Records lists the records that were decided of a generation, sorted by key; false until they are here in full.
func (m *Machine) Records(of Holder) ([]Record, bool) {
	if w := m.find(of); w != nil && w.Decided && w.Version == w.Value.Version {
		return w.stored(), true
	}
	return nil, false
}

// Ask asks a node for what was decided of a generation, with all records.
func (m *Machine) Ask(of, whom Holder) { m.send(whom, &Query{Of: of, From: m.self}) }

// AskPart asks a node for what was decided of a generation, with those records only that concern some others.
func (m *Machine) AskPart(of, whom Holder, about []Holder) {
	m.send(whom, &Query{Of: of, From: m.self, Part: true, About: about[:min(len(about), MaxAbout)]})
}

// Tell tells a node what was decided of a generation, if it is known here.
func (m *Machine) Tell(of, whom Holder) {
	if v, ok := m.Decision(of); ok {
		d := &Decided{Of: of, From: m.dir, To: whom, Value: v, More: true}
		if rs, here := m.Records(of); here {
			d.Records, d.More = m.part(rs, "")
		}
		m.send(whom, d)
	}
}

// Say tells a node what was decided of a generation, without its records: who has a use for them asks.
func (m *Machine) Say(of, whom Holder) {
	if v, ok := m.Decision(of); ok {
		m.send(whom, &Decided{Of: of, From: m.dir, To: whom, Value: v, More: true})
	}
}

// TellPart tells a node what was decided of a generation, with those records only that concern some others.
func (m *Machine) TellPart(of, whom Holder, about []Holder, records []Record) {
	if v, ok := m.Decision(of); ok {
		m.send(whom, &Outcome{Of: of, From: m.dir, To: whom, Value: v, Records: records, About: about})
	}
}

// Keeps reports whether anything is kept here of a generation besides what was decided.
func (m *Machine) Keeps(of Holder) bool {
	w := m.find(of)
	return w != nil && (!w.Decided || w.Set != nil)
}

// Decisions lists the generations that are known to be claimed.
func (m *Machine) Decisions() (hs []Holder) {
	for _, w := range m.wards {
		if w.Decided {
			hs = append(hs, w.Of)
		}
	}
	return hs
}

// Heir follows decisions from a holder to the first that is not known to be claimed.
func (m *Machine) Heir(h Holder) Holder {
	for range m.wards {
		v, ok := m.Decision(h)
		if !ok {
			return h
		}
		h = v.Heir
	}
	return h
}

func (m *Machine) find(of Holder) *ward {
	if i, ok := m.at(of); ok {
		return m.wards[i]
	}
	return nil
}

func (m *Machine) at(of Holder) (int, bool) {
	return slices.BinarySearchFunc(m.wards, of, func(w *ward, h Holder) int { return w.Of.Compare(h) })
}

// ward returns what is kept of a generation, making it.
func (m *Machine) ward(of Holder) *ward {
	i, ok := m.at(of)
	if !ok {
		m.wards = slices.Insert(m.wards, i, &ward{Ward: Ward{Of: of}})
	}
	return m.wards[i]
}

// room is ward, if there is room for it.
func (m *Machine) room(of Holder) (*ward, error) {
	if _, ok := m.at(of); !ok && len(m.wards) >= MaxWards {
		return nil, fmt.Errorf("%d generations are kept here already: no room for %v", len(m.wards), of)
	}
	return m.ward(of), nil
}

func (m *Machine) setRound(r Round) {
	i, ok := slices.BinarySearchFunc(m.rounds, r.Of, func(r Round, h Holder) int { return r.Of.Compare(h) })
	if !ok {
		m.rounds = slices.Insert(m.rounds, i, r)
	}
	m.rounds[i] = r
}

func (m *Machine) round(of Holder) uint64 {
	i, ok := slices.BinarySearchFunc(m.rounds, of, func(r Round, h Holder) int { return r.Of.Compare(h) })
	if !ok {
		return 0
	}
	return m.rounds[i].N
}
