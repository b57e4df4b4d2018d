package ledger_test

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// answering is a rate of 1000 a second that a refusal lowers by 30 %, to a fifth at the least, and that takes 100 s from
// nothing to all.
func answering(burst Tokens) Spec {
	return Spec{Kind: Rate, Amount: burst, Per: 1000, PerMillis: 1000, Lend: 1000,
		Feedback: Feedback{Recover: 100_000, CutPPM: 300_000, LeastPPM: 200_000, RetryAfter: 20_000}}
}

// minted is what an account was issued since it was opened, less its burst.
func (n *wnode) minted() Tokens { return n.r.Account(n.w.ids[0]).State(n.clock()).Base }

func (n *wnode) part() int64 {
	ppm, _ := n.r.Account(n.w.ids[0]).Part(n.clock())
	return ppm
}

// TestRefusals tells what refusals do to the rate of a node that is alone.
func TestRefusals(t *testing.T) {
	type refused struct {
		at   Instant // ms after the start
		sent Instant // when the call was admitted
		wait Millis  // what the provider says
	}
	for _, tt := range []struct {
		name    string
		refused []refused
		at      Instant
		want    int64 // parts per million
	}{
		{"none", nil, 1000, 1_000_000},
		{"one", []refused{{at: 1000, sent: 900}}, 1000, 700_000},
		{"the way back is a straight line", []refused{{at: 1000, sent: 900}}, 11_000, 800_000},
		{"to its end", []refused{{at: 1000, sent: 900}}, 31_000, 1_000_000},
		{"and no further", []refused{{at: 1000, sent: 900}}, 90_000, 1_000_000},
		{"a hundred of one overload", []refused{{1000, 900, 0}, {1001, 950, 0}, {1200, 990, 0}, {1500, 1000, 0}, {1900, 1400, 0}}, 1900, 709_000},
		{"of a call that was sent with what is in force now", []refused{{1000, 900, 0}, {2000, 2000, 0}}, 2000, 497_000},
		{"of one that was sent a while ago counts by what was in force then", []refused{{1000, 900, 0}, {21_000, 2000, 0}}, 21_000, 497_000},
		{"never below the least", []refused{{1000, 900, 0}, {2000, 2000, 0}, {3000, 3000, 0}, {4000, 4000, 0}, {5000, 5000, 0}, {6000, 6000, 0}}, 6000, 200_000},
		{"from the least the way back begins at once", []refused{{1000, 900, 0}, {2000, 2000, 0}, {3000, 3000, 0}, {4000, 4000, 0}, {5000, 5000, 0}, {6000, 6000, 0}}, 16_000, 300_000},
		{"what puts it off by less than a second is not worth telling", []refused{{1000, 900, 0}, {2000, 2000, 0}, {3000, 3000, 0}, {4000, 4000, 0}, {5000, 5000, 0}, {6000, 6000, 0}, {6400, 6400, 0}}, 16_400, 304_000},
		{"below what it said while it says to wait", []refused{{1000, 900, 10_000}}, 1000, 600_000},
		{"as it said once the wait is over", []refused{{1000, 900, 10_000}}, 11_000, 700_000},
		{"a long wait counts as the policy's most", []refused{{1000, 900, 900_000}}, 21_000, 700_000},
		{"a wait below 0 counts as none", []refused{{1000, 900, -5000}}, 1000, 700_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := scripted(t, 1, 1, one(answering(100_000)))
			w.opened()
			n, start := w.nodes[0], w.now
			a := n.r.Account(w.ids[0])
			for _, x := range tt.refused {
				w.now = start + x.at
				a.Refused(n.clock(), n.clock()-x.at+x.sent, x.wait)
			}
			w.now = start + tt.at
			expect(t, "the part in force", n.part(), tt.want)
			expect(t, "equations", a.Audit(), 0)
		})
	}
}

