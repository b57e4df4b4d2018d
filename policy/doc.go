// Package policy turns one YAML document into what the rest of swarmpurse asks of it: which budgets a
// call draws on, which instance of each, and what the call costs there.
//
// Parse reads, checks and compiles a document; a Policy never changes afterwards and is safe for
// concurrent use. Match finds the Plan of a Call: the class it runs in and the budgets it draws on.
// Key tells which calls share a plan, so that the admission path can keep plans in a cache. A Draw
// prices a call before it runs (Amount) and the usage that its provider reported afterwards (Settle).
// Check names what is allowed in a document but can hardly be meant.
//
// The package is pure: it reads no clock, starts no goroutine, logs nothing, and lets no map's order
// show. It knows of the ledger only its types, decides nothing about rights, and never keeps a Call.
// Its callers are node/admit, the node, the simulator, and the commands under `swarmpurse policy`.
package policy
