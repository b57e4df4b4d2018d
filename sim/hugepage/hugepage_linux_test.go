package hugepage

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestTake: memory that is taken ahead is there, and what was written to it stays.
func TestTake(t *testing.T) {
	const size = 2 * page
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 7
	from := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	if !take(from, size) {
		t.Skip("this system has no MADV_POPULATE_WRITE")
	}
	there := make([]byte, size/os.Getpagesize())
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, from, size, uintptr(unsafe.Pointer(unsafe.SliceData(there)))); err != 0 {
		t.Fatal(err)
	}
	for i, x := range there {
		if x&1 == 0 {
			t.Fatalf("page %d is not there", i)
		}
	}
	if b[0] != 7 || b[1] != 0 || b[size-1] != 0 {
		t.Error("what was there is not as it was")
	}
	if err := unix.Mprotect(b, unix.PROT_NONE); err != nil { // unmapped, it would soon be somebody else's
		t.Fatal(err)
	}
	if take(from, size) {
		t.Error("memory was taken that cannot be written to")
	}
	if err := unix.Munmap(b); err != nil {
		t.Fatal(err)
	}
}

// TestHeap: memory that the heap gives afterwards is of what huge pages were asked for.
func TestHeap(t *testing.T) {
	const most = 256 << 20
	n := Heap(most)
	if !onRequest() || read("/proc/sys/vm/overcommit_memory") == "2" {
		if n != 0 {
			t.Errorf("huge pages were asked for, of %d bytes, where the system has none on request", n)
		}
		return
	}
	if n <= 0 || n > most || n%(2<<20) != 0 {
		t.Fatalf("asked for %d bytes of at most %d", n, most)
	}
	b := make([]byte, 32<<20)
	for i := range b {
		b[i] = 1
	}
	at := uintptr(unsafe.Pointer(&b[len(b)/2]))
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil {
			inside = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && inside {
			if !strings.Contains(flags+" ", " hg ") {
				t.Errorf("the heap has the flags%s", flags)
			}
			return
		}
	}
	t.Error("/proc/self/smaps does not tell of the heap")
}
