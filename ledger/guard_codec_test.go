package ledger_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"pgregory.net/rapid"
)

func drawBallot(t *rapid.T) guardian.Ballot {
	if rapid.Bool().Draw(t, "none") {
		return guardian.Ballot{}
	}
	return guardian.Ballot{Round: rapid.Uint64().Draw(t, "round"), By: drawHolder(t)}
}

func drawAbout(t *rapid.T) (hs []Holder) {
	for range rapid.IntRange(0, guardian.MaxAbout).Draw(t, "about") {
		hs = append(hs, drawHolder(t))
	}
	return hs
}

func drawRecords(t *rapid.T, gone bool) (rs []guardian.Record) {
	for _, k := range []string{"account/a", "entry/b", "seat/0"} {
		r := guardian.Record{Key: k, Value: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value")}
		if gone && rapid.Bool().Draw(t, "gone") {
			r.Value = nil
		}
		if rapid.Bool().Draw(t, "there") {
			rs = append(rs, r)
		}
	}
	return rs
}

func drawDecision(t *rapid.T) guardian.Value {
	return guardian.Value{Version: rapid.Uint64Min(1).Draw(t, "version"), Heir: drawHolder(t)}
}

func drawClock(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(-1, 1<<62).Draw(t, "clock"))
}

// drawGuard draws any message that is about guarding.
func drawGuard(t *rapid.T) any {
	from, to := drawHolder(t), drawHolder(t)
	lease := time.Duration(rapid.Int64Range(0, int64(guardian.MaxLease)).Draw(t, "lease"))
	switch rapid.IntRange(0, 17).Draw(t, "kind") {
	case 13, 14, 15, 16:
		return drawWordMessage(t, from, to)
	case 12:
		return &guardian.Part{Of: from, From: drawHolder(t), To: to, Since: rapid.Uint64().Draw(t, "since"), Version: rapid.Uint64().Draw(t, "version"),
			After: rapid.String().Draw(t, "after"), Records: drawRecords(t, true), More: rapid.Bool().Draw(t, "more")}
	case 11:
		return &guardian.Fetch{Of: from, From: to, Since: rapid.Uint64().Draw(t, "since"), Version: rapid.Uint64().Draw(t, "version"), After: rapid.String().Draw(t, "after")}
	case 10:
		return &guardian.Query{Of: from, From: to, Part: rapid.Bool().Draw(t, "part"), About: drawAbout(t)}
	case 17:
		return &guardian.Outcome{Of: from, From: drawHolder(t), To: to, Value: drawDecision(t), Records: drawRecords(t, false), About: drawAbout(t)}
	case 0:
		n := &guardian.Note{From: from, To: to, Acked: rapid.Uint64().Draw(t, "acked"), Since: rapid.Uint64().Draw(t, "since"), Version: rapid.Uint64().Draw(t, "version"),
			Records: drawRecords(t, true), More: rapid.Bool().Draw(t, "more"), Sent: drawClock(t), Lease: lease}
		for range rapid.IntRange(0, guardian.MaxGuardians).Draw(t, "guardians") {
			n.Set = append(n.Set, drawHolder(t))
		}
		return n
	case 1:
		return &guardian.NoteAck{From: from, To: to, Version: rapid.Uint64().Draw(t, "version"), Noted: rapid.Uint64().Draw(t, "noted"),
			Fetching: rapid.Uint64().Draw(t, "fetching"), Sent: drawClock(t), Lease: lease}
	case 2:
		return &guardian.Refused{From: from, To: to}
	case 3:
		return &guardian.Release{From: from, To: to}
	case 4:
		return &guardian.Prepare{Of: from, To: to, Ballot: drawBallot(t), Owner: rapid.Bool().Draw(t, "owner")}
	case 5:
		p := &guardian.Promise{Of: from, From: to, Ballot: drawBallot(t), Accepted: drawBallot(t),
			Stored: guardian.Copy{Version: rapid.Uint64().Draw(t, "version"), Records: drawRecords(t, false), More: rapid.Bool().Draw(t, "more")}}
		if rapid.Bool().Draw(t, "accepted") {
			v := drawDecision(t)
			p.Value = &v
		}
		return p
	case 6:
		return &guardian.Accept{Of: from, To: to, Ballot: drawBallot(t), Value: drawDecision(t), Records: drawRecords(t, false), More: rapid.Bool().Draw(t, "more")}
	case 7:
		return &guardian.Accepted{Of: from, From: to, Ballot: drawBallot(t)}
	case 8:
		return &guardian.Reject{Of: from, From: to, Ballot: drawBallot(t), Promised: drawBallot(t), Wait: drawClock(t)}
	}
	return &guardian.Decided{Of: from, From: drawHolder(t), To: to, Value: drawDecision(t), Records: drawRecords(t, false), More: rapid.Bool().Draw(t, "more")}
}

