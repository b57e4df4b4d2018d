package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	first  = Key{Revision: 1}
	second = Key{Revision: 2}
)

// watching is a node alone at which revision 1 is in force and 2 is tried, which bakes for a minute.
func watching(t *testing.T) *Watch {
	t.Helper()
	w := &Watch{}
	w.Begin(Life{"n1", 7}, 25_000)
	how := canary
	how.Bake = time.Minute
	news, _, _ := w.Learn([]Entry{{Key: first, Whole: &Word{Node: "n1"}}, {Key: second, Trial: &Trial{Word{Node: "n1"}, how}}})
	if len(news) != 2 || news[0].Now.Whole == nil || w.State.InForce(always).Candidate != second {
		t.Fatalf("%+v", news)
	}
	w.Try(second)
	return w
}

func counts(calls, refused int64) Counts { return Counts{Calls: calls, Refused: refused} }

func (w *Watch) at(now int64, stable, candidate Counts) Deeds {
	return w.Tick(now, second, stable, candidate, true, []string{"n1"}, always)
}

// TestWatchRollsBackOnce: a breach is said once, however often a node looks before its word is durable and the candidate no longer
// decides: the stable revision would be rolled back next.
func TestWatchRollsBackOnce(t *testing.T) {
	w := watching(t)
	do := w.at(1, counts(1000, 20), counts(1000, 320))
	if len(do.Say) != 1 || do.Say[0].Key != second || do.Say[0].Back == nil || do.Say[0].Back.By != Guardian || !strings.HasPrefix(do.Breach, "deny_rate: ") {
		t.Fatalf("%+v", do)
	}
	w.Learn(do.Say)
	if do := w.at(2, counts(1100, 20), counts(1100, 350)); do.Say != nil {
		t.Errorf("said again: %+v", do.Say)
	}
	w.Learn([]Entry{{Key: Key{Revision: 3}, Trial: &Trial{Word{Node: "n2"}, canary}}})
	if do := w.at(3, counts(1100, 20), counts(1100, 350)); do.Say != nil {
		t.Errorf("said of another candidate: %+v", do.Say)
	}
	if f := w.State.InForce(always); f.Stable != first || f.Candidate.Revision != 3 {
		t.Errorf("%+v", f)
	}
}

// TestWatchPromotes: after its time, unless it is paused or hardly anybody called it.
func TestWatchPromotes(t *testing.T) {
	const minute = 60_000
	w := watching(t)
	for _, step := range []struct {
		name    string
		at      int64
		calls   int64
		on, off bool // it is paused before, or that ends
		unbaked int64
		says    bool
	}{
		{name: "not yet", at: minute - 1, calls: 99, unbaked: -1},
		{name: "too few calls", at: minute, calls: 99, unbaked: 99},
		{name: "which is said once", at: minute + 1, calls: 99, unbaked: -1},
		{name: "paused", at: minute + 2, calls: 100, on: true, unbaked: -1},
		{name: "it bakes anew", at: minute + 3, calls: 100, off: true, unbaked: -1},
		{name: "still", at: 2*minute + 2, calls: 100, unbaked: -1},
		{name: "promoted", at: 2*minute + 3, calls: 100, unbaked: -1, says: true},
		{name: "and not again", at: 2*minute + 4, calls: 100, unbaked: -1},
	} {
		if step.on || step.off {
			e, err := w.State.Pause(Word{At: step.at, Node: "n1"}, step.on, w.State.InForce(always))
			if err != nil {
				t.Fatal(err)
			}
			w.Learn([]Entry{e})
		}
		do := w.at(step.at, counts(900, 0), counts(step.calls, 0))
		if do.Unbaked != step.unbaked || (do.Say != nil) != step.says || do.Breach != "" {
			t.Errorf("%s: %+v", step.name, do)
		}
		if step.says && (do.Say[0].Whole == nil || do.Say[0].Whole.By != Baked || do.Say[0].Whole.Why != "1m0s without a breach, 100 calls of it, 900 of the stable revision") {
			t.Errorf("%s: %+v", step.name, do.Say[0].Whole)
		}
		w.Learn(do.Say)
	}
	if f := w.State.InForce(always); f.Stable != second {
		t.Errorf("%+v", f)
	}
}

// TestWatchTells: counters are told when they have changed, not too often, and now and then if not; they are written more seldom.
func TestWatchTells(t *testing.T) {
	w := watching(t)
	w.Tally.Merge(Row{Life: Life{"n0", 1}}) // another's is not told
	for i := range int64(5) {               // runs before this one
		w.Tally.Merge(Row{Life: Life{"n1", i}})
	}
	var told, written []int64
	for at := int64(0); at < 60_000; at += 500 {
		calls := min(at, 10_000) / 10 // they end after ten seconds
		do := w.at(100_000+at, counts(calls, 0), Counts{})
		if do.Tell != nil {
			told = append(told, at)
			if n := len(do.Tell); n != 4 || do.Tell[n-1].Life != (Life{"n1", 7}) || do.Tell[0].Began != 2 || do.Tell[n-1].Stable.Calls != calls {
				t.Fatalf("%d: %+v", at, do.Tell)
			}
		}
		if do.Write {
			written = append(written, at)
		}
	}
	if want := []int64{0, 2000, 4000, 6000, 8000, 10000, 40000}; !slices.Equal(told, want) {
		t.Errorf("told at %v", told)
	}
	if want := []int64{0, 5000, 10000}; !slices.Equal(written, want) {
		t.Errorf("written at %v", written)
	}
	if do := w.Tick(500_000, Key{}, Counts{}, Counts{}, false, nil, always); do.Tell != nil || do.Write || do.Say != nil {
		t.Errorf("without a candidate: %+v", do)
	}
}

