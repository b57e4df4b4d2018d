package admit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

func TestParseTrace(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	tr := ParseTrace(good)
	if tr.ID[0] != 0x4b || tr.ID[15] != 0x36 || tr.Span[7] != 0xb7 || tr.Quiet {
		t.Errorf("%+v", tr)
	}
	if quiet := ParseTrace(good[:53] + "02"); !quiet.Quiet || quiet.ID != tr.ID {
		t.Errorf("not sampled: %+v", quiet)
	}
	if ParseTrace("cc"+good[2:]+"-later") != tr {
		t.Error("a later version's was not read")
	}
	for _, bad := range []string{
		"", "x", good[:54], good + "0", good + "-more", "ff" + good[2:], strings.ToUpper(good), strings.Replace(good, "4b", "4x", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		strings.Replace(good, "-", "_", 1),
	} {
		if ParseTrace(bad) != (Trace{}) {
			t.Errorf("%q was read", bad)
		}
	}
}

const notesPolicy = preamble + `
budgets:
  - {name: pot, token: compute, supply: {grant: 1000}}
rules: [{draw: [pot]}]
`

func (n *node) decideNow(r *Request) (Answer, error) {
	id, _ := n.admit(r)
	return n.e.Answer(id)
}

// taken gives a copy of what was noted.
func taken(e *Engine) (list []Noted, lost int) {
	lost = e.Notes(func(v *Noted) {
		c := *v
		c.Draws = slices.Clone(v.Draws)
		if v.Usage != nil {
			u := *v.Usage
			c.Usage = &u
		}
		list = append(list, c)
	})
	return list, lost
}

// A decision and its end are noted with what the records have no room for; and nothing is noted that was not asked for.
func TestNotes(t *testing.T) {
	for say, want := range map[string]struct {
		of    Auditing
		kinds string
	}{
		"all":      {Auditing{1_000_000, 1_000_000}, "admit settled deny"},
		"refusals": {Auditing{0, 1_000_000}, "deny"},
		"none":     {Auditing{}, ""},
	} {
		t.Run(say, func(t *testing.T) {
			w := newSwarm(t, 1, notesPolicy, Config{})
			n := w.nodes[0]
			n.e.SetAuditing(want.of)
			r := &Request{Call: policy.Call{Tenant: "search", PromptTokens: 30, MaxOutputTokens: 20, Tokens: []policy.Amount{{Token: "compute", Amount: 100}}}, Trace: Trace{ID: [16]byte{7}, Span: [8]byte{8}}, Key: "ci"}
			id, _ := n.admit(r)
			if _, err := n.e.Settle(w.now, id, Settlement{Usage: &Usage{PromptTokens: 5, CompletionTokens: 6}, Used: []policy.Amount{{Token: "compute", Amount: 40}}}); err != nil {
				t.Fatal(err)
			}
			n.admit(&Request{Call: policy.Call{Tenant: "search", Tokens: []policy.Amount{{Token: "compute", Amount: 5_000_000}}}})
			list, lost := taken(n.e)
			var kinds []string
			for _, v := range list {
				if v.End {
					kinds = append(kinds, v.State.String())
				} else {
					kinds = append(kinds, v.Verdict.String())
				}
			}
			slices.Sort(kinds)
			sorted := strings.Fields(want.kinds)
			slices.Sort(sorted)
			if !slices.Equal(kinds, sorted) || lost != 0 {
				t.Fatalf("%v, %d lost; want %v", kinds, lost, sorted)
			}
			for _, v := range list {
				switch {
				case v.End:
					if v.Usage == nil || *v.Usage != (Usage{PromptTokens: 5, CompletionTokens: 6}) || v.Draws[0].Amount != 40 || v.ID != n.e.Format(id) {
						t.Errorf("%+v", v)
					}
				case v.Verdict == Admit:
					if v.Trace != r.Trace || v.Key != "ci" || v.Prompt != 30 || v.MaxOutput != 20 || v.Draws[0].Amount != 100 || v.Draws[0].Left != 900 || v.Draws[0].Price != 1_000_000 {
						t.Errorf("%+v", v)
					}
				case v.Code != CodeTooLarge || len(v.Draws) != 0 || v.Reason == "":
					t.Errorf("%+v", v)
				}
			}
			if again, _ := taken(n.e); len(again) != 0 {
				t.Errorf("noted twice: %+v", again)
			}
		})
	}
}

// A part of the calls is noted by their ids: a decision and its end together.
func TestNotesOfAPart(t *testing.T) {
	w := newSwarm(t, 1, notesPolicy, Config{})
	n := w.nodes[0]
	n.e.SetAuditing(Auditing{250_000, 250_000})
	seen := map[string]int{}
	const calls = 1000
	for range calls {
		id, _ := n.admit(&Request{Call: policy.Call{Tokens: []policy.Amount{{Token: "compute", Amount: 1}}}})
		if _, err := n.e.Release(w.now, id); err != nil {
			t.Fatal(err)
		}
		list, _ := taken(n.e)
		for _, v := range list {
			seen[v.ID]++
		}
	}
	if len(seen) < calls/5 || len(seen) > calls*3/10 {
		t.Errorf("%d of %d calls", len(seen), calls)
	}
	for id, n := range seen {
		if n != 2 {
			t.Errorf("%s was noted %d times", id, n)
		}
	}
}

// What nobody takes is bounded, and counted; and a note whose record is gone is lost, never another call's.
func TestNotesAreBounded(t *testing.T) {
	w := newSwarm(t, 1, notesPolicy, Config{})
	n := w.nodes[0]
	n.e.SetAuditing(Auditing{1_000_000, 1_000_000})
	const calls = 3 * MaxRecords
	for range calls {
		if _, _, err := n.e.Offer(w.now, n.r, &Request{Call: policy.Call{Tokens: []policy.Amount{{Token: "compute", Amount: 5_000_000}}}}); err != nil {
			t.Fatal(err)
		}
	}
	list, lost := taken(n.e)
	if len(list)+lost != calls || len(list) == 0 || len(list) > MaxRecords {
		t.Errorf("%d noted, %d lost, of %d", len(list), lost, calls)
	}
	ids := map[string]bool{}
	for _, v := range list {
		if ids[v.ID] {
			t.Fatalf("%s twice", v.ID)
		}
		ids[v.ID] = true
	}
}

func TestUnaudited(t *testing.T) {
	w := newSwarm(t, 1, notesPolicy, Config{})
	n := w.nodes[0]
	call := &Request{Call: policy.Call{Tokens: []policy.Amount{{Token: "compute", Amount: 1}}}}
	n.admit(call)
	n.e.SetUnaudited("no space left on device")
	if _, ok := n.e.Try(w.now, call); ok {
		t.Error("the fast path admitted a call")
	}
	a, err := n.decideNow(call)
	if err != nil || a.Verdict != Defer || a.Code != CodeAudit || a.RetryAfter <= 0 || !strings.Contains(a.Reason, "no space left on device") {
		t.Errorf("%+v %v", a, err)
	}
	n.e.SetUnaudited("")
	if a, err := n.decideNow(call); err != nil || a.Verdict != Admit {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := n.e.Settle(w.now, 12345, Settlement{}); !errors.Is(err, ErrUnknownID) {
		t.Error(err)
	}
}

// BenchmarkAudited is a decision and its release, all of them noted and taken, and none.
func BenchmarkAudited(b *testing.B) {
	for _, c := range []struct {
		name string
		of   Auditing
	}{{"none", Auditing{}}, {"all", Auditing{1_000_000, 1_000_000}}} {
		b.Run(c.name, func(b *testing.B) {
			w := newSwarm(b, 1, strings.Replace(notesPolicy, "1000", "1000T", 1), Config{})
			n := w.nodes[0]
			r := &Request{Call: policy.Call{Tokens: []policy.Amount{{Token: "compute", Amount: 1}}}, Trace: Trace{ID: [16]byte{1}}}
			n.admit(r)
			n.e.SetAuditing(c.of)
			taken, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if i++; i%100 == 0 {
					w.now++
				}
				id, ok := n.e.Try(w.now, r)
				if !ok {
					b.Fatal("refused")
				}
				if _, err := n.e.Release(w.now, id); err != nil {
					b.Fatal(err)
				}
				if i%4096 == 0 {
					n.e.Notes(func(*Noted) { taken++ })
				}
			}
		})
	}
}

// FuzzParseTrace: a traceparent is the two ids that stand in it, or none.
func FuzzParseTrace(f *testing.F) {
	for _, s := range []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if x := ParseTrace(s); x != (Trace{}) {
			ids := fmt.Sprintf("%x-%x", x.ID, x.Span)
			if x.ID == [16]byte{} || x.Span == [8]byte{} || !strings.HasPrefix(s[3:], ids) {
				t.Fatalf("%q is %s", s, ids)
			}
		}
	})
}
