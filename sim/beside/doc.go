// Package beside does work of a run of the simulator on a second goroutine, so that the run itself, which is one goroutine and waits for memory
// most of the time, does less. It is work that belongs to one place (a node), has to be done in order there, and that nobody looks at before the
// place is finished: what it comes to is the same whoever does it, and whenever.
//
// A Helper is owned by one goroutine, which calls all of its methods. It ends with Stop.
package beside
