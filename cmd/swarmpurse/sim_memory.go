package main

import (
	"os"
	"runtime/debug"
	"sync"

	"github.com/swarmpurse/swarmpurse/sim/hugepage"
)

const (
	// simGC is the GC percentage of simulations: what they keep for the whole run is most of their memory, and looking
	// through it as often as the default does takes a quarter of the time.
	simGC = 400
	// simMemory is the heap from which on memory is worth more than time.
	simMemory = 7 << 30
)

// simulateInMemory sets the garbage collector for simulations, unless the environment does, and asks for huge pages.
var simulateInMemory = sync.OnceFunc(func() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(simGC)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(simMemory)
	}
	hugepage.Heap(simMemory)
})
