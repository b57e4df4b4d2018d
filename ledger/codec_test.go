package ledger_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

func drawHolder(t *rapid.T) Holder {
	node := strings.ReplaceAll(rapid.StringN(1, 20, MaxNameLen).Draw(t, "node"), "\x00", "0")
	return Holder{Node: node, Gen: rapid.Uint64().Draw(t, "gen")}
}

func drawID(t *rapid.T) InstanceID {
	values := rapid.SliceOfN(rapid.StringN(0, 10, 30), 0, 2).Draw(t, "values")
	id, err := NewInstanceID(CharterID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "charter")), rapid.StringN(1, 10, 20).Draw(t, "budget"), "compute",
		Kind(rapid.IntRange(0, 3).Draw(t, "kind")), make([]string, len(values)), values)
	if err != nil {
		t.Skip(err)
	}
	return id
}

func drawTokens(t *rapid.T) Tokens {
	return Tokens(rapid.Int64Range(0, int64(MaxTokens)).Draw(t, "tokens"))
}
func drawShares(t *rapid.T) Shares {
	return Shares(rapid.Int64Range(0, int64(TotalShares)).Draw(t, "shares"))
}
func drawWindow(t *rapid.T) Window { return Window(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "window")) }
func drawInstant(t *rapid.T) Instant {
	return Instant(rapid.Int64Range(-1<<45, 1<<45).Draw(t, "instant"))
}

func drawPatience(t *rapid.T) Millis {
	return Millis(rapid.Int64Range(0, 24*60*60*1000).Draw(t, "patience"))
}

func drawRow(t *rapid.T) Row {
	r := Row{
		Holder: drawHolder(t), Instance: drawID(t), Version: rapid.Uint64().Draw(t, "version"), Window: drawWindow(t), Shares: drawShares(t),
		Issued: drawTokens(t), Minted: drawTokens(t), Overdrawn: drawTokens(t), In: drawTokens(t), Out: drawTokens(t), Spent: drawTokens(t),
		Reserved: drawTokens(t), Lapsed: drawTokens(t), Debt: drawTokens(t), Surplus: drawTokens(t), Demand: drawTokens(t), Unmet: drawTokens(t),
		Lent: drawTokens(t), Wanted: drawTokens(t),
		Used: drawTokens(t), Price: drawTokens(t), Whole: drawInstant(t), Alone: rapid.Bool().Draw(t, "alone"),
	}
	if rapid.Bool().Draw(t, "heir") {
		r.Inherited = drawTokens(t)
	}
	r.Free = Shares(rapid.Int64Range(0, int64(r.Shares)).Draw(t, "free"))
	if rapid.Bool().Draw(t, "apart") {
		r.Decayed = Tokens(rapid.Int64Range(0, int64(r.Lapsed)).Draw(t, "decayed"))
		r.Burned = Tokens(rapid.Int64Range(0, int64(r.Lapsed-r.Decayed)).Draw(t, "burned"))
	}
	most := MaxTokens
	for i := range rapid.IntRange(0, MaxClaims).Draw(t, "claims") {
		most = Tokens(rapid.Int64Range(1, int64(most)).Draw(t, "asked"))
		r.Claims[i] = Claim{rapid.Uint64().Draw(t, "who"), most}
	}
	return r
}

