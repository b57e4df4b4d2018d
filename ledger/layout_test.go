package ledger

import (
	"testing"
	"unsafe"
)

// TestHotFieldsLieTogether: what a decision on a rate looks at and writes is on four cache lines, of ten that it was on.
func TestHotFieldsLieTogether(t *testing.T) {
	var a Account
	lines := map[uintptr]bool{}
	for _, at := range []uintptr{
		unsafe.Offsetof(a.mu), unsafe.Offsetof(a.ready), unsafe.Offsetof(a.touched), unsafe.Offsetof(a.rights), unsafe.Offsetof(a.last), unsafe.Offsetof(a.end), unsafe.Offsetof(a.ends),
		unsafe.Offsetof(a.held), unsafe.Offsetof(a.leaseEnd), unsafe.Offsetof(a.aside), unsafe.Offsetof(a.asked), unsafe.Offsetof(a.cost), unsafe.Offsetof(a.meanCall),
		unsafe.Offsetof(a.accrual), unsafe.Offsetof(a.accrual) + unsafe.Offsetof(a.accrual.lent), unsafe.Offsetof(a.spec) + unsafe.Offsetof(a.spec.Kind),
		unsafe.Offsetof(a.s) + unsafe.Offsetof(a.s.Window), unsafe.Offsetof(a.s) + unsafe.Offsetof(a.s.Base),
	} {
		lines[at/64] = true
	}
	if len(lines) > 4 {
		t.Errorf("they are on %d: %v; the account's state begins at %d", len(lines), lines, unsafe.Offsetof(a.s))
	}
}
