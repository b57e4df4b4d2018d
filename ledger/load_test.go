package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// sound are the records of a node that has opened accounts, taken from them and moved some, and what they are read under.
func sound(f *testing.F) (w *world, records []Write) {
	w = newWorld(5, 2, 1, map[string][]Spec{"b": {window(1000, 20_000)}, "g": {{Kind: Grant, Amount: 5000}}, "r": {answering(500)}})
	w.fatalf, w.logf = f.Fatalf, func(string, ...any) {}
	w.opened()
	n := w.nodes[0]
	for k, v := range n.disk {
		records = append(records, Write{Key: k, Value: v})
	}
	return w, records
}

// FuzzLoad: whatever stands on a disk in the place of one record, or beside all, is an error or is taken up, and what a claim reads of
// it is left out or taken, never more than that.
func FuzzLoad(f *testing.F) {
	w, records := sound(f)
	for _, r := range records {
		f.Add(r.Key, r.Value)
	}
	h, id := Holder{Node: "n1", Gen: 2}, string(w.ids[0])
	f.Add("entry/"+id+"\x00n1\x002", EncodeEntry(&Entry{SharesOut: 5, Window: 9, Out: 4}))
	f.Add("account/"+id, EncodeState(&State{Genesis: 5, Issues: true, Window: 9, Base: 7, Mark: 3}))
	for _, g := range []guardian.Write{{Own: &guardian.Own{Set: []Holder{h}, Version: 9}}, {Round: &guardian.Round{Of: h, N: 3}}, {Ward: &guardian.Ward{Of: h, Set: []Holder{h}, Version: 4}}} {
		x := GuardWrite(&g)
		f.Add(x.Key, x.Value)
	}
	for _, key := range []string{"used/0/1", "pass/0", "ballot", "version", "mints", "burns", "floor", "past/n1", "shut/n1\x001", "gone/n1\x001", "word",
		"overdrew/" + id, "generation", "due/" + id + "\x00n1\x001\x00n2\x001"} {
		for _, r := range records {
			f.Add(key, r.Value)
		}
	}
	n := w.nodes[0]
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		ws := []Write{{Key: key, Value: value}}
		for _, r := range records {
			if r.Key != key {
				ws = append(ws, r)
			}
		}
		r := NewReplica(n.config(1))
		if err := r.Load(n.clock(), ws); err == nil {
			r.Tick(n.clock())
			r.Writes(n.clock())
		}
		var copies []guardian.Record
		for _, w := range ws {
			copies = append(copies, guardian.Record(w))
		}
		ReadFinal(n.self, copies, 2)
		judge.ReadFinal(copies, w.ids[0])
	})
}
