package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// What a collection of garbage costs is what is alive: of a node that decides a lot, 30 to 50 MB of decisions that it remembers, which is some
// 20 ms of CPU. By Go's default one begins when as much again has come, three times a second at 25,000 requests. So while
// a node is so busy, garbage may come to spareMemory before; what is gained is in node/DESIGN.md. GOGC leaves it to the environment;
// GOMEMLIMIT holds in any case.
const (
	spareMemory  = 128 << 20 // bytes
	defaultGC    = 100       // percent
	mostGC       = 400
	gcLookEvery  = time.Second
	gcBusy       = 4  // looks: that often at least Go would collect at a busy node
	gcQuietLooks = 10 // before the default is in force again
)

// gcPace says how much garbage may come, in percent of what is alive.
type gcPace struct {
	percent   int
	quiet     int    // looks in turn that found little to do
	allocated uint64 // bytes, ever, at the last look
}

// next is told what is alive and what was ever allocated, in bytes, and says what is in force until the next look.
func (g *gcPace) next(live, allocated uint64) int {
	came := allocated - g.allocated
	g.allocated = allocated
	live = max(live, 4<<20) // less counts for so much: it is where Go begins
	if came*gcBusy <= live {
		if g.quiet++; g.quiet >= gcQuietLooks {
			g.percent = defaultGC
		}
		return g.percent
	}
	g.quiet = 0
	want := int(min(max(100*spareMemory/live, defaultGC), mostGC))
	if off := want - g.percent; off > g.percent/10 || -off > g.percent/10 { // a change stops all goroutines for a moment
		g.percent = want
	}
	return g.percent
}

// paceGC paces the garbage collector until ctx ends.
func paceGC(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	now := gcPace{percent: defaultGC}
	tick := time.NewTicker(gcLookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		metrics.Read(read)
		was := now.percent
		if p := now.next(read[0].Value.Uint64(), read[1].Value.Uint64()); p != was {
			debug.SetGCPercent(p)
		}
	}
}