// TestARefusalEmptiesTheBucket: what had piled up is not spent on top of the lower rate.
func TestARefusalEmptiesTheBucket(t *testing.T) {
	w := scripted(t, 1, 1, one(answering(100_000)))
	w.opened()
	n := w.nodes[0]
	a := n.r.Account(w.ids[0])
	ppm, fell := a.Refused(n.clock(), n.clock(), 0)
	expect(t, "the part in force", ppm, 700_000)
	expect(t, "it fell", fell, true)
	expect(t, "rights", a.Rights(n.clock()), 0)
	w.now += 1000
	// 700 and, on the way back, 10 a second more each second.
	expect(t, "rights a second later", a.Rights(n.clock()), 704)
	ppm, fell = a.Refused(n.clock(), n.clock()-900, 0)
	expect(t, "a refusal of a call that was sent before: the part in force", ppm, 710_000)
	expect(t, "it fell", fell, false)
	expect(t, "rights", a.Rights(n.clock()), 704)
	w.now += 300_000
	expect(t, "rights once it is full again", a.Rights(n.clock()), 100_000)
	w.check()
}

// TestARefusedCallGivesNothingBack: else its tokens were spent again at once, and no rate would hold.
func TestARefusedCallGivesNothingBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec Spec
		want Tokens // rights after it has ended
	}{
		{"a rate with feedback", answering(900), 600},
		{"a rate without", Spec{Kind: Rate, Amount: 900, Per: 1, PerMillis: 1_000_000, Lend: 1000}, 900},
		{"a window", window(900, 3_600_000), 900},
	} {
		w := scripted(t, 1, 1, one(tt.spec))
		w.opened()
		n := w.nodes[0]
		a := n.r.Account(w.ids[0])
		n.reserve(w.ids, []Tokens{300}, false, true)
		w.round(0)
		n.reserve(w.ids, []Tokens{300}, false, true)
		for len(n.open) > 1 {
			n.settle(1, 0)
		}
		n.forfeit(0)
		expect(t, tt.name+": rights", a.Rights(n.clock()), tt.want)
		expect(t, tt.name+": reserved", a.State(n.clock()).Reserved, 0)
		expect(t, tt.name+": spent", a.State(n.clock()).Spent, 0)
		expect(t, tt.name+": equations", a.Audit(), 0)
		w.check()
	}
}

// TestRefusalsAreTold: a node that sees no refusal hears of it, and works out the same way back; and so does one that
// opens the instance later. Both sides of a partition come to the same when it is over.
func TestRefusalsAreTold(t *testing.T) {
	w := scripted(t, 3, 3, one(answering(90_000)))
	a, b := w.nodes[0], w.nodes[1]
	b.off = -7000 // its clock is behind: the way back ends so much later there
	w.opened()
	acc := func(n *wnode) *Account { return n.r.Account(w.ids[0]) }
	if _, fell := acc(a).Refused(a.clock(), a.clock(), 0); !fell {
		t.Fatal("not lowered")
	}
	w.round(2)
	expect(t, "at the node that heard of it", b.part(), a.part()-70_000)
	if got := acc(b).Rights(b.clock()); got > 200 {
		t.Errorf("%d rights are left where it was heard of", got)
	}
	expect(t, "equations", acc(b).Audit(), 0)
	// All see the next overload before they hear of each other: it counts once.
	w.now += 2000
	for _, n := range w.nodes {
		acc(n).Refused(n.clock(), n.clock(), 0)
	}
	w.round(3)
	low := a.part()
	if low < 480_000 || low > 510_000 {
		t.Errorf("after an overload that all saw %d ppm are in force, want about 0.7 times 0.7", low)
	}
	w.check()
}

// TestWhoOpensLaterKnows: rows that came before the account did say what is in force.
func TestWhoOpensLaterKnows(t *testing.T) {
	w := scripted(t, 2, 2, one(answering(90_000)))
	a, b := w.nodes[0], w.nodes[1]
	a.open1(w.ids[0])
	for range 10 {
		w.round(60)
	}
	a.r.Account(w.ids[0]).Refused(a.clock(), a.clock(), 0)
	w.round(60)
	if b.r.Account(w.ids[0]) != nil {
		t.Fatal("it was opened already")
	}
	b.open1(w.ids[0])
	expect(t, "at the one", b.part(), a.part())
}

