// Package prefetch brings memory into a processor's caches before it is needed, so that the wait for it overlaps with
// other work. It is a hint: nothing is read, no value depends on it, and on processors that it does not know it does nothing.
package prefetch

import "unsafe"

// Of asks for all of *p, which may be nil.
func Of[T any](p *T) { lines(unsafe.Pointer(p), unsafe.Sizeof(*p)) }

// Head asks for the beginning of *p, a cache line of 64 bytes. p may be nil.
func Head[T any](p *T) { lines(unsafe.Pointer(p), 1) }
