package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// TestCost: what a message is taken to cost is about what it takes on the wire, and rather more.
func TestCost(t *testing.T) {
	a, b := Holder{Node: "node-17", Gen: 3}, Holder{Node: "node-4", Gen: 1}
	const id = InstanceID("tenant-day/search@1f0c94a2b7e3")
	const at = Instant(1_800_000_000_000)
	var rows []Row
	d := &Digest{From: a}
	for i := range 40 {
		rows = append(rows, Row{
			Holder: a, Instance: id, Version: uint64(1000 + i), Window: 1_800_000_000, Shares: 123_456_789, Free: 100, Issued: 4_000_000, In: 300_000,
			Out: 500_000, Spent: 2_345_678, Reserved: 12_000, Lapsed: 100, Surplus: 70_000, Demand: 30_000, Unmet: 12, Lent: 20_000, Wanted: 4000,
		})
		d.Holders = append(d.Holders, HolderDigest{Holder: Holder{Node: fmt.Sprintf("node-%d", i), Gen: 1}, Rows: 3, Highest: uint64(i + 1000), Hash: 1 << 60})
	}
	for name, m := range map[string]any{
		"ask":      &Ask{ID: 7000, From: a, Instance: id, Window: 1_800_000_000, Need: 1_700, Want: 23_000, At: at, Patience: 2000},
		"hold":     &Hold{ID: 7000, From: a, Instance: id, For: 2000},
		"offer":    &Offer{From: a, Instance: id, Window: 1_800_000_000, Amount: 23_000},
		"refusal":  &Refuse{ID: 7000, From: a, Instance: id, Donors: []Holder{a, b, b}},
		"transfer": &Transfer{From: a, To: b, Instance: id, Window: 1_800_000_000, Out: 500_000, SharesOut: 123_456_789, First: 1_800_000_000, Asked: at, AskID: 7000},
		"ack":      &Ack{From: a, To: b, Instance: id, Window: 1_800_000_000, In: 500_000, SharesIn: 123_456_789},
		"rows":     rows,
		"digest":   d,
	} {
		if c, wire := cost(m), float64(len(Encode(m))+packetBytes); c < wire || c > 1.5*wire {
			t.Errorf("%s: taken to cost %.0f bytes, %.0f on the wire", name, c, wire)
		}
	}
}

// TestCostOfGuarding: half of what messages with records take on the wire, or rather more, counts: what claims tell, too.
func TestCostOfGuarding(t *testing.T) {
	a, b := Holder{Node: "node-17", Gen: 3}, Holder{Node: "node-4", Gen: 1}
	var rs []guardian.Record
	for i := range 50 {
		rs = append(rs, guardian.Record{Key: fmt.Sprintf("entry/tenant-day/search@1f0c94a2b7e3\x00node-%d\x001", i), Value: make([]byte, 24)})
	}
	for _, m := range []any{
		&guardian.Note{From: a, To: b, Set: []Holder{b, a, b}, Version: 7000, Records: rs},
		&guardian.Promise{Of: a, From: b, Stored: guardian.Copy{Version: 7000, Records: rs}},
		&guardian.Accept{Of: a, To: b, Value: guardian.Value{Version: 7000, Heir: b}, Records: rs},
		&guardian.Decided{Of: a, From: b, To: a, Value: guardian.Value{Version: 7000, Heir: b}, Records: rs},
		&guardian.Outcome{Of: a, From: b, To: a, Value: guardian.Value{Version: 7000, Heir: b}, Records: rs},
		&guardian.Part{Of: a, From: b, To: a, Version: 7000, Records: rs},
	} {
		if c, wire := cost(m), guardPart*float64(len(Encode(m))+packetBytes); c < wire || c > 1.2*wire {
			t.Errorf("%T: taken to cost %.0f bytes, half of it on the wire is %.0f", m, c, wire)
		}
	}
}

// TestAllowance: two seconds of it can be said at once; then nothing until the debt is paid.
func TestAllowance(t *testing.T) {
	r := &Replica{cfg: Config{Bytes: 1000, Rand: rand.New(rand.NewPCG(1, 1))}}
	now := Instant(1_800_000_000_000)
	for _, s := range []struct {
		wait       Millis
		spend      float64
		may, ahead bool
		rows       int
	}{
		{0, 0, true, true, 15},          // full: 2,000
		{0, 999, true, true, 7},         // 1,001
		{0, 1, true, false, 7},          // 1,000
		{0, 999, true, false, 0},        // 1
		{0, 501, false, false, 0},       // -500
		{500, 0, false, false, 0},       // 0
		{200, 0, true, false, 1},        // 200
		{-5000, 0, true, false, 1},      // a clock that steps back brings nothing
		{1000, 0, true, true, 9},        // and goes on from there
		{3_600_000, 0, true, true, 15},  // never more than two seconds of it
		{0, 1_002_000, false, false, 0}, // a large debt
		{3_600_000, 0, false, false, 0}, // is paid by ticks, some of which may be missed
	} {
		now += Instant(s.wait)
		r.refill(now)
		r.allowance.left -= s.spend
		if r.may() != s.may || r.mayAhead() != s.ahead || r.rowsLeft() != s.rows {
			t.Errorf("%+v: %v, %v, %d rows with %.0f left", s, r.may(), r.mayAhead(), r.rowsLeft(), r.allowance.left)
		}
	}
	for _, s := range []struct {
		left              float64
		floor, share, any bool
	}{{1, true, true, true}, {0, true, true, false}, {-666, true, true, false}, {-667, true, false, false}, {-1999, true, false, false}, {-2000, false, false, false}} {
		r.allowance.left = s.left
		if floor, share, other := r.mayFirst(RankFloor), r.mayFirst(RankShare), r.mayFirst(RankNone); floor != s.floor || share != s.share || other != s.any {
			t.Errorf("with %.0f left: %v for a guarantee, %v for a tenant's part, %v for others", s.left, floor, share, other)
		}
	}
	if r.cfg.Bytes = 0; !r.may() || !r.mayAhead() || r.rowsLeft() != rowsPerDigest {
		t.Error("without a limit there is one")
	}
}
