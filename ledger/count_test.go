package ledger_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// Instances are counted by budget, whether they were opened here, are known from a peer's row, or come from the disk; and there
// is room for those that are known.
func TestInstancesAreCounted(t *testing.T) {
	now := testStart
	spec := Spec{Kind: Grant, Amount: 1000}
	a, b := Holder{Node: "a", Gen: 1}, Holder{Node: "b", Gen: 2}
	charter, err := NewCharter("test", []Holder{a, b}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	start := func(h Holder) *Replica {
		return NewReplica(Config{
			Self: h, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, h.Gen)),
			Resolve: func(InstanceID) (Spec, bool) { return spec, true },
		})
	}
	id := func(budget, value string) InstanceID {
		id, err := NewInstanceID(charter.ID, budget, "compute", Grant, []string{"run"}, []string{value})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	counted := func(r *Replica, run, other int) {
		t.Helper()
		if r.Count("run") != run || r.Count("other") != other || r.Count("none") != 0 {
			t.Errorf("%d and %d instances, want %d and %d", r.Count("run"), r.Count("other"), run, other)
		}
	}
	ra, rb := start(a), start(b)
	for _, r := range []*Replica{ra, rb} {
		if err := r.Found(charter); err != nil {
			t.Fatal(err)
		}
	}
	disk := map[string][]byte{}
	rb.Writes(now)
	rb.Commit(now)
	for i := range 3 {
		if _, err := ra.Open(now, id("run", fmt.Sprint("a/b@", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ra.Open(now, id("other", "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := ra.Open(now, id("other", "x")); err != nil { // once more
		t.Fatal(err)
	}
	for range 40 {
		for _, w := range ra.Writes(now) {
			if disk[w.Key] = w.Value; w.Value == nil {
				delete(disk, w.Key)
			}
		}
		for _, s := range ra.Commit(now).Spreads {
			if err := rb.Receive(now, []Row{*s.Row}); err != nil {
				t.Fatal(err)
			}
		}
		now += 50
		ra.Tick(now)
	}
	counted(ra, 3, 1)
	counted(rb, 3, 1)
	if !rb.Room(id("run", "a/b@1"), 3) || rb.Room(id("run", "new"), 3) || !rb.Room(id("run", "new"), 4) || !rb.Room(id("other", "new"), 2) {
		t.Error("room")
	}
	var records []Write
	for _, k := range slices.Sorted(maps.Keys(disk)) {
		records = append(records, Write{Key: k, Value: disk[k]})
	}
	again := start(a)
	if err := again.Load(now, records); err != nil {
		t.Fatal(err)
	}
	counted(again, 3, 1)
}