func TestWatchReceives(t *testing.T) {
	eight := []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}
	for i := range byte(255) { // a candidate that it does not judge
		second = Key{Revision: 2, Hash: [32]byte{i}}
		if !slices.Contains(Judging(second, "n1", eight), "n1") {
			break
		}
	}
	defer func() { second = Key{Revision: 2} }()
	w := watching(t)
	row := func(node string, began, calls int64) []Row {
		return []Row{{Life: Life{node, began}, Stable: counts(calls, 0)}}
	}
	for _, step := range []struct {
		name string
		of   Key
		rows []Row
		news bool
	}{
		{"of another candidate", first, row("n2", 1, 5), false},
		{"of none", Key{}, row("n2", 1, 5), false},
		{"news", second, row("n2", 1, 5), true},
		{"known", second, row("n2", 1, 5), false},
		{"older", second, row("n2", 1, 4), false},
		{"of this run, which nobody else counts for", second, row("n1", 7, 99), false},
		{"of a run of this node before", second, row("n1", 6, 3), true},
	} {
		if got := w.Receive(step.of, step.rows, eight); got != step.news {
			t.Errorf("%s: %v", step.name, got)
		}
	}
	if s, _ := w.Tally.Sum(); s.Calls != 8 {
		t.Errorf("%d calls", s.Calls)
	}
	if w.Receive(second, row("n3", 1, 1), []string{"n1"}) {
		t.Error("who judges passes on")
	}
	w.Try(second)
	if s, _ := w.Tally.Sum(); s.Calls != 9 {
		t.Error("counters are lost while the candidate stays the same")
	}
	if w.Try(first); len(w.Tally.Rows()) != 0 || w.Tally.Of != first {
		t.Errorf("%+v", w.Tally)
	}
}

// TestWatchTellsByParts: in a small swarm all are told every time, in a large one those that judge, and all as seldom as their number asks for.
func TestWatchTellsByParts(t *testing.T) {
	for _, test := range []struct{ members, told, all int }{{1, 50, 50}, {7, 50, 50}, {20, 50, 5}, {100, 50, 1}, {1000, 50, 1}} {
		var alive []string
		for i := range test.members {
			alive = append(alive, fmt.Sprintf("n%d", i))
		}
		w := watching(t)
		told, all := 0, 0
		for at := int64(0); at < 100_000; at += 100 {
			do := w.Tick(1_000_000+at, second, counts(at, 0), Counts{}, true, alive, always)
			if do.Tell == nil {
				continue
			}
			told++
			judges := slices.DeleteFunc(Judging(second, "n1", alive), func(s string) bool { return s == "n1" })
			switch {
			case len(do.To) == 0:
				all++
			case !slices.Equal(do.To, judges):
				t.Fatalf("%d members: %v is told, %v judge", test.members, do.To, judges)
			}
		}
		if told != test.told || all != test.all {
			t.Errorf("%d members: told %d times, %d times all, want %d and %d", test.members, told, all, test.told, test.all)
		}
	}
}

// TestJudging: three nodes judge, the same for all who see the same members, and others for other candidates.
func TestJudging(t *testing.T) {
	var alive []string
	for i := range 40 {
		alive = append(alive, fmt.Sprintf("n%04d", i))
	}
	all := map[string]bool{}
	for revision := range byte(20) {
		k := Key{Hash: [32]byte{revision * 13}}
		judges := Judging(k, alive[0], alive)
		if len(judges) != Judges {
			t.Fatalf("%d nodes judge", len(judges))
		}
		for _, name := range judges {
			all[name] = true
		}
		for i := range alive {
			if got := Judging(k, alive[i], slices.Concat(alive[i+1:], alive[:i])); !slices.Equal(got, judges) {
				t.Fatalf("%s sees %v, %s sees %v", alive[0], judges, alive[i], got)
			}
		}
	}
	if len(all) < 20 {
		t.Errorf("of 40 nodes %d judge any of 20 candidates", len(all))
	}
	if got := Judging(second, "n9999", nil); !slices.Equal(got, []string{"n9999"}) {
		t.Errorf("one that is alone does not judge: %v", got)
	}
}

// TestWatchAsks: for documents that would be in force, not too often.
func TestWatchAsks(t *testing.T) {
	w := watching(t)
	none := func(Key) bool { return false }
	for _, step := range []struct {
		at   int64
		soon bool
		has  func(Key) bool
		want []Key
	}{
		{2000, false, none, []Key{first, second}}, {3999, false, none, nil}, {4000, false, func(k Key) bool { return k == first }, []Key{second}},
		{4001, true, none, []Key{first, second}}, {6000, false, none, nil}, {6002, false, always, nil}, {6003, false, none, []Key{first, second}},
	} {
		if got := w.Ask(step.at, step.soon, step.has, none); !slices.Equal(got, step.want) {
			t.Errorf("%d: %v", step.at, got)
		}
	}
	if got := w.Ask(10_000, true, none, always); len(got) > 0 {
		t.Errorf("asks for what is of no use: %v", got)
	}
}

func TestParts(t *testing.T) {
	w := &Watch{}
	for i := range int64(40) {
		w.State.Merge([]Entry{{Key: Key{Revision: i + 1}, Whole: &Word{Node: "n"}}})
	}
	parts := w.Parts()
	if len(parts) != 3 || len(parts[0]) != 16 || parts[0][15].Revision != 40 || len(parts[2]) != 8 || parts[2][0].Revision != 1 {
		t.Errorf("%d parts", len(parts))
	}
	if merged(slices.Concat(parts...)).InForce(always).Stable.Revision != 40 {
		t.Error("parts do not say what the whole says")
	}
}
