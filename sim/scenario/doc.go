// Package scenario reads what a simulation is made from: nodes, network, workload, faults, policy and the
// bounds that decide whether a run passes. It owns the YAML form, its JSON Schema and the scenarios that ship, and
// judges results by bounds. Reading files is all that it does with the world: the policy file and the traces that
// a scenario names.
package scenario
