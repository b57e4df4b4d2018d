// Package enrol judges which nodes belong to a swarm, where its policy asks that operators say so (trust.enrol): a node's name and public
// key belong to it if the last word of those who sign now is that they do. Words are signed, so it is all the same who passes them on; they merge in
// any order. The package is pure: it reads no clock, holds no lock and checks signatures only where it is asked to.
//
// Who calls it: the node (which peers it listens to) and node/wire (words as they travel).
package enrol
