package sim

import (
	"slices"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	books "github.com/swarmpurse/swarmpurse/ledger/judge"
)

// decides: generation a is claimed for b, with these final records of a budget.
func decides(budget string, f books.Final) step {
	return func(h *history) {
		h.audit.take(h.a.self, &claimed{
			value:  guardian.Value{Version: 1, Heir: h.b.self},
			finals: map[ledger.InstanceID]*books.Final{h.id(budget): &f},
		})
	}
}

// bDies: generation b is claimed in turn, for a's next one, and its final records show this.
func bDies(budget string, f books.Final) step {
	return func(h *history) {
		h.audit.take(h.b.self, &claimed{
			value:  guardian.Value{Version: 1, Heir: ledger.Holder{Node: h.a.name, Gen: h.a.self.Gen + 1}},
			finals: map[ledger.InstanceID]*books.Final{h.id(budget): &f},
		})
	}
}

// follows: node a goes on as its next generation.
func follows(h *history) { h.a.self.Gen++ }

// inherits: b is credited of what a's first generation had; aInherits: a's present one.
func inherits(budget string, to ledger.Holder, d ledger.Due) step {
	return func(h *history) { h.credited(h.b, budget, to, d) }
}

func aInherits(budget string, to ledger.Holder, d ledger.Due) step {
	return func(h *history) { h.credited(h.a, budget, to, d) }
}

func (h *history) credited(n *node, budget string, to ledger.Holder, d ledger.Due) {
	h.audit.record(n, &ledger.Record{Instance: h.id(budget), Due: &d, From: ledger.Holder{Node: h.a.name, Gen: 1}, To: to})
}