// drawMessage draws any message that nodes exchange.
func drawMessage(t *rapid.T) any {
	holders := func(most int) []Holder { // nil if empty, as decoding gives it
		var hs []Holder
		for range rapid.IntRange(0, most).Draw(t, "holders") {
			hs = append(hs, drawHolder(t))
		}
		return hs
	}
	seat := func() Seat {
		return Seat{Index: rapid.IntRange(0, MaxFounders-1).Draw(t, "seat"), Serial: rapid.Uint64().Draw(t, "serial"), Holder: drawHolder(t)}
	}
	switch rapid.IntRange(0, 13).Draw(t, "kind") {
	case 10, 11, 12, 13:
		return drawGuard(t)
	case 8:
		return &Hold{ID: rapid.Uint64().Draw(t, "id"), From: drawHolder(t), Instance: drawID(t), For: drawPatience(t)}
	case 9:
		return &Offer{From: drawHolder(t), Instance: drawID(t), Window: drawWindow(t), Amount: drawTokens(t)}
	case 0:
		var rows []Row
		for range rapid.IntRange(0, 3).Draw(t, "rows") {
			rows = append(rows, drawRow(t))
		}
		return rows
	case 1:
		return &Ask{ID: rapid.Uint64().Draw(t, "id"), From: drawHolder(t), Instance: drawID(t), Window: drawWindow(t), Need: drawTokens(t), Want: drawTokens(t), At: drawInstant(t), Patience: drawPatience(t), Ahead: rapid.Bool().Draw(t, "ahead"), Demand: drawTokens(t), Floor: rapid.Bool().Draw(t, "floor"), Share: rapid.IntRange(RankNone, RankSmall).Draw(t, "share")}
	case 2:
		return &Refuse{ID: rapid.Uint64().Draw(t, "id"), From: drawHolder(t), Instance: drawID(t), Donors: holders(MaxHints)}
	case 3:
		return &Transfer{From: drawHolder(t), To: drawHolder(t), Instance: drawID(t), Window: drawWindow(t), Out: drawTokens(t), SharesOut: drawShares(t),
			First: drawWindow(t), Asked: drawInstant(t), AskID: rapid.Uint64().Draw(t, "id")}
	case 4:
		return &Ack{From: drawHolder(t), To: drawHolder(t), Instance: drawID(t), Window: drawWindow(t), In: drawTokens(t), SharesIn: drawShares(t)}
	case 5:
		p := &SeatPass{Seat: seat(), From: drawHolder(t), To: drawHolder(t), Charter: CharterID{1, 2}}
		for range rapid.IntRange(0, 20).Draw(t, "used") {
			p.Used = append(p.Used, rapid.Uint64().Draw(t, "hash"))
			p.Levels = append(p.Levels, Tokens(rapid.Int64Range(-1, int64(MaxTokens)).Draw(t, "level")))
		}
		return p
	case 6:
		return &SeatAck{Index: rapid.IntRange(0, MaxFounders-1).Draw(t, "seat"), Serial: rapid.Uint64().Draw(t, "serial"), From: drawHolder(t), To: drawHolder(t)}
	}
	d := &Digest{From: drawHolder(t), Charter: CharterID{9}}
	for range rapid.IntRange(0, 3).Draw(t, "seats") {
		d.Seats = append(d.Seats, seat())
	}
	for range rapid.IntRange(0, 3).Draw(t, "sums") {
		d.Holders = append(d.Holders, HolderDigest{drawHolder(t), rapid.IntRange(0, MaxRows).Draw(t, "rows"), rapid.Uint64().Draw(t, "highest"), rapid.Uint64().Draw(t, "hash")})
	}
	d.Retired = holders(3)
	for _, h := range holders(3) {
		d.Gone = append(d.Gone, Gone{h, drawHolder(t), Millis(rapid.Int64Range(0, 86_400_000).Draw(t, "age"))})
	}
	return d
}

// TestCodecRoundTrip: every message comes back as it was sent; one cut short never does.
func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b := Encode(m)
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v comes back as %+v: %v", m, got, err)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if got, err := Decode(b[:cut]); err == nil {
			t.Fatalf("%d of %d bytes of %+v are taken for %+v", cut, len(b), m, got)
		} else if !errors.Is(err, ErrWire) {
			t.Fatalf("an error of another kind: %v", err)
		}
	})
}

