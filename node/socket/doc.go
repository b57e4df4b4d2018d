// Package socket is the node's door for callers in Go: admit, settle and release over a Unix socket, in the frames of package frame.
// It is what HTTP's calls are, for less: many requests at once over one connection, and no library of a protocol in between.
//
// It owns its connections, their bounds and their times, and its metrics. It never decides: what is asked is checked and done by what
// HTTP's handlers use (api.Calls), so that limits, tenants' keys and the audit log are the same.
//
// Concurrency: a goroutine reads each connection, and decides itself what the node can at once; a call that has to wait gets a goroutine of
// its own. Whoever has an answer writes it, with all others that are there.
//
// Package node opens it for --socket.
package socket
