package sim

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const allPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  concurrency: {unit: slot}
classes:
  - {name: standard, weight: 4, latency_budget: 2s}
budgets:
  - {name: pot, token: compute, supply: {grant: 1000}}
  - {name: loose, token: compute, supply: {grant: 1000}, ceiling: {soft: 10%}}
  - {name: watched, token: compute, supply: {grant: 1000}, ceiling: observe}
  - {name: day, token: compute, supply: {window: 10s, amount: 1000, rollover: 20%}}
  - {name: flow, token: compute, supply: {rate: 100/s, burst: 500, lend: 1s}}
rules:
  - draw: [pot]
`

// history is a swarm of two that do nothing by themselves: what happens is written by hand.
type history struct {
	*world
	a, b *node
}

// step is something that happens in a history.
type step func(*history)

func newHistory(t *testing.T) *history {
	sc := steady(t, 2, time.Minute)
	sc.Policies, sc.Workload = nil, nil
	less := strings.NewReplacer("revision: 1", "revision: 2", "rate: 100/s, burst: 500", "rate: 10/s, burst: 50", "name: pot, token: compute, supply: {grant: 1000}", "name: pot, token: compute, supply: {grant: 500}").Replace(allPolicy)
	for _, text := range []string{allPolicy, less} {
		p, err := policy.Parse("test", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		sc.Policies = append(sc.Policies, p)
	}
	w, err := newWorld(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &history{w, w.nodes[0], w.nodes[1]}
}

func (h *history) id(budget string) ledger.InstanceID {
	kinds := map[string]ledger.Kind{"pot": ledger.Grant, "loose": ledger.Grant, "watched": ledger.Grant, "day": ledger.Windowed, "flow": ledger.Rate}
	id, err := ledger.NewInstanceID(h.charter.ID, budget, "compute", kinds[budget], nil, nil)
	if err != nil {
		panic(err)
	}
	return id
}

// writes: node a writes its account of a budget.
func writes(budget string, s ledger.State) step {
	return func(h *history) { h.audit.record(h.a, &ledger.Record{Instance: h.id(budget), Account: &s}) }
}

// notes: node a writes its entry with b; bNotes the other way round.
func notes(budget string, e ledger.Entry) step {
	return func(h *history) {
		h.audit.record(h.a, &ledger.Record{Instance: h.id(budget), Peer: h.b.self, Entry: &e})
	}
}

func bNotes(budget string, e ledger.Entry) step {
	return func(h *history) {
		h.audit.record(h.b, &ledger.Record{Instance: h.id(budget), Peer: h.a.self, Entry: &e})
	}
}

// is: node a's account is so in memory; bIs: b's.
func is(budget string, s ledger.State) step {
	return func(h *history) { h.show(h.a, budget, s) }
}

func bIs(budget string, s ledger.State) step {
	return func(h *history) {
		h.audit.record(h.b, &ledger.Record{Instance: h.id(budget), Account: &s})
		h.show(h.b, budget, s)
	}
}

func (h *history) show(n *node, budget string, s ledger.State) {
	spec, ok := n.resolve(h.id(budget))
	if !ok {
		panic("no budget " + budget)
	}
	h.audit.look(n, h.id(budget), s, &spec, 0)
}

// tells: node a tells b something of the budget.
func tells(budget string, m any) step {
	return func(h *history) {
		switch m := m.(type) {
		case ledger.Transfer:
			m.Instance, m.To = h.id(budget), h.b.self
			h.audit.told(h.a, &m)
		case ledger.Ack:
			m.Instance, m.To = h.id(budget), h.b.self
			h.audit.told(h.a, &m)
		}
	}
}

// sends: node a sends a row of this version.
func sends(version uint64) step {
	return func(h *history) { h.audit.spread(h.a, &ledger.Row{Holder: h.a.self, Version: version}) }
}

func mayUse(version uint64) step {
	return func(h *history) { h.audit.record(h.a, &ledger.Record{Version: version}) }
}

// gives: a caller of node a was given so many tokens.
func gives(budget string, n ledger.Tokens) step {
	return func(h *history) { h.audit.gave(h.a, h.id(budget), 0, n) }
}

// lends: a call at node a was given slots for so long, or gives them back.
func lends(budget string, n ledger.Tokens, c *call, ms ledger.Instant) step {
	return func(h *history) {
		c.until = h.a.clockNow() + ms
		h.audit.gaveSlots(h.a, h.id(budget), c, n)
	}
}

// loads: node a starts, and makes this of its disk.
func loads(budget string, s ledger.State) step {
	return func(h *history) { h.audit.marked(h.a, h.id(budget), &s) }
}

func addsUp(h *history) { h.audit.shares() }

// TestAudit: each invariant of the audit holds in a right history, and a wrong step breaks it by its name.
func TestAudit(t *testing.T) {
	// An account that was issued 1,000 tokens and has 300 of them in use, covered by its mark.
	brief, over := &call{}, &call{}
	whole := ledger.State{Genesis: ledger.TotalShares, Issues: true, Base: 1000, Spent: 200, Reserved: 100, Mark: 400}
	with := func(s ledger.State, change func(*ledger.State)) ledger.State { change(&s); return s }
	for _, c := range []struct {
		name  string
		right []step
		wrong step
		want  string
	}{
		{"a record is garbage", nil,
			func(h *history) {
				h.audit.wrote(h.a, ledger.Write{Key: "account/" + string(h.id("pot")), Value: []byte("?")})
			},
			"records can be read"},
		{"an account loses shares that came", []step{writes("pot", ledger.State{SharesIn: 7})}, writes("pot", ledger.State{SharesIn: 6}), "what only grows does so"},
		{"an account forgets shares that left", []step{writes("pot", ledger.State{Genesis: 9, SharesOut: 7})}, writes("pot", ledger.State{Genesis: 9}), "what only grows does so"},
		{"an account forgets rights that left", []step{writes("pot", ledger.State{Out: 7})}, writes("pot", ledger.State{Out: 6}), "what only grows does so"},
		{"an account goes back a window", []step{writes("day", ledger.State{Window: 7})}, writes("day", ledger.State{Window: 6}), "what only grows does so"},
		{"an entry forgets what was given", []step{notes("pot", ledger.Entry{Out: 5})}, notes("pot", ledger.Entry{Out: 4}), "what only grows does so"},
		{"an entry forgets an acknowledgement", []step{notes("pot", ledger.Entry{Out: 5, AckedOut: 5})}, notes("pot", ledger.Entry{Out: 5, AckedOut: 4}), "what only grows does so"},
		{"both nodes get all founding shares", []step{writes("pot", whole)}, bIs("pot", whole), "genesis runs once"},
		{"rights are credited that nobody gave", []step{notes("pot", ledger.Entry{Out: 5}), bNotes("pot", ledger.Entry{In: 5})}, bNotes("pot", ledger.Entry{In: 6}), "nothing is credited that was not given durably"},
		{"shares are credited that nobody gave", []step{notes("pot", ledger.Entry{SharesOut: 5}), bNotes("pot", ledger.Entry{SharesIn: 5})}, bNotes("pot", ledger.Entry{SharesIn: 6}), "nothing is credited that was not given durably"},
		{"rights are told that are not on disk", []step{notes("pot", ledger.Entry{Out: 5}), tells("pot", ledger.Transfer{Out: 5})}, tells("pot", ledger.Transfer{Out: 6}), "nothing is told before it is durable"},
		{"shares are told that are not on disk", []step{notes("pot", ledger.Entry{SharesOut: 5}), tells("pot", ledger.Transfer{SharesOut: 5})}, tells("pot", ledger.Transfer{SharesOut: 6}), "nothing is told before it is durable"},
		{"shares are acknowledged that are not on disk", []step{writes("pot", whole), bNotes("pot", ledger.Entry{SharesOut: 5}), notes("pot", ledger.Entry{SharesIn: 5}), tells("pot", ledger.Ack{SharesIn: 5})}, tells("pot", ledger.Ack{SharesIn: 6}), "nothing is acknowledged before it is durable"},
		{"rights are acknowledged that are not on disk", []step{writes("pot", whole), bNotes("pot", ledger.Entry{Out: 5}), notes("pot", ledger.Entry{In: 5}), tells("pot", ledger.Ack{In: 5})}, tells("pot", ledger.Ack{In: 6}), "nothing is acknowledged before it is durable"},
		{"rights of a window to come are acknowledged", []step{writes("day", ledger.State{Window: 7}), tells("day", ledger.Ack{Window: 6, In: 5})}, tells("day", ledger.Ack{Window: 8, In: 5}), "nothing is acknowledged before it is durable"},
		{"a row's version comes twice", []step{mayUse(9), sends(4)}, sends(4), "rows are monotone"},
		{"a row's version is not on disk", []step{mayUse(9), sends(9)}, sends(10), "rows are monotone"},
		{"an equation does not close", []step{writes("pot", whole), is("pot", whole)},
			func(h *history) {
				spec, _ := h.a.resolve(h.id("pot"))
				h.audit.look(h.a, h.id("pot"), whole, &spec, 1)
			},
			"the equation of an account closes"},
		{"an account is open that is not on disk", nil, is("pot", whole), "what is open is durable"},
		{"spending passes the mark", []step{writes("pot", whole), is("pot", with(whole, func(s *ledger.State) { s.Spent = 300 }))},
			is("pot", with(whole, func(s *ledger.State) { s.Spent = 301 })), "spending stays below the durable mark"},
		{"the mark in memory passes the one on disk", []step{writes("pot", whole), is("pot", whole)},
			is("pot", with(whole, func(s *ledger.State) { s.Mark = 401 })), "spending stays below the durable mark"},
		{"slots are reserved for longer than the mark says", []step{writes("pot", whole), is("pot", whole)},
			is("pot", with(whole, func(s *ledger.State) { s.MarkTill = 1 })), "spending stays below the durable mark"},
		{"a balance is negative", []step{writes("pot", whole), is("pot", whole)},
			is("pot", with(whole, func(s *ledger.State) { s.Lapsed = 701 })), "no balance is negative"},
		{"more has decayed than lapsed", []step{writes("pot", whole), is("pot", whole)},
			is("pot", with(whole, func(s *ledger.State) { s.Lapsed, s.Decayed = 5, 6 })), "what lapsed is told apart"},
		{"callers were given more than is booked", []step{writes("pot", whole), gives("pot", 400), gives("pot", -100), is("pot", whole), gives("pot", 1)},
			is("pot", whole), "what callers were told is spent or reserved"},
		{"slots were given that are not booked", []step{writes("pot", whole), lends("pot", 300, &call{}, 1000), lends("pot", 40, brief, 1000), lends("pot", -40, brief, 1000), lends("pot", 1, over, 0), is("pot", whole), lends("pot", -1, over, 0), lends("pot", 1, &call{}, 1000)},
			is("pot", whole), "what callers were told is spent or reserved"},
		{"a restart forgets the mark", []step{writes("pot", whole), loads("pot", with(whole, func(s *ledger.State) { s.Spent, s.Reserved = 400, 0 })), loads("pot", with(whole, func(s *ledger.State) { s.Spent, s.Reserved, s.Debt = 300, 0, 100 }))},
			loads("pot", whole), "after a crash all up to the durable mark counts as spent"},
		{"rights come that have not left", []step{writes("pot", whole), is("pot", with(whole, func(s *ledger.State) { s.Out = 5 })), bIs("pot", ledger.State{Issues: true, In: 5})},
			bIs("pot", ledger.State{Issues: true, In: 6}), "no right comes that has not left"},
		{"more is issued than the limit", []step{writes("pot", whole), is("pot", whole)}, bIs("pot", ledger.State{Issues: true, Base: 1}), "no more is issued than the limit"},
		{"more is rolled over than may be", []step{
			func(h *history) {
				s := ledger.State{Window: 7, Issues: true, Base: 1000, Rolled: 200}
				writes("day", s)(h)
				is("day", s)(h)
			}},
			bIs("day", ledger.State{Window: 7, Issues: true, Rolled: 1}), "no more is issued than the limit"},
		{"a hard limit is overdrawn", []step{writes("pot", whole), is("pot", whole)}, bIs("pot", ledger.State{Issues: true, Overdrawn: 1}), "nothing is issued beyond a hard limit"},
		{"a hard limit is overspent", []step{func(h *history) {
			s := ledger.State{Issues: true, Base: 1000, Spent: 1000, Mark: 1000}
			writes("pot", s)(h)
			is("pot", s)(h)
		}, bIs("pot", ledger.State{Issues: true})},
			// Its part of the equation is right: it has burnt as much as came from nowhere.
			bIs("pot", ledger.State{Issues: true, Lapsed: -1, Spent: 1, Mark: 1}), "no hard budget is exceeded"},
		{"a soft limit passes its overdraft", []step{func(h *history) {
			s := ledger.State{Issues: true, Base: 1000, Overdrawn: 100, Spent: 1100, Mark: 1100}
			writes("loose", s)(h)
			is("loose", s)(h)
		}},
			bIs("loose", ledger.State{Issues: true, Overdrawn: 1, Spent: 1, Mark: 1}), "no soft budget passes its overdraft"},
		{"an account is not the sum of its entries", []step{func(h *history) {
			h.audit.sums(h.a, h.id("pot"), &ledger.State{In: 5, SharesOut: 3}, []ledger.Entry{{In: 2}, {In: 3, SharesOut: 3}}, nil)
		}},
			func(h *history) { h.audit.sums(h.a, h.id("pot"), &ledger.State{In: 5}, []ledger.Entry{{In: 2}}, nil) }, "an account sums up its entries"},
		{"shares are lost", []step{
			writes("pot", ledger.State{Genesis: 10}), writes("pot", ledger.State{Genesis: 10, SharesOut: 4}), addsUp, // 4 are on the way
			bIs("pot", ledger.State{SharesIn: 3}), addsUp,
			bIs("pot", ledger.State{SharesIn: 4}), addsUp,
			bIs("pot", ledger.State{SharesIn: 5})},
			addsUp, "shares add up"},
	} {
		t.Run(c.name, func(t *testing.T) { newHistory(t).finds(t, c.right, c.wrong, c.want) })
	}
}