// TestGuardRecordRoundTrip: what is durable about guarding comes back as it was written; cut short it never does.
func TestGuardRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w guardian.Write
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			w.Own = &guardian.Own{Set: []Holder{drawHolder(t)}, Version: rapid.Uint64().Draw(t, "version"), Released: rapid.Bool().Draw(t, "released")}
		case 1:
			w.Ward = &guardian.Ward{Of: Holder{Node: "n", Gen: rapid.Uint64().Draw(t, "gen")}, Set: []Holder{drawHolder(t)}, Lease: time.Second,
				Version: rapid.Uint64().Draw(t, "version"), Promised: drawBallot(t), Accepted: drawBallot(t)}
			if rapid.Bool().Draw(t, "value") {
				v := drawDecision(t)
				w.Ward.Value, w.Ward.Decided = &v, rapid.Bool().Draw(t, "decided")
			}
		case 2:
			w.Record = &guardian.WardRecord{Of: Holder{Node: "n", Gen: 7}, Record: guardian.Record{Key: "entry/a\x00b\x00c", Value: []byte{1, 2}}}
		case 3:
			w.Round = &guardian.Round{Of: Holder{Node: "n", Gen: 7}, N: rapid.Uint64().Draw(t, "round")}
		}
		x := GuardWrite(&w)
		got, ok, err := ReadGuard(x)
		if err != nil || !ok || !reflect.DeepEqual(got, w) {
			t.Fatalf("%+v comes back as %+v: %v", w, got, err)
		}
		if w.Record != nil {
			return // any bytes make a record
		}
		x.Value = x.Value[:rapid.IntRange(0, len(x.Value)-1).Draw(t, "cut")]
		if got, _, err := ReadGuard(x); err == nil {
			t.Fatalf("cut to %x it is taken for %+v", x.Value, got)
		}
	})
}

// TestGuardRecordsOfOthers: what is not about guarding is left alone, keys that make no sense are errors.
func TestGuardRecordsOfOthers(t *testing.T) {
	for _, key := range []string{"account/x", "charter", "seat/0", "entry/x"} {
		if _, ok, err := ReadGuard(Write{Key: key}); ok || err != nil {
			t.Errorf("%q: %v, %v", key, ok, err)
		}
	}
	for _, key := range []string{"ward/", "ward/n", "ward/n\x00zz", "round/\x00", "ward/\x001"} {
		if _, ok, err := ReadGuard(Write{Key: key, Value: []byte{80, 1, 0x90}}); !ok || err == nil {
			t.Errorf("%q: %v, %v", key, ok, err)
		}
	}
}

