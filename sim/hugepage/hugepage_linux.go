package hugepage

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Heap asks for huge pages for the first most bytes of the heap, at most half of the machine's memory. It reserves
// addresses, and takes no memory: that comes as the heap grows into them, which Go does from the lowest address on.
//
// It returns the bytes that it asked for, 0 where the system has no huge pages on request or counts what is reserved
// as used (vm.overcommit_memory=2). It is for the start of a program: it collects garbage and returns all free memory.
func Heap(most int64) int64 {
	if !onRequest() || read("/proc/sys/vm/overcommit_memory") == "2" {
		return 0
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	const page = 2 << 20
	n := min(most, int64(info.Totalram)*int64(info.Unit)/2) / page * page
	if n <= 0 {
		return 0
	}
	reserved := make([]byte, n) // fresh from the system, which is known to be zero: it is not written to
	err := unix.Madvise(reserved, unix.MADV_HUGEPAGE)
	runtime.KeepAlive(reserved)
	debug.FreeOSMemory() // the addresses stay what they were made
	if err != nil {
		return 0
	}
	return n
}

func onRequest() bool {
	return strings.Contains(read("/sys/kernel/mm/transparent_hugepage/enabled"), "[madvise]")
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return strings.TrimSpace(string(text))
}
