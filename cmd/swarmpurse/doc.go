// Command swarmpurse is the whole product in one binary: the node that sits beside agents, and the
// commands that talk to it.
//
// It owns the command line: flags, exit codes, what goes to stdout and what to stderr, text and JSON.
// It decides nothing: commands that ask a node go through its HTTP API with package node/api's
// client, `policy check` through package policy, `node` through package node, and `sim` through package sim.
//
// main hands arguments and streams to run, which tests call. One file holds one command; render.go
// prints text or JSON.
package main
