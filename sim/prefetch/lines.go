//go:build amd64 || arm64

package prefetch

import "unsafe"

// lines asks for size bytes from p on, in lines of 64 bytes, to the second cache: the first is too small for what is
// needed some events from now.
//
//go:noescape
func lines(p unsafe.Pointer, size uintptr)
