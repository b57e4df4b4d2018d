// Package node is the agent process: it wires the store, the gossip pool, the ledger, admission and the
// HTTP and gRPC doors together, and owns the loop that drives the replica. What it says to peers it signs (see package seal).
//
// It decides nothing about tokens by itself: that is ledger's, policy's and admit's. It never lets a
// message out before what it shows is durable (see loop.go).
//
// Concurrency: one goroutine, the loop, owns the replica and the queue; everything else reaches them by
// sending it operations over a bounded channel. Another signs and sends what is for single peers (see mail.go). The admission fast path runs on its caller's goroutine and
// touches only accounts and records, which have short locks of their own.
//
// It is called by cmd/swarmpurse and by programs that embed a node.
package node
