package hugepage

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Heap asks for huge pages for the first most bytes of the heap, at most half of the machine's memory. It reserves
// addresses, and takes no memory: that comes as the heap grows into them, which Go does from the lowest address on.
//
// It returns the bytes that it asked for, 0 where the system has no huge pages on request or counts what is reserved
// as used (vm.overcommit_memory=2). From then on a goroutine takes the next memory of it from the system before the heap needs it, as much as the
// heap has but at most 64 MB: what clears it is another processor, if there is one. It is for the start of a program: it collects garbage and returns all free memory.
func Heap(most int64) int64 {
	if !onRequest() || read("/proc/sys/vm/overcommit_memory") == "2" {
		return 0
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	n := min(most, int64(info.Totalram)*int64(info.Unit)/2) / page * page
	if n <= 0 {
		return 0
	}
	reserved := make([]byte, n) // fresh from the system, which is known to be zero: it is not written to
	from := uintptr(unsafe.Pointer(unsafe.SliceData(reserved)))
	err := unix.Madvise(reserved, unix.MADV_HUGEPAGE)
	runtime.KeepAlive(reserved)
	debug.FreeOSMemory() // the addresses stay what they were made
	if err != nil {
		return 0
	}
	go goAhead(from, uintptr(n))
	return n
}

const (
	page       = 2 << 20
	aheadStep  = 4 * page
	aheadMost  = 64 << 20
	aheadEvery = 20 * time.Millisecond
)

// goAhead takes the memory of a heap from the system before the heap grows into it, until the end of what was reserved, or of the program.
func goAhead(from, size uintptr) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	for done := uintptr(0); ; time.Sleep(aheadEvery) {
		metrics.Read(heap)
		used := uintptr(heap[0].Value.Uint64() + heap[1].Value.Uint64())
		to := min(size, used+min(used, aheadMost))
		for ; done < to; done += aheadStep {
			if !take(from+done, min(aheadStep, size-done)) {
				return
			}
		}
		if done >= size {
			return
		}
	}
}

// take has the system give memory at an address as if it were written to, and leaves what is there as it is.
func take(from, size uintptr) bool {
	_, _, err := unix.Syscall(unix.SYS_MADVISE, from, size, unix.MADV_POPULATE_WRITE)
	return err == 0
}

func onRequest() bool {
	return strings.Contains(read("/sys/kernel/mm/transparent_hugepage/enabled"), "[madvise]")
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
