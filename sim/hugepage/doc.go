// Package hugepage has the heap of this process use huge pages where the system gives them to those that ask
// (/sys/kernel/mm/transparent_hugepage/enabled is "madvise", as in many distributions and clouds).
//
// A run of the simulator jumps about in gigabytes: nearly every event comes to another node. With pages of 4 KiB each
// jump misses the TLB too, and in a virtual machine each such miss walks two page tables. Go's runtime leaves huge
// pages to the system, so under "madvise" it gets none.
//
// The heap's next memory is taken from the system ahead, by a goroutine: to clear a huge page is half a millisecond in a virtual machine, and whoever
// touches it first waits for that.
//
// It owns nothing else, changes no setting of the system, and never fails: where huge pages are not to be had, nothing happens.
package hugepage
