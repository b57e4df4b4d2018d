// Package trust is what operators sign, and how: their keys, and the bytes of each of their words. A policy lists the keys
// (trust.signers); who has one of them may change the policy, mint, and vouch for the death of members. The commands sign, every node
// checks. The package is pure: it reads no clock and no file, and draws nothing by chance but from what it is given.
//
// Who calls it: package policy (the list), policy/rollout (words on revisions), the node (mints, deaths), and the commands.
package trust