// TestClaims: each invariant about what is claimed holds in a right history, and a wrong step breaks it by its name.
func TestClaims(t *testing.T) {
	nobody := ledger.Holder{}
	// Of 1,000 tokens 200 are spent, 100 reserved, and all up to the held mark of 400 stays behind.
	whole := ledger.State{Genesis: ledger.TotalShares, Issues: true, Base: 1000, Spent: 200, Reserved: 100, Mark: 400, Held: 400}
	final := func(change func(*ledger.State)) books.Final {
		s := whole
		if change != nil {
			change(&s)
		}
		return books.Final{State: &s}
	}
	all := ledger.Due{Shares: ledger.TotalShares, Tokens: 600}
	less := all
	less.Tokens--
	running := []step{writes("pot", whole), is("pot", whole), gives("pot", 300)}
	ended := append(slices.Clone(running), decides("pot", final(nil)))
	holds := &call{}
	lent := []step{writes("pot", whole), is("pot", whole), lends("pot", 1, holds, 1000), decides("pot", final(nil))}
	gave := []step{writes("pot", whole), notes("pot", ledger.Entry{Out: 5, SharesOut: 7}), bNotes("pot", ledger.Entry{In: 5, SharesIn: 7})}
	shows := func(e ledger.Entry) step {
		return func(h *history) {
			decides("pot", books.Final{State: &whole, Pairs: []books.Pair{{Peer: h.b.self, Entry: e}}})(h)
		}
	}
	soft := ledger.State{Issues: true, Base: 1000, Overdrawn: 100, Spent: 500, Mark: 500, Held: 500}
	idle := ledger.State{Issues: true, Base: 1000, Out: 1000, Held: 100}
	more := soft
	more.Spent, more.Mark = 550, 550
	for _, c := range []struct {
		name  string
		right []step
		wrong step
		want  string
	}{
		{"final records are garbage", nil, func(h *history) {
			h.audit.claim(h.a.self, guardian.Value{Version: 1, Heir: h.b.self}, []guardian.Record{{Key: "account/" + string(h.id("pot")), Value: []byte("?")}})
		}, "records can be read"},
		{"a guardian's record is garbage", nil, func(h *history) {
			h.audit.guarding(h.b, []ledger.Write{{Key: ledger.WardKey(h.a.self), Value: []byte("?")}})
		}, "records can be read"},
		{"a majority promises while the lease runs", []step{
			func(h *history) { h.audit.leased(h.a.self, 1, 3, true); h.audit.leased(h.a.self, 2, 3, false) }},
			func(h *history) { h.audit.leased(h.a.self, 2, 3, true) }, "nobody else is promised a generation while its lease runs"},
		{"final records do not show rights that came", append(slices.Clone(gave), shows(ledger.Entry{Out: 5, SharesOut: 7})), func(h *history) {
			delete(h.audit.claims, h.a.self)
			shows(ledger.Entry{Out: 4, SharesOut: 7})(h)
		}, "what came to others is in what a claim finds"},
		{"final records do not show shares that came", gave, shows(ledger.Entry{Out: 5, SharesOut: 6}), "what came to others is in what a claim finds"},
		{"rights come of one that was claimed, which it does not show", append(slices.Clone(gave), shows(ledger.Entry{Out: 5, SharesOut: 7})),
			bNotes("pot", ledger.Entry{In: 6, SharesIn: 7}), "nothing is credited that was not given durably"},
		{"callers were given more than final records hold", running, decides("pot", final(func(s *ledger.State) { s.Held = 299 })), "spending stays below what a claim finds"},
		{"callers were given something, and final records have no account", running, decides("pot", books.Final{}), "spending stays below what a claim finds"},
		{"callers were given something of a window that final records do not know", []step{writes("day", ledger.State{Window: 7}),
			func(h *history) { h.audit.gave(h.a, h.id("day"), 7, 5) }},
			decides("day", books.Final{State: &ledger.State{Window: 6, Held: 100}}), "spending stays below what a claim finds"},
		{"one that was claimed gives callers more", append(slices.Clone(ended), gives("pot", 100), is("pot", whole), gives("pot", 1)), is("pot", whole), "spending stays below what a claim finds"},
		{"an heir is credited of what nobody has decided", running, inherits("pot", nobody, all), "what is credited was decided"},
		{"an heir is credited a token too many", ended, inherits("pot", nobody, ledger.Due{Tokens: 601}), "no more is credited than final records show"},
		{"an heir is credited shares that were not there", []step{writes("pot", whole), decides("pot", final(func(s *ledger.State) { s.SharesOut = 1 }))},
			inherits("pot", nobody, all), "no more is credited than final records show"},
		{"an heir is credited rights of another window", ended, inherits("pot", nobody, ledger.Due{Tokens: 600, Window: 7}), "no more is credited than final records show"},
		{"an heir is credited of an account that final records do not show", append(slices.Clone(ended), writes("day", ledger.State{})),
			inherits("day", nobody, all), "no more is credited than final records show"},
		{"slots come back that were never there", append(slices.Clone(ended), inherits("pot", nobody, ledger.Due{Tokens: 550})),
			func(h *history) { inherits("pot", h.a.self, ledger.Due{Tokens: 451})(h) }, "no more is credited than final records show"},
		{"slots come back while a call has one", append(slices.Clone(lent), inherits("pot", nobody, ledger.Due{Tokens: 600})),
			func(h *history) { inherits("pot", h.a.self, ledger.Due{Tokens: 400})(h) }, "slots come back when their calls have ended"},
		{"slots that came back are used twice", append(slices.Clone(lent), inherits("pot", nobody, ledger.Due{Tokens: 600}), lends("pot", -1, holds, 1000),
			func(h *history) { inherits("pot", h.a.self, ledger.Due{Tokens: 400})(h) }, bIs("pot", ledger.State{Issues: true, In: 1000, Spent: 1000, Mark: 1000})),
			bIs("pot", ledger.State{Issues: true, In: 1000, Spent: 1001, Lapsed: -1, Mark: 1001}), "no hard budget is exceeded"},
		{"an heir is credited twice", append(slices.Clone(ended), inherits("pot", nobody, all), inherits("pot", nobody, all)),
			inherits("pot", nobody, less), "what final records show is credited once"},
		{"two heirs are credited", append(slices.Clone(ended), inherits("pot", nobody, all), follows), aInherits("pot", nobody, all), "what final records show is credited once"},
		{"two heirs are credited, and the first one's final records show it", append(slices.Clone(ended), inherits("pot", nobody, all), follows,
			bDies("pot", books.Final{State: &ledger.State{}, Dues: []books.Due{{From: ledger.Holder{Node: "n0000", Gen: 1}, Due: all}}})),
			aInherits("pot", nobody, all), "what final records show is credited once"},
		{"a second heir is credited more than what the first one's final records do not show", append(slices.Clone(ended), inherits("pot", nobody, all), follows,
			bDies("pot", books.Final{}), aInherits("pot", nobody, all), func(h *history) {
				if due := h.audit.totals(windowKey{h.pool.instance(h.id("pot")), 0}).out; due != all.Tokens || h.audit.owed[h.pool.instance(h.id("pot"))] != all.Shares {
					t.Errorf("%d tokens and %d shares are due", due, h.audit.owed[h.pool.instance(h.id("pot"))])
				}
			}), aInherits("pot", nobody, less), "what final records show is credited once"},
		{"shares come back twice", []step{writes("pot", whole), decides("pot", final(nil)), addsUp, inherits("pot", nobody, all), addsUp,
			bIs("pot", ledger.State{SharesIn: ledger.TotalShares}), addsUp, bIs("pot", ledger.State{SharesIn: ledger.TotalShares + 1})},
			addsUp, "shares add up"},
		{"rights come back twice", []step{writes("pot", whole), is("pot", whole), decides("pot", final(nil)), inherits("pot", nobody, all), bIs("pot", ledger.State{Issues: true, In: 600})},
			bIs("pot", ledger.State{Issues: true, In: 601}), "no right comes that has not left"},
		{"an account is not the sum of what it was credited", []step{func(h *history) {
			h.audit.sums(h.a, h.id("pot"), &ledger.State{In: 9, SharesIn: 4}, []ledger.Entry{{In: 2, Back: 1, SharesBack: 1}}, []ledger.Due{{Tokens: 6, Shares: 3}, {Tokens: 1, Window: 7}})
		}},
			func(h *history) {
				h.audit.sums(h.a, h.id("pot"), &ledger.State{In: 9, SharesIn: 4}, []ledger.Entry{{In: 2, SharesBack: 1}}, []ledger.Due{{Tokens: 6, Shares: 3}})
			}, "an account sums up its entries"},
		{"a soft budget passes its overdraft by more than one that was given up goes on with", []step{
			writes("loose", soft), is("loose", soft), decides("loose", books.Final{State: &soft}),
			inherits("loose", nobody, ledger.Due{Tokens: 600}), writes("loose", more), bIs("loose", ledger.State{Issues: true, In: 600, Spent: 650, Mark: 650, Lapsed: -50})},
			bIs("loose", ledger.State{Issues: true, In: 600, Spent: 651, Mark: 651, Lapsed: -51}), "no soft budget passes its overdraft"},
		{"a held mark above all rights of a soft account is used by nobody", []step{
			writes("loose", idle), is("loose", idle), decides("loose", books.Final{State: &idle}),
			bIs("loose", ledger.State{Issues: true, In: 1000, Overdrawn: 100, Spent: 1100, Mark: 1100})},
			bIs("loose", ledger.State{Issues: true, In: 1000, Overdrawn: 101, Spent: 1101, Mark: 1101}), "no soft budget passes its overdraft"},
		{"an account goes from the disk", nil, func(h *history) {
			h.audit.drops(h.a, oneOf(t, "account/"))
		}, "only what is closed is dropped"},
		{"an entry goes from the disk that is not closed", []step{
			func(h *history) { h.audit.take(h.a.self, &claimed{}) },
			func(h *history) { h.audit.drops(h.a, oneOf(t, "entry/")) }}, // it is over
			func(h *history) {
				delete(h.audit.claims, h.a.self)
				h.audit.drops(h.a, oneOf(t, "entry/"))
			}, "only what is closed is dropped"},
	} {
		t.Run(c.name, func(t *testing.T) { newHistory(t).finds(t, c.right, c.wrong, c.want) })
	}
}

