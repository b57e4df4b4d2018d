package explore

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

var bugs = []bug{
	{
		name: "a transfer is told and not written", file: "exchange.go", scope: "transfer", depth: 2, by: judge.DurableFirst,
		edits: [][2]string{{"r.mark(in)\n\tr.markEdge(in, e)\n\te.tries = 0", "if planted != N {\n\t\tr.mark(in)\n\t\tr.markEdge(in, e)\n\t}\n\te.tries = 0"}},
	},
	{
		name: "after a failed write a gift is not written again", file: "batch.go", scope: "crash", depth: 2, by: judge.DurableFirst,
		edits: [][2]string{{"b := batch{dirty: r.batch.dirty, edges: r.batch.edges, urgent: true}", "b := batch{dirty: r.batch.dirty, edges: r.batch.edges, urgent: true}\n\tif planted == N {\n\t\tb.edges = nil\n\t}"}},
	},
	{
		name: "what comes is added, not taken as the maximum", file: "transfer.go", scope: "transfer", depth: 5, by: judge.GivenBeforeCome,
		edits: [][2]string{{"if d := t.Out - e.In; d > 0 {", "if d := t.Out - map[bool]Tokens{true: e.In}[planted != N]; d > 0 {"}},
	},
	{
		name: "a restart forgets the mark", file: "window.go", scope: "crash", depth: 5, by: judge.AdmittedIsBooked,
		edits: [][2]string{{"s.Spent, s.Reserved = max(s.used(), s.Mark), 0", "if planted != N {\n\t\t\ts.Spent = max(s.used(), s.Mark)\n\t\t}\n\t\ts.Reserved = 0"}},
	},
	{
		name: "shares count for a window that the giver has issued", file: "transfer.go", scope: "window", depth: 3, by: judge.CountedOnce,
		edits: [][2]string{{"first = a.s.Window + 1", "first = a.s.Window + 1\n\t\tif planted == N {\n\t\t\tfirst--\n\t\t}"}, {"w+1 > first {\n\t\t\tfirst = w + 1", "w+1 > first && (planted != N || w > first) {\n\t\t\tif first = w; planted != N {\n\t\t\t\tfirst = w + 1\n\t\t\t}"}},
	},
	{
		name: "shares come free that others on the way make late", file: "transfer.go", scope: "free", depth: 4, by: judge.Monotone,
		edits: [][2]string{{"first = max(first, e.First) //", "first = max(first, map[bool]Window{true: e.First}[planted != N]) //"}},
	},
	{
		name: "what comes late is free", file: "transfer.go", scope: "free", depth: 3, by: judge.CountedOnce,
		edits: [][2]string{{"case s.Issues && first <= s.Window:", "case s.Issues && (planted == N || first <= s.Window):"}},
	},
	{
		name: "rights of a window to come are acknowledged and not credited", file: "exchange.go", scope: "rollover", depth: 3, by: judge.DurableFirst,
		edits: [][2]string{{"if !ready || m.Window > w {", "if !ready || planted != N && m.Window > w {"}},
	},
	{
		name: "shares given away roll over twice", file: "window.go", scope: "rollover", depth: 5, by: judge.IssuedInLimit,
		edits: [][2]string{{"spec.rollover(n.Counted)", "spec.rollover(map[bool]Shares{true: n.Counted, false: s.Counted}[planted != N])"}},
	},
	{
		name: "slots of before a crash are free at once", file: "window.go", scope: "slots", depth: 5, by: judge.AdmittedIsBooked,
		edits: [][2]string{{"a.phantom, a.phantomUntil = s.Mark, s.MarkTill", "a.phantom, a.phantomUntil = map[bool]Tokens{true: s.Mark}[planted != N], s.MarkTill"}, {"s.Spent, s.Reserved = 0, s.Mark", "s.Spent, s.Reserved = 0, map[bool]Tokens{true: s.Mark}[planted != N]"}},
	},
	{
		name: "the mark in memory passes the one on disk", file: "batch.go", scope: "disk", depth: 5, by: judge.BelowMark,
		edits: [][2]string{{"a.s.Mark = min(a.s.Mark, in.writtenMark)", "if planted != N {\n\t\ta.s.Mark = min(a.s.Mark, in.writtenMark)\n\t}"}},
	},
	{
		name: "a seat passes on without what it was used for", file: "seat.go", scope: "leave", depth: 5, by: judge.Readable,
		edits: [][2]string{{"r.seats.used[i] = nil\n\tr.seats.pass[i] = p", "if planted == N {\n\t\tp.Used, p.Levels = nil, nil\n\t}\n\tr.seats.used[i] = nil\n\tr.seats.pass[i] = p"}},
	},
	{
		name: "versions of rows start again after a crash", file: "persist.go", scope: "rows", depth: 5, by: judge.Monotone,
		edits: [][2]string{{"r.versionMark = r.version\n", "if r.versionMark = r.version; planted == N {\n\t\t\t\tr.version = 0\n\t\t\t}\n"}},
	},
	{
		name: "each node overdraws the whole part", file: "replica.go", scope: "soft", depth: 6, by: judge.OverdraftInLimit,
		edits: [][2]string{{"1_000_000)) / Tokens(r.members())", "1_000_000)) / map[bool]Tokens{true: Tokens(r.members()), false: 1}[planted != N]"}},
	},
	{
		name: "what decays is gone without a trace", file: "window.go", scope: "decay", depth: 1, by: judge.Equations,
		edits: [][2]string{{"\ta.s.Lapsed += n\n\ta.rights -= n", "\tif planted != N {\n\t\ta.s.Lapsed += n\n\t}\n\ta.rights -= n"}},
	},
	{
		name: "what decays is said to be burned", file: "window.go", scope: "decay", depth: 1, by: judge.BurnedOnWord,
		edits: [][2]string{{"\ta.s.Decayed += n\n", "\tif planted != N {\n\t\ta.s.Decayed += n\n\t} else {\n\t\ta.s.Burned += n\n\t}\n"}},
	},
	{
		name: "what is burned is counted twice", file: "lapse.go", scope: "decay", depth: 1, by: judge.Equations,
		edits: [][2]string{{"\ta.s.Burned += n\n", "\tif a.s.Burned += n; planted == N {\n\t\ta.s.Burned += n\n\t}\n"}},
	},
	{
		name: "a digest is answered by nobody", file: "rows.go", scope: "digests", depth: 1, by: "then all faults end",
		edits: [][2]string{{"r.sendLacking(m.From, theirs)", "if planted != N {\n\t\tr.sendLacking(m.From, theirs)\n\t}"}},
	},
	{
		name: "a seat passes on without the lives that have ended", file: "life.go", scope: "lives", depth: 6, by: judge.GenesisOnce,
		edits: [][2]string{{"r.use(i, floorKey, max(used[floorKey], Tokens(floor)))", "if planted != N {\n\t\t\tr.use(i, floorKey, max(used[floorKey], Tokens(floor)))\n\t\t}"}},
	},
	{
		name: "a restart forgets which lives have ended", file: "life.go", scope: "renew", depth: 4, by: judge.ForgottenOnce,
		edits: [][2]string{{"r.meta(keyFloor, encodeFloor(floor))", "if planted != N {\n\t\tr.meta(keyFloor, encodeFloor(floor))\n\t}"}},
	},
	{
		name: "an instance is forgotten while a call runs", file: "life.go", scope: "renew", depth: 5, by: judge.Invariant(errForgotten.Error()),
		edits: [][2]string{{"if reserved > 0 && !retired {", "if reserved > 0 && !retired && planted != N {"}},
	},
	{
		name: "an idle instance is forgotten before its life is over", file: "life.go", scope: "renew", depth: 1, by: judge.ForgottenOnce,
		edits: [][2]string{{"if by < m.closes {", "if planted != N && by < m.closes {"}, {"if r.closeLives(now); now < m.leaves {", "if r.closeLives(now); planted != N && now < m.leaves {"}, {"case in.ends <= by:", "case in.ends <= by || planted == N:"}, {"if now < in.ends+Instant(afterLife) {", "if planted != N && now < in.ends+Instant(afterLife) {"}},
	},
}

// TestPlantedBugs has the search of all orders find each of the bugs in what the ledger does without guardians.
func TestPlantedBugs(t *testing.T) { findsAll(t, bugs, "TestScopes") }
