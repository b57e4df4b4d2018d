// Package frame is the protocol that callers in Go speak to a node over a Unix socket: its words, and how they lie on the wire.
//
// It is bytes in and bytes out: it opens no connection, reads no clock and starts no goroutine, and imports nothing but the standard
// library, so that a caller's program stays small. It bounds whatever it reads before it allocates.
//
// A frame is four bytes with the length of the rest (big-endian, at most [MaxFrame]), a byte for its [Kind], the id of the request
// that it belongs to, and a body of fixed fields in a fixed order: strings and lists behind their length, numbers as varints, amounts in
// tokens, durations in nanoseconds. A body may be longer than is known here: what is new comes at its end, and is passed over.
//
// A connection begins with the caller's [Hello], which names the versions that it speaks; the node answers with the [Welcome], which
// chooses one, or with an error. Then requests go one way and answers the other, in whatever order they are ready, told apart by
// their ids, which the caller chooses. [Cancel] says that nobody waits for an answer any more; it is answered like any call that its caller
// took back. [Bye] says that the node is about to end: what is asked is answered still, what is new belongs to a new connection.
//
// Package socket is the node's side, package client the caller's.
package frame
