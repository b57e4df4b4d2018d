package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// A peer that is behind gets the rows that are newer than what it knows, and now and then all of them, since it
// may have a gap; one that is level and yet differs has a gap; one that differs in nothing gets nothing.
func TestDigestIsAnsweredWithWhatLacks(t *testing.T) {
	const instances = 20
	now := testStart
	spec := Spec{Kind: Grant, Amount: 1_000_000}
	start := func(h Holder, c Charter) *Replica {
		r := NewReplica(Config{
			Self: h, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, h.Gen)),
			Resolve: func(InstanceID) (Spec, bool) { return spec, true },
		})
		if err := r.Found(c); err != nil {
			t.Fatal(err)
		}
		return r
	}
	batch := func(r *Replica) Effects {
		r.Writes(now)
		return r.Commit(now)
	}
	// later lets a second pass and returns the rows that the replica tells then.
	later := func(r *Replica) (rows []Row) {
		for range 25 {
			now += 50
			r.Tick(now)
			for _, s := range batch(r).Spreads {
				rows = append(rows, *s.Row)
			}
		}
		return rows
	}
	a, b := Holder{Node: "a", Gen: 1}, Holder{Node: "b", Gen: 2}
	charter, err := NewCharter("test", []Holder{a, b}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	ra, rb := start(a, charter), start(b, charter)
	batch(ra)
	batch(rb)
	var accounts []*Account
	for i := range instances {
		id, err := NewInstanceID(charter.ID, fmt.Sprintf("pot%d", i), "compute", Grant, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		acc, err := ra.Open(now, id)
		if err != nil {
			t.Fatal(err)
		}
		accounts = append(accounts, acc)
	}
	tell := func(rows []Row) {
		if err := rb.Receive(now, rows); err != nil {
			t.Fatal(err)
		}
		batch(rb)
	}
	spend := func(i int) {
		if why, _ := Reserve(now, now+1000, []Take{{Account: accounts[i], Amount: 10}}, false); why != Enough {
			t.Fatalf("not reserved: %v", why)
		}
	}
	answers := 0
	answer := func() (rows int) {
		d := rb.Digest()
		if answers++; answers%2 == 0 { // in any order
			slices.Reverse(d.Holders)
		}
		if err := ra.Receive(now, d); err != nil {
			t.Fatal(err)
		}
		for _, s := range batch(ra).Sends {
			if rs, ok := s.Message.([]Row); ok && s.To == "b" {
				rows += len(rs)
			}
		}
		return rows
	}

	if rows := answer(); rows != 0 {
		t.Errorf("a has told nothing yet, but answers with %d rows", rows)
	}
	told := later(ra)
	if rows := answer(); rows != instances {
		t.Errorf("b knows nothing and gets %d rows, want %d", rows, instances)
	}
	tell(told)
	if rows := answer(); rows != 0 {
		t.Errorf("b knows all and gets %d rows", rows)
	}

	spend(3)
	var lost []Row
	for { // until the demand of that call has faded
		rows := later(ra)
		if len(rows) == 0 {
			break
		}
		lost = append(lost, rows...)
	}
	sizes := map[int]int{}
	for range 200 {
		sizes[answer()]++
	}
	if len(sizes) != 2 || sizes[1] < 150 || sizes[instances] < 3 {
		t.Errorf("b is behind by one row; answers by their number of rows: %v", sizes)
	}

	// The newest row of all arrives: b is level, with a gap.
	spend(4)
	rows := later(ra)
	tell(rows[len(rows)-1:])
	lost = append(lost, rows[:len(rows)-1]...)
	for range 50 {
		if rows := answer(); rows != instances {
			t.Fatalf("b is level and has a gap; it gets %d rows, want all %d", rows, instances)
		}
	}
	tell(lost)
	if rows := answer(); rows != 0 {
		t.Errorf("b knows all again and gets %d rows", rows)
	}
}