// TestStateRoundTrip: so do the records on disk.
func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := State{
			Genesis: TotalShares / 2, SharesIn: drawShares(t) / 2, Arriving: 5, ArrivingFirst: drawWindow(t), Window: drawWindow(t), Issues: true,
			Counted: drawShares(t), Base: drawTokens(t), Cut: drawTokens(t), Rolled: drawTokens(t), Minted: drawTokens(t), Overdrawn: drawTokens(t), Free: 7, Kept: Tokens(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "kept")),
			In: drawTokens(t), Out: drawTokens(t), Spent: drawTokens(t), Lapsed: drawTokens(t), Reserved: drawTokens(t), Debt: drawTokens(t),
			Overrun: drawTokens(t), Mark: drawTokens(t), MarkTill: drawInstant(t), Past: Past{Issued: drawTokens(t), Spent: drawTokens(t), Lapsed: drawTokens(t)}, At: drawInstant(t),
		}
		if rapid.Bool().Draw(t, "apart") {
			s.Decayed, s.Burned, s.Taken.Decayed, s.Taken.Burned = drawTokens(t), drawTokens(t), drawTokens(t), drawTokens(t)
			s.Past.Decayed, s.Past.Burned, s.Past.Rolled, s.Past.Minted, s.Past.Overdrawn = drawTokens(t), drawTokens(t), drawTokens(t), drawTokens(t), drawTokens(t)
		}
		if rapid.Bool().Draw(t, "heir") {
			s.Taken.Minted = drawTokens(t)
		}
		if got, err := DecodeState(EncodeState(&s)); err != nil || *got != s {
			t.Fatalf("%+v comes back as %+v: %v", s, got, err)
		}
		e := Entry{SharesOut: drawShares(t), SharesIn: drawShares(t), First: drawWindow(t), Window: drawWindow(t), Out: drawTokens(t), In: drawTokens(t),
			AckedShares: drawShares(t), AckedOut: drawTokens(t), Asked: drawInstant(t)}
		if got, err := DecodeEntry(EncodeEntry(&e)); err != nil || *got != e {
			t.Fatalf("%+v comes back as %+v: %v", e, got, err)
		}
	})
	for what, s := range map[string]State{
		"shares below none":    {SharesOut: 1},
		"more than all shares": {Genesis: TotalShares, SharesIn: 1},
		"more arriving":        {Genesis: 1, Arriving: 2},
		"more free":            {Genesis: 2, Arriving: 1, Free: 2},
	} {
		if _, err := DecodeState(EncodeState(&s)); !errors.Is(err, ErrWire) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestInstanceIDs: identities split into what made them, and nothing else is taken for one.
func TestInstanceIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget := rapid.StringN(1, 10, 30).Draw(t, "budget")
		values := rapid.SliceOfN(rapid.StringN(0, 10, 30), 0, 3).Draw(t, "values")
		id, err := NewInstanceID(CharterID{1}, budget, "compute", Grant, make([]string, len(values)), values)
		if err != nil {
			if len(id) > MaxInstanceIDLen {
				t.Fatal("an identity and an error")
			}
			return
		}
		b, vs, fp, err := id.Split()
		if err != nil || b != budget || len(vs) != len(values) || len(fp) != 12 {
			t.Fatalf("%q splits into %q %q %q: %v", id, b, vs, fp, err)
		}
		for i := range vs {
			if vs[i] != values[i] {
				t.Fatalf("value %q comes back as %q", values[i], vs[i])
			}
		}
	})
	if _, err := NewInstanceID(CharterID{}, "b", "t", Grant, []string{"tenant"}, []string{strings.Repeat("x", 300)}); err == nil || !strings.Contains(err.Error(), "tenant") {
		t.Errorf("a name that is too long: %v", err)
	}
	seen := map[InstanceID]bool{}
	for _, c := range []CharterID{{1}, {2}} {
		for _, k := range []Kind{Grant, Rate} {
			for _, token := range []string{"compute", "data"} {
				for _, per := range [][]string{{"tenant"}, {"agent"}} {
					id, err := NewInstanceID(c, "b", token, k, per, []string{"x"})
					if err != nil || seen[id] {
						t.Errorf("%s again: %v", id, err)
					}
					seen[id] = true
				}
			}
		}
	}
	if id := InstanceID("tenant-day/a%2Fb@012345678901"); id.Name() != "tenant-day/a%2Fb" {
		t.Errorf("name: %s", id.Name())
	}
	for _, bad := range []InstanceID{"", "b", "b@", "b@0123", "@012345678901", "b/%zz@012345678901", "b%41@012345678901", "a b@012345678901", "/b@012345678901"} {
		if _, _, _, err := bad.Split(); err == nil {
			t.Errorf("%q is taken for an identity", bad)
		}
	}
}

