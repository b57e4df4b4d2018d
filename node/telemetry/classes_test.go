package telemetry

import (
	"fmt"
	"testing"
	"time"
)

// TestClasses: what is said of classes is what was counted, in the policy's order.
func TestClasses(t *testing.T) {
	m, _ := newMetrics(t)
	m.SetPolicy(PolicyInfo{Revision: 1, Classes: []ClassInfo{{"critical", 300 * time.Millisecond, 0.99}, {"batch", time.Minute, 0}}})
	m.Decision("admit", "ok", "critical", false, 0, time.Microsecond)
	m.Decision("admit", "ok", "critical", false, 90*time.Millisecond, 91*time.Millisecond)
	m.Decision("deny", "frozen", "critical", true, 0, time.Microsecond)
	m.Decision("defer", "new_word", "batch", false, time.Hour, time.Hour)
	list := m.Classes()
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	c, b := list[0], list[1]
	if c.Name != "critical" || c.LatencyBudget != 300*time.Millisecond || c.Objective != 0.99 || c.Met != 2 || c.Missed != 0 || c.Excused != 1 ||
		fmt.Sprint(c.Decisions) != "[{admit ok 2} {deny frozen 1}]" || fmt.Sprint(c.Waits) != "[{50ms 100ms 1}]" {
		t.Errorf("critical: %+v", c)
	}
	if b.Name != "batch" || b.Missed != 1 || fmt.Sprint(b.Decisions) != "[{defer other 1}]" || fmt.Sprint(b.Waits) != "[{5m0s 0s 1}]" {
		t.Errorf("batch: %+v", b)
	}
	m.Decision("deny", "no_rule", "", true, 0, time.Microsecond)
	if list = m.Classes(); len(list) != 3 || list[2].Name != other || list[2].Excused != 1 {
		t.Errorf("a call of no class: %+v", list)
	}
	if (*Metrics)(nil).Classes() != nil {
		t.Error("no metrics")
	}
}
