package hugepage

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"
)

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
