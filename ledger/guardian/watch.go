package guardian

import (
	"slices"
	"time"
)

// What a machine tells people and metrics. Nothing depends on it.

// Counts is what a machine did since it was made. All of it only grows.
type Counts struct {
	Notes      uint64 // sent to guardians, repeats and those that only renew the lease included
	Parts      uint64 // of notes and decisions that were too long for one message, after the first
	NoteBytes  uint64 // of the records in both, keys included
	Acked      uint64 // notes that guardians have acknowledged
	Stored     uint64 // notes of wards that brought something new
	Refused    uint64 // notes of wards that were refused, as their generation is being claimed
	Begun      uint64 // claims that this node began
	Ballots    uint64 // that it began for them: more than Begun where the first was outbid, or too early
	Rejections uint64 // that its ballots met: a higher one was promised, or the lease still ran
	Decided    uint64 // its claims that came to a decision
	Learned    uint64 // decisions that are known here, by its own claims and from others
}

// Lease is how long this generation may still do what only its lease allows.
type Lease struct {
	Left    time.Duration // 0 or less: it is over. With Held false it means nothing
	Renewed time.Duration // for how long the answers that made it last have been here
	Held    bool          // a majority of guardians has granted one in this life, and it was not given up
}

// Standing is what is known of one of this generation's guardians.
type Standing struct {
	Guardian Holder        // by its directory
	Acked    uint64        // the version that it has stored, 0 while it has not answered in this life
	Told     time.Duration // how long ago it was sent a note; -1 for never
	Waiting  bool          // it has not answered that
	Refuses  bool          // it takes no more notes: this generation is being claimed
}

// silentFor is how long a guardian may take to answer a note.
const silentFor = 2 * time.Second

// Answers reports whether it has answered in this life, and does not keep a note waiting.
func (s *Standing) Answers() bool { return s.Acked > 0 && (!s.Waiting || s.Told < silentFor) }

// WardState is what a guardian knows of one ward. Its claim is decided if Heir is set, begun if Promised is.
type WardState struct {
	Of       Holder
	Version  uint64        // of the records that are stored here
	Records  int           // how many
	Left     time.Duration // of the latest lease that was acknowledged here, margin included; 0 or less: it is over
	Released bool          // it has given its lease up itself
	Promised Ballot        // the highest ballot that was promised; its By is the directory that claims
	Heir     Holder        // whom the decision names
}

// Counts returns what was done so far.
func (m *Machine) Counts() Counts { return m.counts }

// CountOn has a new machine count on from there.
func (m *Machine) CountOn(c Counts) { m.counts = c }

// LeaseState tells how this generation's lease stands at now.
func (m *Machine) LeaseState(now time.Duration) Lease {
	end, ok := m.Lease()
	if !ok {
		return Lease{}
	}
	return Lease{Left: end - now, Renewed: now - m.own.renewed, Held: true}
}

// Standings tells how this generation stands with each of its guardians at now; none if it has none.
func (m *Machine) Standings(now time.Duration) []Standing {
	if m.own == nil {
		return nil
	}
	ss := make([]Standing, len(m.own.Set))
	for i, s := range m.own.standing {
		ss[i] = Standing{Guardian: m.own.Set[i], Acked: s.acked, Told: -1, Waiting: s.waiting, Refuses: s.refused}
		if s.told {
			ss[i].Told = now - s.sent
		}
	}
	return ss
}

// WardStates tells of all generations that this node guards or guarded, in order.
func (m *Machine) WardStates(now time.Duration) []WardState {
	var ws []WardState
	for _, w := range m.wards {
		if !slices.Contains(w.Set, m.dir) {
			continue // only heard of
		}
		s := WardState{Of: w.Of, Version: w.Version, Records: len(w.records), Left: w.free - now, Released: w.gone, Promised: w.Promised}
		if w.Decided {
			s.Heir, s.Version, s.Records = w.Value.Heir, w.Value.Version, len(w.records)
		}
		ws = append(ws, s)
	}
	return ws
}

// size is how many bytes records have.
func size(rs []Record) (n uint64) {
	for _, r := range rs {
		n += uint64(len(r.Key) + len(r.Value))
	}
	return n
}

// Fetching tells of how many generations records are half fetched, and how many bytes have come of them.
func (m *Machine) Fetching() (generations, bytes int) { return len(m.fetches), m.staged }
