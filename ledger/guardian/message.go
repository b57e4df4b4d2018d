package guardian

import "time"

// Record is one durable record of a generation, as its node has it on its own disk. Value nil deletes.
type Record struct {
	Key   string
	Value []byte
}

// Value is what a claim decides of a generation: its records as they were at one version, and who owns them from then on.
type Value struct {
	Version uint64
	Heir    Holder
}

// Copy is what a guardian has stored: the first records of one version, sorted by key, none with a nil value.
type Copy struct {
	Version uint64
	Records []Record
	More    bool // there are more: they are to be fetched
}

// Messages. All are idempotent: loss, duplication and reorder of any of them are harmless. To is a generation, too: a
// guardian that lost its directory is another one.

// Note brings a guardian the records of its ward that changed in versions above Since, up to Version. Since 0: all that
// there are. With Since as Version it only renews the lease.
type Note struct {
	From, To Holder
	Set      []Holder // all guardians of From: the same in every note of that generation
	Acked    uint64   // To has acknowledged so much: if it has less, its directory is an older copy
	Since    uint64
	Version  uint64
	Records  []Record      // in order of keys; nil values for what is gone
	More     bool          // there are more: they are to be fetched
	Sent     time.Duration // by the sender's clock
	Lease    time.Duration // how long its acknowledgement lasts
}

// NoteAck tells what a guardian has stored. It echoes Version, Sent and Lease of the note.
type NoteAck struct {
	From, To    Holder // From is the guardian
	Version     uint64 // that is stored
	Noted       uint64 // that was noted
	Fetching    uint64 // the version of which it is fetching the records; 0 for none
	Sent, Lease time.Duration
}

// Refused tells an owner that a guardian has promised its generation to a claim and takes no more notes.
type Refused struct {
	From, To Holder // From is the guardian
}

// Release tells a guardian that its ward has given up its lease for good: a claim need not wait for its end.
type Release struct {
	From, To Holder // From is the ward
}

// Prepare asks a guardian of a generation for its promise.
type Prepare struct {
	Of     Holder
	To     Holder
	Ballot Ballot
	Owner  bool // the generation's own node asks: there is no lease to wait for
}

// Promise answers: no lower ballot and no note of that generation is accepted any more.
type Promise struct {
	Of       Holder
	From     Holder
	Ballot   Ballot
	Stored   Copy   // what the guardian has stored
	Accepted Ballot // the highest ballot whose value it has accepted, if any
	Value    *Value // that value: Stored is of its version
}

// Accept asks a guardian to accept a value, with its records: it accepts nothing of which it has not stored all.
type Accept struct {
	Of      Holder
	To      Holder
	Ballot  Ballot
	Value   Value
	Records []Record
	More    bool // there are more: they are to be fetched from who claims
}

// Accepted answers.
type Accepted struct {
	Of     Holder
	From   Holder
	Ballot Ballot
}

// Reject refuses a ballot: another one was promised, or the ward's lease still runs.
type Reject struct {
	Of       Holder
	From     Holder
	Ballot   Ballot        // that is refused
	Promised Ballot        // which is higher, or
	Wait     time.Duration // until the lease is over
}

// Decided tells the value that was decided, with its records.
type Decided struct {
	Of       Holder
	From, To Holder
	Value    Value
	Records  []Record
	More     bool // there are more: they are to be fetched from its sender
}

// Outcome tells a node what was decided of a generation, with those of its records that concern it: which these are, the host
// knows. They are not stored, and nobody fetches them.
type Outcome struct {
	Of       Holder
	From, To Holder
	Value    Value
	Records  []Record
	About    []Holder // whom these records concern: To, or others that it is the heir of; none from a node that knew of To only
}

// MaxAbout bounds the generations that one Query is about.
const MaxAbout = 16

// Query asks for what was decided of a generation.
type Query struct {
	Of    Holder
	From  Holder
	Part  bool     // an Outcome will do
	About []Holder // whom it is to concern; From if there is none
}

// Send is a message for the node of a holder.
type Send struct {
	To      Holder
	Message any
}