// TestRowSize: the summary that all nodes gossip stays small.
func TestRowSize(t *testing.T) {
	id, _ := NewInstanceID(CharterID{7}, "tenant-day", "compute", Windowed, []string{"tenant"}, []string{"search-and-ranking"})
	row := Row{
		Holder: Holder{Node: "inference-node-0147.eu-west-1", Gen: 1_750_000_000_123}, Instance: id, Version: 123_456_789, Window: 1_790_000_000,
		Shares: 123_456_789, Issued: 10_000_000, Minted: 1_000_000, Overdrawn: 100_000, In: 3_000_000, Out: 2_000_000, Spent: 8_000_000,
		Reserved: 50_000, Lapsed: 1_000_000, Debt: 1000, Surplus: 900_000, Demand: 50_000, Unmet: 9000, Free: 99_999,
	}
	if n := len(Encode([]Row{row})) - len(Encode([]Row{})); n > 180 {
		t.Errorf("a row takes %d bytes", n)
	} else {
		t.Logf("a row takes %d bytes", n)
	}
}

// TestOlderRecords: rows and accounts of the first version lack the field at their end. It is 0 then.
func TestOlderRecords(t *testing.T) {
	id, err := NewInstanceID(CharterID{7}, "day", "compute", Windowed, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := Row{Holder: Holder{Node: "a", Gen: 1}, Instance: id, Version: 3, Shares: 20, Unmet: 9}
	b := Encode([]Row{row})
	older := bytes.Clone(b[:len(b)-1]) // Free is one byte
	older[5]--                         // after kind, version and the list's head: an array of more than 15
	if got, err := Decode(older); err != nil || got.([]Row)[0] != row {
		t.Errorf("an older row comes as %+v: %v", got, err)
	}
	s := State{Genesis: TotalShares, Window: 60, Issues: true, Counted: TotalShares, Base: 3}
	b = EncodeState(&s)
	older = bytes.Clone(b[:len(b)-2])
	older[4] -= 2
	if got, err := DecodeState(older); err != nil || *got != s {
		t.Errorf("an older account comes as %+v: %v", got, err)
	}
	// Those before lapses were told apart: what this version writes as long as there is nothing to tell.
	row.Lapsed, row.Used, row.Price = 9, 7, 1_000_000
	b = Encode([]Row{row})
	row.Decayed = 5
	if got := Encode([]Row{row}); len(got) != len(b)+3 {
		t.Errorf("to tell lapses apart takes %d bytes", len(got)-len(b))
	} else if older, err := Decode(b); err != nil || older.([]Row)[0].Lapses() != (Lapses{Expired: 9}) {
		t.Errorf("a row that tells nothing apart comes as %+v: %v", older, err)
	} else if _, err := Decode(Encode([]Row{{Holder: row.Holder, Instance: id, Lapsed: 9, Decayed: 5, Burned: 5}})); !errors.Is(err, ErrWire) {
		t.Errorf("more parts than lapsed: %v", err)
	}
	row = Row{Holder: Holder{Node: "a", Gen: 1}, Instance: id, Version: 3, Shares: 20, Unmet: 9}
	full := State{Genesis: TotalShares, Window: 60, Issues: true, Counted: TotalShares, Base: 9, Lapsed: 6, Past: Past{Issued: 9, Lapsed: 9}, Taken: Taken{Issued: 3, Lapsed: 3}}
	b = EncodeState(&full)
	if got, err := DecodeState(b); err != nil || *got != full || got.Lapses() != (Lapses{Expired: 6}) {
		t.Errorf("an account that tells nothing apart comes as %+v: %v", got, err)
	}
	full.Decayed, full.Burned, full.Taken.Burned, full.Past.Decayed = 1, 2, 3, 4
	if got := EncodeState(&full); len(got) != len(b)+9 {
		t.Errorf("to tell an account's lapses apart takes %d bytes", len(got)-len(b))
	} else if back, err := DecodeState(got); err != nil || *back != full {
		t.Errorf("it comes back as %+v: %v", back, err)
	}
	pass := &SeatPass{Seat: Seat{Holder: row.Holder}, From: row.Holder, To: row.Holder}
	b = Encode(pass)
	older = bytes.Clone(b[:len(b)-1])
	older[2]--
	if got, err := Decode(older); err != nil || !reflect.DeepEqual(got, pass) {
		t.Errorf("an older hand-over comes as %+v: %v", got, err)
	}
}

// TestNewerPeers: fields that a newer version adds are passed over; kinds that it adds are not errors.
func TestNewerPeers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		if rows, ok := m.([]Row); ok {
			rows = append(rows, drawRow(t))[:1]                                 // the row grows, not the list
			rows[0].Lapsed, rows[0].Burned = rows[0].Lapsed+1, rows[0].Burned+1 // so that it has all its fields: those at the end are left out when they say nothing
			rows[0].Claims[0].Asked = max(1, rows[0].Claims[0].Asked)
			rows[0].Alone, rows[0].Inherited = true, max(1, rows[0].Inherited)
			m = rows
		}
		b := Encode(m)
		head := 2
		if _, ok := m.([]Row); ok {
			head = 3
		}
		grown, ok := appendField(b, head)
		if !ok {
			t.Fatalf("not an array: %x", b[head])
		}
		grown[1]++ // the version
		if got, err := Decode(grown); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v comes back as %+v: %v", m, got, err)
		}
	})
	for _, kind := range []byte{0, 31, 40, 63, 200, 255} {
		if m, err := Decode([]byte{kind, 1, 0x90}); m != nil || err != nil {
			t.Errorf("kind %d: %v, %v", kind, m, err)
		}
	}
}

