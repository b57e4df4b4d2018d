// Package demo runs a swarm on this machine and judges it: node processes of the same binary, a
// stand-in model server, and agents that call it through the nodes' proxies, while the swarm is cut in
// two and healed. It is `swarmpurse demo`, and the end-to-end check of the build.
//
// It owns the workload (generated or from a recorded trace), the processes, the audit and the report.
// The audit rests on what the model server counted, by the time at which calls reached it, and on
// nothing that a node says; only convergence and conservation are read from the nodes.
//
// It never decides anything about budgets, and no node ever uses it. Run is its only entrance; the
// command in cmd/swarmpurse/demo.go calls it.
package demo
