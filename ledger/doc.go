// Package ledger is the escrow ledger of swarmpurse: how a cap on tokens holds over many nodes with
// no coordinator. It owns accounts (one node's side of one budget instance), the rows that summarise
// them, the merge of rows, transfers of rights and shares, the founders' seats, and the wire and disk
// format of all these. Its part of guarding (what must be held, whom the dead are credited to) is in guard_*.go; the
// protocol of it is package guardian.
//
// It is the bounded counter of Balegas et al., "Extending Eventually Consistent Cloud Databases for
// Enforcing Numeric Invariants" (SRDS 2015), cut down to pairwise cumulative counters.
//
// The package is pure. Time and chance come in as arguments; what must be written to disk and sent to
// peers comes out as data (see [Replica.Writes] and [Replica.Commit]); it never reads a clock, starts
// a goroutine, logs or does I/O. The node's loop drives it in production and the simulator in tests.
//
// Concurrency: a [Replica] belongs to one goroutine. The exception is the admission path: [Reserve],
// [Account.Settle] and the other methods documented so may be called from any goroutine, since an
// account has a short lock of its own.
package ledger
