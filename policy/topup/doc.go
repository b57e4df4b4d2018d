// Package topup judges whether what an account shows as minted was signed for by operators, where the policy lists trust.signers. Operators sign each
// top-up (an Act) for one holder; whoever is told of an account that shows more than such acts allow does not go by it until those that lack have come.
// Acts merge in any order, and more of them never allow less. The package is pure: it reads no clock, holds no lock and checks signatures only where it
// is asked to.
//
// Who calls it: the node (whose rows, transfers and notes it takes) and node/wire (acts as they travel).
package topup
