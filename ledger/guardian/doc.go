// Package guardian keeps standby copies of what a node owns at a few peers, and decides who takes it over when the node
// is gone: the protocol of DESIGN 3.5. It owns notes and versions, leases, and claims by single-decree Paxos among the
// guardians of a generation.
//
// What the copies mean is not its business: to it a generation is a set of records of bytes under one version. It tells
// its host two things: up to which version a majority has stored the records (held), and which records and which heir
// were decided when a generation is claimed. Package ledger is that host.
//
// A [Machine] is driven in batches, as a ledger.Replica is: inputs in any number, then Writes says what must be durable,
// then Commit returns what may be sent. It is pure: the clock is an argument, of the sort that counts the time a machine
// was suspended, and only differences of one machine's clock are used. A Machine belongs to one goroutine.
package guardian
