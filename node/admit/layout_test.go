package admit

import (
	"testing"
	"unsafe"
)

// TestHotFieldsLieTogether: with a thousand tenants in turn each cache line of what belongs to one is a miss.
func TestHotFieldsLieTogether(t *testing.T) {
	var b bound
	var r Request
	var g gate
	one := unsafe.Offsetof(b.one)
	for _, c := range []struct {
		what string
		most int
		at   []uintptr
	}{
		{"a plain plan with one draw", 2, []uintptr{
			unsafe.Offsetof(b.tenant), unsafe.Offsetof(b.named) + 15, unsafe.Offsetof(b.class), unsafe.Offsetof(b.admit), unsafe.Offsetof(b.beside), unsafe.Offsetof(b.lane), unsafe.Offsetof(b.blank), unsafe.Offsetof(b.below),
			unsafe.Offsetof(b.takes), unsafe.Offsetof(b.takes) + 15, one + unsafe.Offsetof(b.one[0].terms), one + unsafe.Offsetof(b.one[0].gate), one + unsafe.Offsetof(b.one[0].floor),
		}},
		{"a request, but for what it names that is not blank", 3, []uintptr{
			0, unsafe.Offsetof(r.Model), unsafe.Offsetof(r.PromptTokens), unsafe.Offsetof(r.Tokens), unsafe.Offsetof(r.Data), unsafe.Offsetof(r.Attributes),
			unsafe.Offsetof(r.TTL), unsafe.Offsetof(r.IdempotencyKey) + 8, unsafe.Offsetof(r.AsIs),
		}},
		{"a gate", 1, []uintptr{unsafe.Offsetof(g.closed), unsafe.Offsetof(g.price), unsafe.Offsetof(g.left), unsafe.Offsetof(g.level), unsafe.Offsetof(g.frozen)}},
	} {
		lines := map[uintptr]bool{}
		for _, at := range c.at {
			lines[at/64] = true
		}
		if len(lines) > c.most {
			t.Errorf("%s is on %d cache lines, it was on %d", c.what, len(lines), c.most)
		}
	}
	if n := unsafe.Sizeof(record{}); n != 248 {
		t.Errorf("a record takes %d bytes", n)
	}
	if n := unsafe.Offsetof(record{}.few) + unsafe.Sizeof(held{}); n > 3*64 {
		t.Errorf("what is written of a record with one draw takes %d bytes", n)
	}
}
