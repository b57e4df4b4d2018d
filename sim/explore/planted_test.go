package explore

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/judge"
	"github.com/swarmpurse/swarmpurse/sim/plant"
)

// bug is a known mistake, put into the source of package ledger for one build of this test.
type bug struct {
	name  string
	file  string      // of package ledger
	edits [][2]string // each text occurs once, and is replaced
	scope string      // where it is found
	depth int         // after so many actions
	by    judge.Invariant
}

var bugs = []bug{
	{
		name: "a transfer is told and not written", file: "exchange.go", scope: "transfer", depth: 2, by: judge.DurableFirst,
		edits: [][2]string{{"r.mark(in)\n\tr.markEdge(in, e)\n\te.tries = 0", "e.tries = 0"}},
	},
	{
		name: "after a failed write a gift is not written again", file: "batch.go", scope: "crash", depth: 2, by: judge.DurableFirst,
		edits: [][2]string{{"b := batch{dirty: r.batch.dirty, edges: r.batch.edges}", "b := batch{dirty: r.batch.dirty}"}},
	},
	{
		name: "what comes is added, not taken as the maximum", file: "transfer.go", scope: "transfer", depth: 5, by: judge.GivenBeforeCome,
		edits: [][2]string{{"if d := t.Out - e.In; d > 0 {", "if d := t.Out; d > 0 {"}},
	},
	{
		name: "a restart forgets the mark", file: "window.go", scope: "crash", depth: 5, by: judge.AdmittedIsBooked,
		edits: [][2]string{{"s.Spent, s.Reserved = max(s.used(), s.Mark), 0", "s.Reserved = 0"}},
	},
	{
		name: "shares count for a window that the giver has issued", file: "transfer.go", scope: "window", depth: 3, by: judge.CountedOnce,
		edits: [][2]string{{"first = a.s.Window + 1", "first = a.s.Window"}, {"w+1 > first {\n\t\t\tfirst = w + 1", "w > first {\n\t\t\tfirst = w"}},
	},
	{
		name: "shares come free that others on the way make late", file: "transfer.go", scope: "free", depth: 4, by: judge.Monotone,
		edits: [][2]string{{"first = max(first, e.First) //", "//"}},
	},
	{
		name: "what comes late is free", file: "transfer.go", scope: "free", depth: 3, by: judge.CountedOnce,
		edits: [][2]string{{"case s.Issues && first <= s.Window:", "case s.Issues:"}},
	},
	{
		name: "rights of a window to come are acknowledged and not credited", file: "exchange.go", scope: "rollover", depth: 3, by: judge.DurableFirst,
		edits: [][2]string{{"if !ready || m.Window > w {", "if !ready || m.Window > w+1_000_000 {"}},
	},
	{
		name: "shares given away roll over twice", file: "window.go", scope: "rollover", depth: 5, by: judge.IssuedInLimit,
		edits: [][2]string{{"spec.rollover(n.Counted)", "spec.rollover(s.Counted)"}},
	},
	{
		name: "slots of before a crash are free at once", file: "window.go", scope: "slots", depth: 5, by: judge.AdmittedIsBooked,
		edits: [][2]string{{"a.phantom, a.phantomUntil = s.Mark, s.MarkTill", "a.phantomUntil = s.MarkTill"}, {"s.Spent, s.Reserved = 0, s.Mark", "s.Spent, s.Reserved = 0, 0"}},
	},
	{
		name: "the mark in memory passes the one on disk", file: "batch.go", scope: "disk", depth: 5, by: judge.BelowMark,
		edits: [][2]string{{"a.s.Mark = min(a.s.Mark, in.writtenMark)", ""}},
	},
	{
		name: "a seat passes on without what it was used for", file: "seat.go", scope: "leave", depth: 5, by: judge.Readable,
		edits: [][2]string{{"To: to, Used: used, Levels: levels,", "To: to,"}},
	},
	{
		name: "versions of rows start again after a crash", file: "persist.go", scope: "rows", depth: 5, by: judge.Monotone,
		edits: [][2]string{{"r.versionMark = r.version\n", "r.versionMark, r.version = r.version, 0\n"}},
	},
	{
		name: "each node overdraws the whole part", file: "replica.go", scope: "soft", depth: 6, by: judge.OverdraftInLimit,
		edits: [][2]string{{"1_000_000)) / Tokens(r.members())", "1_000_000))"}},
	},
	{
		name: "what decays is gone without a trace", file: "window.go", scope: "decay", depth: 1, by: judge.Equations,
		edits: [][2]string{{"	a.s.Lapsed += n\n	a.rights -= n", "	a.rights -= n"}},
	},
	{
		name: "a digest is answered by nobody", file: "rows.go", scope: "digests", depth: 2, by: "then all faults end",
		edits: [][2]string{{"r.sendLacking(m.From, theirs)", "_ = theirs"}},
	},
}

// TestPlantedBugs puts known bugs into package ledger, one at a time, and sees the search find each, with the promise
// that it breaks, after the fewest actions with which it can be found.
func TestPlantedBugs(t *testing.T) {
	dir := t.TempDir()
	for i, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			overlay := plant.Overlay(t, filepath.Join("..", "..", "ledger", b.file), b.edits)
			binary := filepath.Join(dir, fmt.Sprint(i, ".test"))
			if out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("the bug does not compile: %v\n%s", err, out)
			}
			out, err := exec.Command(binary, "-test.v", "-test.run", "^TestScopes$/^"+b.scope+"$", "-explore.depth", fmt.Sprint(b.depth)).CombinedOutput()
			if err == nil {
				t.Fatalf("not found in scope %s within %d actions:\n%s", b.scope, b.depth, out)
			}
			found := regexp.MustCompile(`after (\d+) actions\s+` + regexp.QuoteMeta(string(b.by))).FindSubmatch(out)
			if found == nil || string(found[1]) != fmt.Sprint(b.depth) {
				t.Fatalf("found, but not as %q after %d actions:\n%s", b.by, b.depth, out)
			}
			t.Logf("found: %s", regexp.MustCompile(`all paths.*distinct`).Find(out))
		})
	}
}