// TestBorrowedRightsLapseWithTheOthers: what peers lent is of the same provider.
func TestBorrowedRightsLapseWithTheOthers(t *testing.T) {
	w := scripted(t, 2, 2, one(answering(1000)))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	a.r.GiveRights(a.clock(), w.ids[0], b.self, 200, b.clock())
	w.round(1)
	acc := b.r.Account(w.ids[0])
	expect(t, "with a loan", acc.Rights(b.clock()), 700)
	acc.Refused(b.clock(), b.clock(), 0)
	expect(t, "after a refusal", acc.Rights(b.clock()), 0)
	expect(t, "equations", acc.Audit(), 0)
	w.round(2000)
	expect(t, "equations, when the loan has ended", acc.Audit(), 0)
}

// TestAWrongClockLowersForAWhileOnly: a row that says the rate is away for years has it away for as long as a refusal can.
func TestAWrongClockLowersForAWhileOnly(t *testing.T) {
	w := scripted(t, 2, 2, one(answering(90_000)))
	w.opened()
	w.round(2)
	n := w.nodes[0]
	row := Row{Holder: Holder{Node: "far", Gen: 1}, Instance: w.ids[0], Version: 7, Whole: n.clock() + 1<<40}
	if err := n.r.Receive(n.clock(), &row); err != nil {
		t.Fatal(err)
	}
	expect(t, "at once", n.part(), 200_000)
	w.now += 20_000
	expect(t, "for the longest wait", n.part(), 200_000)
	again := row
	again.Version++
	if err := n.r.Receive(n.clock(), &again); err != nil {
		t.Fatal(err)
	}
	w.now += 40_000
	expect(t, "then on its way back, also if the row comes again", n.part(), 600_000)
	w.now += 40_000
	expect(t, "until all of it is in force", n.part(), 1_000_000)
}

// TestFeedbackGoesWithThePolicy: a policy without it has the whole rate in force at once.
func TestFeedbackGoesWithThePolicy(t *testing.T) {
	without := answering(90_000)
	without.Feedback = Feedback{}
	w := scripted(t, 1, 1, map[string][]Spec{"b": {answering(90_000), without}})
	w.opened()
	n := w.nodes[0]
	a := n.r.Account(w.ids[0])
	a.Refused(n.clock(), n.clock(), 0)
	n.version = 1
	n.r.Respec(n.clock())
	expect(t, "without feedback", n.part(), 1_000_000)
	ppm, fell := a.Refused(n.clock(), n.clock(), 0)
	expect(t, "a refusal", ppm, 1_000_000)
	expect(t, "it fell", fell, false)
	w.now += 1000
	expect(t, "rights after a second", a.Rights(n.clock()), 1000)
}

func drawFeedback(t *rapid.T) Feedback {
	return Feedback{
		Recover: Millis(rapid.Int64Range(1, 100_000_000).Draw(t, "recover")), CutPPM: rapid.Int64Range(1, 1_000_000).Draw(t, "cut"),
		LeastPPM: rapid.Int64Range(1, 1_000_000).Draw(t, "least"), RetryAfter: Millis(rapid.Int64Range(0, 600_000).Draw(t, "retry after")),
	}
}

