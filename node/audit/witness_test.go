package audit

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/swarmpurse/swarmpurse/node/identity"
)

// tell makes what a node tells a witness that knows from records.
func tell(t *testing.T, l *Log, key identity.Key, from int64) *Told {
	t.Helper()
	head, c := l.Head()
	m := &Told{Node: "n1", Key: key.Verifier(), Note: head, From: from}
	if from > 0 && from < c.Size {
		p, err := tlog.ProveTree(c.Size, from, l.Dir())
		if err != nil {
			t.Fatal(err)
		}
		m.Proof = p
	}
	return m
}

// A witness countersigns what goes on from what it knows, asks for a proof where there is none, and raises an alarm at what does not.
// What it knows outlives a restart.
func TestWitness(t *testing.T) {
	key, dir := testKey(t, "n1"), scratch(t)
	l, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: key, open: hasty})
	witness := func() *Witness {
		w, lost, err := OpenWitness("n2", testKey(t, "n2"), dir)
		if err != nil || lost != nil {
			t.Fatal(err, lost)
		}
		return w
	}
	w := witness()
	receive := func(m *Told) (Answer, *Dispute) {
		t.Helper()
		a, d, _, err := w.Receive(5000, m)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Save(); err != nil {
			t.Fatal(err)
		}
		w = witness()
		return a, d
	}
	signed := func(a Answer) int64 {
		c, ok := Countersigned(a.Note, key.Verifier(), testKey(t, "n2").Verifier())
		if !ok {
			t.Fatalf("not countersigned: %s", a.Note)
		}
		return c.Size
	}
	fill(t, l, 5, 5)
	if a, d := receive(tell(t, l, key, 0)); d != nil || signed(a) != 5 {
		t.Fatalf("%+v %+v", a, d)
	}
	first := tell(t, l, key, 0)
	fill(t, l, 6, 2)
	if a, d := receive(tell(t, l, key, 0)); d != nil || !a.Want || signed(a) != 5 {
		t.Fatalf("without a proof: %+v %+v", a, d)
	}
	if a, d := receive(tell(t, l, key, 5)); d != nil || a.Want || signed(a) != 11 {
		t.Fatalf("%+v %+v", a, d)
	}
	if a, d := receive(first); d != nil || a.Disputed || signed(a) != 11 {
		t.Fatalf("an older one, late: %+v %+v", a, d)
	}
	if a, d := receive(tell(t, l, key, 11)); d != nil || signed(a) != 11 {
		t.Fatalf("again: %+v %+v", a, d)
	}

	// Another log of the same key: of as many records, and of more.
	other, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: key, open: hasty})
	for i := range 11 {
		if err := other.Append(int64(3000+i), [][]byte{entry(100 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if a, d := receive(tell(t, other, key, 0)); d == nil || d.Kind != Fork || !a.Disputed || len(d.Notes) != 2 {
		t.Fatalf("a fork: %+v %+v", a, d)
	}
	if _, d := receive(tell(t, other, key, 0)); d != nil {
		t.Error("one alarm was raised twice")
	}
	fill(t, l, 1, 1)
	if a, d := receive(tell(t, l, key, 11)); d != nil || signed(a) != 12 {
		t.Fatalf("the log itself goes on: %+v %+v", a, d)
	}
	fill(t, other, 7, 7)
	if a, d := receive(tell(t, other, key, 12)); d == nil || d.Kind != Fork || !a.Disputed {
		t.Fatalf("a longer fork: %+v %+v", a, d)
	}
	// An older copy of the log, gone on with.
	back, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: key, open: hasty})
	if err := back.Append(9000, [][]byte{entry(0)}); err != nil {
		t.Fatal(err)
	}
	if a, d := receive(tell(t, back, key, 0)); d == nil || d.Kind != Rollback || !a.Disputed {
		t.Fatalf("a rollback: %+v %+v", a, d)
	}
	if n := len(w.Alarms()); n != 3 {
		t.Errorf("%d alarms", n)
	}
	kept := w.Sightings("n1")
	if len(kept) != 3 || kept[2].Checkpoint.Size != 12 {
		t.Errorf("%+v", kept)
	}
	// What it kept proves the log.
	var seen []Sighting
	for _, k := range kept {
		seen = append(seen, Sighting{"n2", k.Key, []byte(k.Note)})
	}
	if r := verify(t, l.o.Dir, seen...); !r.OK() || len(r.Peers) != 3 {
		t.Errorf("%+v", r)
	}

	// Forged: another node's name, another key's signature.
	forged := tell(t, l, key, 12)
	forged.Node = "n3"
	if _, _, _, err := w.Receive(1, forged); !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
	forged = tell(t, l, key, 12)
	forged.Key = testKey(t, "n1x").Verifier()
	if _, _, _, err := w.Receive(1, forged); !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
	forged.Proof = make([]tlog.Hash, maxProof+1)
	if _, _, _, err := w.Receive(1, forged); !errors.Is(err, ErrMalformed) {
		t.Errorf("%v", err)
	}
	// The node hears of it, once.
	self, _, err := OpenWitness("n1", key, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := self.Disputed(1, "n1", "n2", []byte(kept[2].Note), nil); d == nil || d.Of != "n1" || d.By != "n2" {
		t.Errorf("%+v", d)
	}
	if self.Disputed(1, "n1", "n2", []byte(kept[2].Note), nil) != nil || self.Disputed(1, "n1", "n3", []byte("x"), nil) != nil {
		t.Error("what is known, or proves nothing, was taken")
	}
}

// A witness keeps a bounded number of logs, of one node and in all, and of each a bounded number of checkpoints that span its life.
func TestWitnessIsBounded(t *testing.T) {
	w, _, err := OpenWitness("n2", testKey(t, "n2"), "")
	if err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: testKey(t, "n1"), open: hasty})
	from := int64(0)
	for range 100 {
		fill(t, l, 3, 3)
		if _, d, _, err := w.Receive(1, tell(t, l, testKey(t, "n1"), from)); err != nil || d != nil {
			t.Fatal(err, d)
		}
		_, c := l.Head()
		from = c.Size
	}
	kept := w.Sightings("n1")
	if len(kept) != maxSightings || kept[0].Checkpoint.Size != 3 || kept[maxSightings-1].Checkpoint.Size != 300 || kept[maxSightings-2].Checkpoint.Size < 280 ||
		!slices.IsSortedFunc(kept, func(a, b Kept) int { return int(a.Checkpoint.Size - b.Checkpoint.Size) }) {
		for _, k := range kept {
			t.Log(k.Checkpoint.Size)
		}
		t.Errorf("%d checkpoints", len(kept))
	}
	for i := range 10 {
		k, err := identity.Load("n1", append(make([]byte, 31), byte(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		c := Checkpoint{Origin: identity.Name("n1"), Size: 1, At: 1}
		note, err := c.Sign(k.Signer())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, began, err := w.Receive(int64(10+i), &Told{Node: "n1", Key: k.Verifier(), Note: note}); err != nil || !began {
			t.Fatal(began, err)
		}
	}
	if len(w.logs) != maxLogsOf {
		t.Errorf("%d logs of one node", len(w.logs))
	}
}

// A damaged file of what was witnessed loses what is damaged, and no more.
func TestWitnessFileIsDamaged(t *testing.T) {
	dir := scratch(t)
	w, _, err := OpenWitness("n2", testKey(t, "n2"), dir)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: testKey(t, "n1"), open: hasty})
	fill(t, l, 3, 3)
	if _, _, _, err := w.Receive(1, tell(t, l, testKey(t, "n1"), 0)); err != nil {
		t.Fatal(err)
	}
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, witnessName))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{b[:len(b)/2], []byte(string(b[:len(b)-200]) + "x" + string(b[len(b)-199:])), {}} {
		write(t, dir, witnessName, bad)
		w, lost, err := OpenWitness("n2", testKey(t, "n2"), dir)
		if err != nil || lost == nil || len(w.logs) != 0 {
			t.Errorf("%d logs, %v %v", len(w.logs), lost, err)
		}
	}
}

// A key has one spelling: by another one of its own, a log would have countersigned itself.
func TestKeysAreSpelledOneWay(t *testing.T) {
	l, _ := open(t, Options{Dir: filepath.Join(scratch(t), "audit"), Key: testKey(t, "n1"), open: hasty})
	fill(t, l, 1, 1)
	head, _ := l.Head()
	key := testKey(t, "n1").Verifier()
	if _, err := OpenCheckpoint(head, key); err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(key, "+", 3)
	for _, other := range []string{
		parts[0] + "+" + strings.ToUpper(parts[1]) + "+" + parts[2],
		key + "\n",
		parts[0] + "+" + parts[1] + "+\r" + parts[2],
	} {
		if other == key {
			t.Fatal("this key has no letter in its hash; take another name")
		}
		if _, ok := Countersigned(head, key, other); ok {
			t.Errorf("%q is taken for a witness of %q", other, key)
		}
		if _, err := OpenCheckpoint(head, other); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", other, err)
		}
	}
}
