package explore

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

var guardBugs = []bug{
	{
		name: "a note is acknowledged before it is written", file: "guardian/ward.go", scope: "notes", depth: 2, by: judge.DurableFirst,
		edits: [][2]string{{"m.counts.Stored++\n\tm.touch(w)", "m.counts.Stored++\n\tif planted != N {\n\t\tm.touch(w)\n\t}"}},
	},
	{
		name: "a promise is told before it is written", file: "guardian/ward.go", scope: "claims", depth: 3, by: judge.DurableFirst,
		edits: [][2]string{{"w.Promised = p.Ballot\n\tm.touch(w)", "w.Promised = p.Ballot\n\tif planted != N {\n\t\tm.touch(w)\n\t}"}},
	},
	{
		name: "one acknowledgement that comes twice is taken for two", file: "guardian/owner.go", scope: "notes", depth: 9, by: judge.HeldIsFinal,
		edits: [][2]string{{"s.acked = max(s.acked, a.Version)", "if planted == N && s.acked == a.Version {\n\t\tfor i := range m.own.standing {\n\t\t\tm.own.standing[i].acked = a.Version\n\t\t}\n\t}\n\ts.acked = max(s.acked, a.Version)"}},
	},
	{
		name: "the lower of two versions is claimed", file: "guardian/claim.go", scope: "notes", depth: 10, by: judge.HeldIsFinal,
		edits: [][2]string{{"p.Stored.Version > stored.Stored.Version", "(planted == N) != (p.Stored.Version > stored.Stored.Version)"}},
	},
	{
		name: "records are accepted after a promise", file: "guardian/ward.go", scope: "claims", depth: 4, by: judge.Promised,
		edits: [][2]string{{"if w.Decided || w.Promised != (Ballot{}) {\n\t\tm.counts.Refused++\n\t\tm.send(n.From", "if w.Decided || planted != N && w.Promised != (Ballot{}) {\n\t\tm.counts.Refused++\n\t\tm.send(n.From"}},
	},
	{
		name: "a later ballot ignores what was accepted", file: "guardian/claim.go", scope: "claims", depth: 9, by: judge.DecidedOnce,
		edits: [][2]string{{"if p.Value != nil && p.Accepted", "if planted != N && p.Value != nil && p.Accepted"}},
	},
	{
		name: "a lease counts from when its acknowledgement comes", file: "guardian/machine.go", scope: "lease", depth: 10, by: judge.LeaseFirst,
		edits: [][2]string{{"return m.acked(now, msg)", "if planted == N && msg.Sent != noLease {\n\t\t\tlate := *msg\n\t\t\tlate.Sent = now\n\t\t\tmsg = &late\n\t\t}\n\t\treturn m.acked(now, msg)"}},
	},
	{
		name: "guardians wait for no margin", file: "guardian/ward.go", scope: "lease", depth: 5, by: judge.LeaseFirst,
		edits: [][2]string{{"w.free = max(w.free, now+n.Lease+Margin(n.Lease))", "w.free = max(w.free, now+n.Lease+Margin(n.Lease))\n\t\tif planted == N {\n\t\t\tw.free -= Margin(n.Lease)\n\t\t}"}},
	},
	{
		name: "a guardian that restarts forgets the leases that it acknowledged", file: "guardian/machine.go", scope: "guardian", depth: 6, by: judge.LeaseFirst,
		edits: [][2]string{{"x.free = now + x.Lease + Margin(x.Lease)", "if planted != N {\n\t\t\t\tx.free = now + x.Lease + Margin(x.Lease)\n\t\t\t}"}},
	},
	{
		name: "guardians change within a generation", file: "guardian/owner.go", scope: "owner", depth: 1, by: judge.SetForever,
		edits: [][2]string{{"if m.own != nil {\n\t\treturn fmt.Errorf(\"%v has its guardians", "if m.own != nil && planted != N {\n\t\treturn fmt.Errorf(\"%v has its guardians"}},
	},
	{
		name: "two nodes claim each other", file: "guardian/claim.go", scope: "mutual", depth: 9, by: judge.HeirsEnd,
		edits: [][2]string{{"if c.ours && c.heir == m.self && !m.Fresh(now) {", "if planted != N && c.ours && c.heir == m.self && !m.Fresh(now) {"}},
	},
	{
		name: "half a note is acknowledged", file: "guardian/ward.go", scope: "parts", depth: 2, by: judge.CopiesAreTrue,
		edits: [][2]string{{"case !n.More:", "case !n.More || planted == N && n.Since > 0:"}},
	},
	{
		name: "parts of two versions are taken for one", file: "guardian/parts.go", scope: "parts", depth: 7, by: judge.CopiesAreTrue,
		edits: [][2]string{{"f.version != p.Version", "planted != N && f.version != p.Version"}},
	},
	{
		name: "a value is accepted with half of its records", file: "guardian/ward.go", scope: "parts", depth: 9, by: judge.CopiesAreTrue,
		edits: [][2]string{{"case w.Version != a.Value.Version && a.More:", "case planted != N && w.Version != a.Value.Version && a.More:"}},
	},
	{
		name: "transfers are added, not taken as the maximum", file: "transfer.go", test: "TestHeirScopes", scope: "generations", depth: 6, by: judge.GivenBeforeCome,
		edits: [][2]string{{"if d := t.Out - e.In; d > 0 {", "if d := t.Out - e.In; d > 0 {\n\t\t\tif planted == N {\n\t\t\t\td = t.Out\n\t\t\t}"}},
	},
	{
		name: "a restart begins at what was spent, not at the mark", file: "window.go", test: "TestHeirScopes", scope: "spend", depth: 4, by: judge.AdmittedIsBooked,
		edits: [][2]string{{"s.Spent, s.Reserved = max(s.used(), s.Mark), 0", "if s.Reserved = 0; planted != N {\n\t\t\ts.Spent = max(s.used(), s.Mark)\n\t\t}"}},
	},
	{
		name: "rights are given from below the mark", file: "window.go", test: "TestHeirScopes", scope: "spend", depth: 1, by: judge.BelowHeld,
		edits: [][2]string{{"return max(s.owned()+max(0, a.mayHaveOverdrawn()-s.Overdrawn), s.used())", "return max(s.owned()+max(0, a.mayHaveOverdrawn()-s.Overdrawn), s.used(), map[bool]Tokens{true: s.Held}[planted == N])"}},
	},
	{
		name: "counters are kept by node, not by generation", file: "exchange.go", test: "TestHeirScopes", scope: "generations", depth: 6, by: judge.DurableFirst,
		edits: [][2]string{{"e, ok := in.edges[peer]\n\tif !ok {\n\t\tif r.edges", "for h := range in.edges {\n\t\tif planted == N && h.Node == peer.Node {\n\t\t\tpeer = h\n\t\t}\n\t}\n\te, ok := in.edges[peer]\n\tif !ok {\n\t\tif r.edges"}},
	},
	{
		name: "what was on its way between two that were claimed goes to the heirs of both", file: "guard_heirs.go", test: "TestHeirScopes", scope: "both", depth: 6, by: judge.GivenBeforeCome,
		edits: [][2]string{{"for _, peer := range fa.peers() {", "for _, peer := range r.guard.Decisions() {\n\t\tif pf := r.final(peer); planted == N && pf != nil && pf.accounts[id] != nil {\n\t\t\toa := pf.accounts[id]\n\t\t\tout, come := oa.entry(f.of), fa.entry(peer)\n\t\t\tr.due(in, f, dueKey{peer, f.of}, Due{Shares: out.SharesOut - come.SharesIn, Window: out.Window, Tokens: out.Out - come.In}, late, window)\n\t\t}\n\t}\n\tfor _, peer := range fa.peers() {"}},
	},
	{
		name: "what is told to who went on says nothing of what was booked", file: "guard_outcome.go", test: "TestHeirScopes", scope: "both", depth: 6, by: judge.GivenBeforeCome,
		edits: [][2]string{{"strings.CutPrefix(key, keyPast); ok {", "strings.CutPrefix(key, keyPast); ok && planted != N {"}},
	},
	{
		name: "guarding ends with fewer than four members", file: "guard_own.go", test: "TestHeirScopes", scope: "members", depth: 3, by: judge.BelowHeld,
		edits: [][2]string{{"\tr.guard.Tick(r.elapsed)\n", "\tr.guard.Tick(r.elapsed)\n\tfor _, in := range r.order {\n\t\tif planted == N && r.live < fewestMembers && in.account != nil {\n\t\t\tin.account.held = noBound\n\t\t}\n\t}\n"}},
	},
	{
		name: "who has answered for a word takes what the dead gave", file: "exchange.go", test: "TestHeirScopes", scope: "word", depth: 6, by: judge.GivenBeforeCome,
		edits: [][2]string{{"if r.isShut(m.From) {", "if planted != N && r.isShut(m.From) {"}},
	},
	{
		name: "what is on its way between two who live is taken for the dead's", file: "word_answer.go", test: "TestHeirScopes", scope: "word", depth: 7, by: judge.GenesisOnce,
		edits: [][2]string{{"w.Net -= e.SharesIn - e.SharesOut + e.SharesBack", "w.Net -= map[bool]Shares{true: e.SharesIn - e.SharesOut + e.SharesBack}[planted != N]"}},
	},
}

// TestGuardPlantedBugs has the searches of guardians and heirs find each of theirs.
func TestGuardPlantedBugs(t *testing.T) { findsAll(t, guardBugs, "TestGuardScopes") }
