// Package bench measures a node beside what it could be at best: its HTTP and gRPC doors beside bare handlers of the same libraries, its socket beside
// a Redis that does the check of a gateway, and what its proxy adds to a stream. It starts the node and the others as processes on
// this machine, so that all are alike to the callers, which are this process, and measures them in turns, so that what else the machine does meets
// them alike.
//
// It decides nothing about what is good: a target is printed beside its figure.
package bench
