// Package baseline runs a scenario's workload under other ways of admitting: what the swarm is compared with. They
// are simple models of their own, with nothing of ledger accounts or admission in them; only the policy is the
// same: what a call draws, on which instances, how much it reserves and what its real use costs.
//
// It is pure: a run depends on the scenario and the source only. The simulator and the command call it.
package baseline
