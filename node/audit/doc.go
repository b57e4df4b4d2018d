// Package audit keeps a node's audit log: records of what it decided and did, in an append-only Merkle log
// (golang.org/x/mod/sumdb/tlog) on disk, whose head the node signs with every batch (golang.org/x/mod/sumdb/note).
//
// It owns the form of records and of the files, recovery after a crash, the bound on disk, the proof that what is there
// is what was signed ([Verify]), and what this node remembers of its peers' logs ([Witness]). It reads no clock, sends no
// message and decides nothing: package node hands it records in batches, off the path of calls, and carries checkpoints
// between nodes.
//
// Never in a record: prompts, completions, keys. A record holds names and numbers only.
//
// A [Log] has one writer; [Dir] reads the same files meanwhile, or those of a stopped node. DESIGN.md has the decisions.
package audit