// TestLostIsTheIntegral: what is not minted is the exact integral of what lacks, rounded up by next to nothing, whatever
// the intervals are that it is taken over.
func TestLostIsTheIntegral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFeedback(t)
		most := int64(f.Recover) + int64(f.RetryAfter)
		from := rapid.Int64Range(-10, most).Draw(t, "from")
		to := rapid.Int64Range(-1000, from).Draw(t, "to")
		exact := new(big.Rat)
		floor := big.NewRat((Whole-f.LeastPPM)*int64(f.Recover), Whole)
		area := func(x int64) *big.Rat { // of what lacks in the last x ms of the way back
			r := new(big.Rat).SetInt64(max(0, x))
			if r.Cmp(floor) <= 0 {
				return r.Mul(r, r).Mul(r, big.NewRat(Whole, 2*int64(f.Recover)))
			}
			flat := new(big.Rat).Sub(r, floor)
			flat.Mul(flat, big.NewRat(Whole-f.LeastPPM, 1))
			ramp := new(big.Rat).Mul(floor, floor)
			return flat.Add(flat, ramp.Mul(ramp, big.NewRat(Whole, 2*int64(f.Recover))))
		}
		exact.Sub(area(from), area(to))
		got := new(big.Rat).SetUint64(Lost(f, Millis(from), Millis(to)))
		over := new(big.Rat).Sub(got, exact)
		if over.Sign() < 0 || over.Cmp(big.NewRat(Whole+2, 1)) > 0 {
			t.Fatalf("lost %v, exactly %v", got.FloatString(3), exact.FloatString(3))
		}
	})
}

// TestFeedbackLaws: whatever a provider says, and whatever order its refusals become known in, the part in force lies between
// the policy's least and the whole; what is minted is never more than without; a refusal never raises it; all who know the
// same refusals come to the same; and knowing one twice changes nothing.
func TestFeedbackLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := answering(Tokens(rapid.Int64Range(1, 1_000_000).Draw(t, "burst")))
		spec.Feedback = drawFeedback(t)
		w := newWorld(3, 3, 1, one(spec))
		w.fatalf, w.logf = t.Fatalf, func(string, ...any) {}
		w.opened()
		id := w.ids[0]
		base, start := w.nodes[0].minted(), w.now
		var rows []Row
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			dt := Instant(rapid.Int64Range(0, 40_000).Draw(t, "passes"))
			w.now += dt
			n := w.nodes[0]
			before := n.part()
			if rapid.Bool().Draw(t, "from a peer") {
				row := Row{Holder: Holder{Node: "p", Gen: uint64(i + 1)}, Instance: id, Version: 1,
					Whole: n.clock() + Instant(rapid.Int64Range(-1000, 200_000_000).Draw(t, "whole"))}
				rows = append(rows, row)
				if err := n.r.Receive(n.clock(), &row); err != nil {
					t.Fatal(err)
				}
				after := n.part()
				n.r.Account(id).Part(n.clock())
				row.Version++
				if err := n.r.Receive(n.clock(), &row); err != nil {
					t.Fatal(err)
				}
				if n.part() != after {
					t.Fatalf("the same again: %d after %d", n.part(), after)
				}
			} else {
				sent := n.clock() - Instant(rapid.Int64Range(0, 5000).Draw(t, "ago"))
				n.r.Account(id).Refused(n.clock(), sent, Millis(rapid.Int64Range(-5, 1_000_000).Draw(t, "wait")))
			}
			if after := n.part(); after > before || after < min(before, spec.Feedback.LeastPPM) || after > Whole {
				t.Fatalf("from %d to %d, least %d", before, after, spec.Feedback.LeastPPM)
			}
			if got, most := n.minted()-base, Tokens(w.now-start)/3+1; got > most {
				t.Fatalf("minted %d of a rate that brings %d", got, most)
			}
			if off := n.r.Account(id).Audit(); off != 0 {
				t.Fatalf("equations are off by %d", off)
			}
		}
		// The other two hear the same rows at one moment, in opposite orders.
		b, c := w.nodes[1], w.nodes[2]
		for i := range rows {
			for n, row := range map[*wnode]Row{b: rows[i], c: rows[len(rows)-1-i]} {
				if err := n.r.Receive(n.clock(), &row); err != nil {
					t.Fatal(err)
				}
			}
		}
		step := Tokens(Whole) * 1000 / Tokens(spec.Feedback.Recover) // what a second of the way back is worth
		if d := Tokens(b.part() - c.part()); d > step+1 || -d > step+1 {
			t.Fatalf("%d and %d", b.part(), c.part())
		}
	})
}