// oneOf is a record with such a key from some disk of a swarm that runs.
func oneOf(t *testing.T, prefix string) ledger.Write {
	for _, n := range guardedSwarm(t).nodes {
		for k, v := range n.disk {
			if strings.HasPrefix(k, prefix) {
				return ledger.Write{Key: k, Value: v}
			}
		}
	}
	t.Fatalf("no record %q", prefix)
	return ledger.Write{}
}

// TestForgotten: final records need not show an instance whose life was over when the generation forgot it (random seed 402006), and all others.
func TestForgotten(t *testing.T) {
	const id = ledger.InstanceID("pot/search@e47fa2471268.695aff00-695aff3c")
	_, ends, ok := id.Life()
	if !ok {
		t.Fatalf("%s has no life", id)
	}
	shown := map[ledger.InstanceID]*books.Final{id: {}}
	for _, c := range []struct {
		name string
		claimed
		id   ledger.InstanceID
		want bool
	}{
		{"forgotten", claimed{floor: ends}, id, true},
		{"of a life that was not over", claimed{floor: ends - 1}, id, false},
		{"shown", claimed{floor: ends, finals: shown}, id, false},
		{"without a life", claimed{floor: ends}, "pot/search@e47fa2471268", false},
	} {
		if got := c.forgot(c.id); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