// appendField makes the array at b[head] one field longer, by a map that nests.
func appendField(b []byte, head int) ([]byte, bool) {
	out := append([]byte{}, b[:head]...)
	switch c := b[head]; {
	case c >= 0x90 && c < 0x9f:
		out = append(out, c+1)
		out = append(out, b[head+1:]...)
	case c == 0x9f:
		out = append(append(out, 0xdc, 0, 16), b[head+1:]...)
	case c == 0xdc:
		out = append(append(out, 0xdc, b[head+1], b[head+2]+1), b[head+3:]...)
	default:
		return nil, false
	}
	extra, _ := msgpack.Marshal(map[string]any{"new": []int{1, 2, 3}})
	return append(out, extra...), true
}

// TestDecodeBounds: lengths and amounts out of range are refused before anything is allocated for them.
func TestDecodeBounds(t *testing.T) {
	long := strings.Repeat("n", MaxNameLen+1)
	h := Holder{Node: "n", Gen: 1}
	id := InstanceID("b@012345678901")
	for what, m := range map[string]any{
		"a long name":         &SeatAck{From: Holder{Node: long}, To: h},
		"no name":             &SeatAck{From: Holder{}, To: h},
		"a negative amount":   &Ask{From: h, Instance: id, Need: -1},
		"a huge amount":       &Ask{From: h, Instance: id, Need: 1<<60 + 1},
		"negative shares":     &Ack{From: h, To: h, Instance: id, SharesIn: -1},
		"a far whole rate":    []Row{{Holder: h, Instance: id, Whole: 1<<62 + 1}},
		"too many shares":     []Row{{Holder: h, Instance: id, Shares: TotalShares + 1}},
		"a far window":        &Ack{From: h, To: h, Instance: id, Window: 1 << 51},
		"a far instant":       &Ask{From: h, Instance: id, At: 1<<62 + 1},
		"no instance":         &Ask{From: h},
		"a malformed one":     &Ask{From: h, Instance: "b@x"},
		"a seat too many":     &SeatPass{Seat: Seat{Index: MaxFounders, Holder: h}, From: h, To: h},
		"a level too few":     &SeatPass{Seat: Seat{Holder: h}, From: h, To: h, Used: []uint64{1, 2}, Levels: []Tokens{1}},
		"a level too many":    &SeatPass{Seat: Seat{Holder: h}, From: h, To: h, Used: []uint64{1}, Levels: []Tokens{1, 2}},
		"a level below -1":    &SeatPass{Seat: Seat{Holder: h}, From: h, To: h, Used: []uint64{1}, Levels: []Tokens{-2}},
		"a level too high":    &SeatPass{Seat: Seat{Holder: h}, From: h, To: h, Used: []uint64{1}, Levels: []Tokens{MaxTokens + 1}},
		"a seat below none":   &SeatPass{Seat: Seat{Index: -1, Holder: h}, From: h, To: h},
		"a digest below none": &Digest{From: h, Holders: []HolderDigest{{Holder: h, Rows: -1}}},
		"too many donors":     &Refuse{From: h, Instance: id, Donors: []Holder{h, h, h, h}},
	} {
		if got, err := Decode(Encode(m)); !errors.Is(err, ErrWire) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, b := range [][]byte{nil, {1}, {1, 0, 0x90}, {1, 1, 0xdd, 0xff, 0xff, 0xff, 0xff}, {8, 1, 0x95, 0xdb, 0xff, 0xff, 0xff, 0xff}, {11, 1, 0x9a, 0xdb, 0xff, 0xff, 0xff, 0xff}} {
		if _, err := Decode(b); !errors.Is(err, ErrWire) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func seedMessages(f *testing.F) {
	h, id := Holder{Node: "n1", Gen: 5}, InstanceID("tenant-day/search@1f0c94a2b7e3")
	for _, m := range []any{
		[]Row{{Holder: h, Instance: id, Version: 3, Shares: 7, Issued: 9}}, []Row{{Holder: h, Instance: id, Version: 4, Whole: 1_790_000_000_000}}, &Ask{ID: 1, From: h, Instance: id, Need: 5, Want: 9, At: 77},
		&Refuse{ID: 1, From: h, Instance: id, Donors: []Holder{h}}, &Transfer{From: h, To: h, Instance: id, Out: 5, SharesOut: 6},
		&Ack{From: h, To: h, Instance: id, In: 5}, &SeatPass{Seat: Seat{0, 1, h}, From: h, To: h, Used: []uint64{1, 2}, Levels: []Tokens{-1, 600}},
		&Hold{ID: 1, From: h, Instance: id, For: 50}, &Offer{From: h, Instance: id, Amount: 7},
		&guardian.Note{From: h, To: h, Set: []Holder{h}, Version: 3, Sent: 5, Lease: 6, Records: []guardian.Record{{Key: "account/x", Value: []byte{1}}, {Key: "entry/x"}}},
		&guardian.NoteAck{From: h, To: h, Version: 3}, &guardian.Refused{From: h, To: h}, &guardian.Release{From: h, To: h},
		&guardian.Prepare{Of: h, To: h, Ballot: guardian.Ballot{Round: 1, By: h}}, &guardian.Accepted{Of: h, From: h},
		&guardian.Promise{Of: h, From: h, Value: &guardian.Value{Version: 1, Heir: h}}, &guardian.Accept{Of: h, To: h, Value: guardian.Value{Version: 1, Heir: h}},
		&guardian.Reject{Of: h, From: h, Wait: 5}, &guardian.Decided{Of: h, From: h, To: h, Value: guardian.Value{Version: 1, Heir: h}},
		&guardian.Fetch{Of: h, From: h, Version: 3, After: "account/x"}, &guardian.Part{Of: h, From: h, To: h, Version: 3, Records: []guardian.Record{{Key: "seat/0", Value: []byte{1}}}, More: true},
		&WordAsk{ID: 1, From: h, Dir: h, To: h, Dead: []Holder{h}, Live: []Holder{h}}, &WordOver{ID: 1, From: h, To: h}, &WordDoubt{ID: 1, By: h, Dir: h, From: h, Dead: []Holder{h}},
		&WordAnswer{ID: 1, From: h, To: h, Code: 2, Refused: "alive"}, &WordAnswer{ID: 1, From: h, To: h, Parts: 1, Retired: []Holder{h}, Seats: []Seat{{0, 1, h}}, Held: []WordSeat{{Seat{0, 1, h}, []uint64{4, 5}}},
			Accounts: []WordAccount{{id, -5, 6, 7, []WordPair{{h, 1, 2, 3, 4, 5}}}}},
		&SeatAck{From: h, To: h}, &Digest{From: h, Buried: []Holder{h}, Seats: []Seat{{0, 1, h}}, Holders: []HolderDigest{{h, 1, 2, 3}}},
	} {
		f.Add(Encode(m))
	}
}

// FuzzDecode: whatever comes is an error or a message that encodes to itself; and a replica takes it.
func FuzzDecode(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil || m == nil {
			return
		}
		once := Encode(m)
		again, err := Decode(once)
		if err != nil || !bytes.Equal(Encode(again), once) {
			t.Fatalf("%+v does not survive: %v", m, err)
		}
		w := newWorld(2, 2, 1, map[string][]Spec{"b": {window(1000, 20_000)}, "r": {answering(500)}})
		w.fatalf, w.logf = t.Fatalf, func(string, ...any) {}
		n := w.nodes[0]
		n.r.Open(n.clock(), w.ids[0])
		n.r.Open(n.clock(), w.ids[1])
		n.batch(commit, nil)
		n.r.Receive(n.clock(), m)
		if rows, ok := m.([]Row); ok { // of an instance that is known here
			for i := range rows {
				rows[i].Instance = w.ids[1]
			}
			n.r.Receive(n.clock(), rows)
			if ppm := n.part(); ppm != Whole {
				t.Fatalf("refusals of one instance lower another's rate to %d", ppm)
			}
			if ppm, _ := n.r.Account(w.ids[1]).Part(n.clock()); ppm < 200_000 || ppm > Whole {
				t.Fatalf("%d ppm of the rate are in force", ppm)
			}
		}
		if n.r.Conservation() != 0 {
			t.Fatalf("%+v breaks the equations", m)
		}
		n.r.Tick(n.clock())
		n.r.Writes(n.clock())
		n.r.Commit(n.clock())
		if n.r.Conservation() != 0 {
			t.Fatalf("%+v breaks the equations", m)
		}
	})
}

// FuzzRecords: whatever a disk says is an error or a record that encodes to itself.
func FuzzRecords(f *testing.F) {
	f.Add(EncodeState(&State{Genesis: 5, Issues: true, Window: 9, Base: 7, Mark: 3}))
	f.Add(EncodeEntry(&Entry{SharesOut: 5, Window: 9, Out: 4}))
	c, _ := NewCharter("x", []Holder{{Node: "a", Gen: 1}, {Node: "b", Gen: 2}}, [16]byte{1})
	f.Add(EncodeCharter(&c))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeState(b); err == nil {
			if got, err := DecodeState(EncodeState(s)); err != nil || *got != *s {
				t.Fatalf("%+v does not survive: %v", s, err)
			}
		}
		if e, err := DecodeEntry(b); err == nil {
			if got, err := DecodeEntry(EncodeEntry(e)); err != nil || *got != *e {
				t.Fatalf("%+v does not survive: %v", e, err)
			}
		}
		if c, err := DecodeCharter(b); err == nil {
			if got, err := DecodeCharter(EncodeCharter(&c)); err != nil || !reflect.DeepEqual(got, c) {
				t.Fatalf("%+v does not survive: %v", c, err)
			}
		}
	})
}

// FuzzInstanceID: what splits is spelled in one way only.
func FuzzInstanceID(f *testing.F) {
	f.Add("tenant-day/search@1f0c94a2b7e3")
	f.Add("a%40b/%2F@1f0c94a2b7e3")
	f.Fuzz(func(t *testing.T, s string) {
		budget, values, fp, err := InstanceID(s).Split()
		if err != nil {
			return
		}
		id, err := NewInstanceID(CharterID{}, budget, "t", Grant, make([]string, len(values)), values)
		if err != nil || id.Name()+"@"+fp != s {
			t.Fatalf("%q is also spelled %q: %v", s, id, err)
		}
	})
}
