// Package client is for programs in Go whose calls swarmpurse decides on: it asks a node to [Client.Admit] a call, and tells it how the call ended
// with [Client.Settle], or that it never ran with [Client.Release].
//
// It speaks the frames of package frame over a Unix socket (the node's --socket), which is the faster way: requests of all goroutines share
// one connection. Or it speaks HTTP, to nodes elsewhere too. Both mean the same; settings, errors and answers are the same.
//
// A refusal (defer, deny) is an answer, not an error. An error is one of three: an [*Error], which a node answered; an [*UnreachableError], when
// none did; or the context's.
//
// While no node answers nothing is decided. What to do then is the program's choice: not to make calls that draw on hard budgets, whose cap
// would be passed by calls that nobody counts, and to make those that draw on soft ones, is the default that we advise.
//
// It imports nothing but the standard library and package frame.
package client
