// Package store keeps what a node must not forget: bytes under keys, in one bbolt file in the node's
// data directory.
//
// It owns the data directory: its lock, its identity (name, cluster, random id, generation), and the
// promise that a Commit which returned nil is there after a crash, whole, or that the next Open says
// that it is not. It never guesses: a directory that is damaged, that belongs to another node, or
// that has lost its database is an error with a hint, never a silent start from zero, because a node
// that forgot what it spent would spend it again.
//
// It never interprets what it keeps (accounts, rows and policies are bytes here), never decides when
// to write, and never talks to the network. The node's loop calls it: everything that must be durable
// before it is sent or admitted goes through Commit first.
package store