// TestGuardDecodeBounds: what is out of range, or out of order, is refused before anything is allocated for it.
func TestGuardDecodeBounds(t *testing.T) {
	h := Holder{Node: "n", Gen: 1}
	for what, m := range map[string]any{
		"too many guardians":   &guardian.Note{From: h, To: h, Set: []Holder{h, h, h, h, h, h}},
		"a lease too long":     &guardian.Note{From: h, To: h, Lease: guardian.MaxLease + 1},
		"records out of order": &guardian.Note{From: h, To: h, Records: []guardian.Record{{Key: "b"}, {Key: "a"}}},
		"a record twice":       &guardian.Note{From: h, To: h, Records: []guardian.Record{{Key: "a"}, {Key: "a"}}},
		"a long key":           &guardian.Note{From: h, To: h, Records: []guardian.Record{{Key: strings.Repeat("k", 1025)}}},
		"a big record":         &guardian.Note{From: h, To: h, Records: []guardian.Record{{Key: "k", Value: make([]byte, 1<<20+1)}}},
		"a decision for none":  &guardian.Decided{Of: h, From: h, To: h, Value: guardian.Value{Version: 1}},
		"a decision on none":   &guardian.Accept{Of: h, To: h, Value: guardian.Value{Heir: h}},
	} {
		if got, err := Decode(Encode(m)); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

// FuzzGuardRecords: whatever a disk says is an error or a record that comes back as it was.
func FuzzGuardRecords(f *testing.F) {
	h := Holder{Node: "n", Gen: 7}
	for _, w := range []guardian.Write{
		{Own: &guardian.Own{Set: []Holder{h}, Version: 9}}, {Round: &guardian.Round{Of: h, N: 3}},
		{Ward: &guardian.Ward{Of: h, Set: []Holder{h}, Lease: time.Minute, Version: 4, Promised: guardian.Ballot{Round: 1, By: h},
			Value: &guardian.Value{Version: 4, Heir: h}, Decided: true}},
	} {
		x := GuardWrite(&w)
		f.Add(x.Key, x.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		g, ok, err := ReadGuard(Write{Key: key, Value: value})
		if !ok || err != nil || g.Record != nil {
			return
		}
		if again, ok, err := ReadGuard(GuardWrite(&g)); !ok || err != nil || !reflect.DeepEqual(again, g) {
			t.Fatalf("%+v comes back as %+v: %v", g, again, err)
		}
	})
}

// TestNamesThatAreNoKeys: keys on disk end names with a NUL, so a name that has one would be read back as another key, and
// the directory could not be loaded any more.
func TestNamesThatAreNoKeys(t *testing.T) {
	bad, good := Holder{Node: "n\x00", Gen: 1}, Holder{Node: "n", Gen: 1}
	records := []guardian.Record{{Key: "account/a", Value: []byte{1}}}
	id, err := NewInstanceID(CharterID{1}, "b", "compute", Grant, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []any{
		&guardian.Note{From: bad, To: good, Set: []Holder{good}, Version: 1, Records: records},
		&guardian.Prepare{Of: bad, To: good},
		&guardian.Accept{Of: bad, To: good, Value: guardian.Value{Version: 1, Heir: good}},
		&guardian.Decided{Of: bad, From: good, To: good, Value: guardian.Value{Version: 1, Heir: good}},
		&guardian.Decided{Of: good, From: good, To: good, Value: guardian.Value{Version: 1, Heir: bad}},
		&Transfer{From: bad, To: good, Instance: id},
	} {
		if got, err := Decode(Encode(m)); !errors.Is(err, ErrWire) {
			t.Errorf("%+v: %+v, %v", m, got, err)
		}
	}
}

// TestSenders: everything that is one node's to say names that node; what anybody may tell names nobody.
func TestSenders(t *testing.T) {
	me, you := Holder{Node: "me", Gen: 1}, Holder{Node: "you", Gen: 2}
	by := guardian.Ballot{Round: 1, By: me}
	for _, m := range []any{
		&Ask{From: me}, &Hold{From: me}, &Offer{From: me}, &Refuse{From: me}, &Transfer{From: me, To: you}, &Ack{From: me, To: you},
		&SeatPass{From: me, To: you}, &SeatAck{From: me, To: you}, &Digest{From: me},
		&WordAsk{From: me}, &WordAnswer{From: me}, &WordDoubt{From: me}, &WordOver{From: me},
		&guardian.Note{From: me, To: you}, &guardian.NoteAck{From: me, To: you}, &guardian.Refused{From: me, To: you},
		&guardian.Release{From: me, To: you}, &guardian.Prepare{Of: you, To: you, Ballot: by}, &guardian.Promise{Of: you, From: me},
		&guardian.Accept{Of: you, To: you, Ballot: by}, &guardian.Accepted{Of: you, From: me}, &guardian.Reject{Of: you, From: me},
		&guardian.Query{Of: you, From: me}, &guardian.Decided{Of: you, From: me, To: you}, &guardian.Outcome{Of: you, From: me, To: you}, &guardian.Fetch{Of: you, From: me},
		&guardian.Part{Of: you, From: me, To: you},
		&WordAsk{From: me, To: you}, &WordAnswer{From: me, To: you}, &WordDoubt{By: you, From: me}, &WordOver{From: me, To: you},
	} {
		if node, ok := Sender(m); !ok || node != "me" {
			t.Errorf("%T: %q, %v", m, node, ok)
		}
	}
	for _, m := range []any{[]Row{{Holder: me}}} {
		if node, ok := Sender(m); ok {
			t.Errorf("%T: %q", m, node)
		}
	}
}

// drawWordMessage draws any message that is about an operator's word.
func drawWordMessage(t *rapid.T, from, to Holder) any {
	holders := func(least int) (hs []Holder) { // nil if empty, as decoding gives it
		for range rapid.IntRange(least, 3).Draw(t, "holders") {
			hs = append(hs, drawHolder(t))
		}
		return hs
	}
	id := rapid.Uint64Min(1).Draw(t, "id")
	switch rapid.IntRange(0, 3).Draw(t, "word") {
	case 0:
		return &WordAsk{ID: id, From: from, Dir: drawHolder(t), To: to, Dead: holders(1), Live: holders(1)}
	case 1:
		return &WordDoubt{ID: id, By: to, Dir: drawHolder(t), From: from, Dead: holders(0)}
	case 2:
		return &WordOver{ID: id, From: from, To: to}
	}
	if rapid.Bool().Draw(t, "refused") {
		return &WordAnswer{ID: id, From: from, To: to, Code: rapid.Uint8Min(1).Draw(t, "code"), Refused: "no"}
	}
	m := &WordAnswer{ID: id, From: from, To: to, Parts: rapid.IntRange(1, 4).Draw(t, "parts"), Retired: holders(0)}
	m.Part = rapid.IntRange(0, m.Parts-1).Draw(t, "part")
	for _, h := range holders(0) {
		s := Seat{Index: rapid.IntRange(0, MaxFounders-1).Draw(t, "seat"), Serial: rapid.Uint64().Draw(t, "serial"), Holder: h}
		m.Seats = append(m.Seats, s)
		m.Held = append(m.Held, WordSeat{Seat: s, Used: []uint64{1, 1 << 40}})
	}
	n := rapid.Int64Range(0, 1<<60)
	for _, h := range holders(0) {
		a := WordAccount{Instance: "tenant-day/search@1f0c94a2b7e3", Net: Shares(n.Draw(t, "net") - 1<<59), Window: Window(n.Draw(t, "window") >> 12), First: Window(n.Draw(t, "first") >> 12)}
		a.With = []WordPair{{h, Shares(n.Draw(t, "out")), Shares(n.Draw(t, "in")), 5, Tokens(n.Draw(t, "rights out")), Tokens(n.Draw(t, "rights in"))}}
		m.Accounts = append(m.Accounts, a)
	}
	return m
}
