package audit

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

func drawRecord(t *rapid.T) Record {
	word := rapid.StringN(0, 12, 40)
	num := rapid.Int64()
	r := Record{Kind: Kind(rapid.IntRange(1, 40).Draw(t, "kind")), At: rapid.Int64Range(0, 1<<62).Draw(t, "at")}
	for i, s := range r.texts() {
		*s = word.Draw(t, "text")
		_ = i
	}
	for _, n := range []*int64{
		&r.Revision, &r.WaitedMS, &r.RetryMS, &r.Level, &r.AdviceMax, &r.Prompt, &r.MaxOutput, &r.UsedPrompt, &r.UsedOutput,
		&r.Cached, &r.Think, &r.Tokens, &r.Shares, &r.From, &r.Count,
	} {
		*n = num.Draw(t, "number")
	}
	copy(r.Trace[:], rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "trace"))
	copy(r.Span[:], rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "span"))
	for range rapid.IntRange(0, 3).Draw(t, "lists") {
		r.Rules = append(r.Rules, word.Draw(t, "rule"))
		r.Data = append(r.Data, word.Draw(t, "data"))
		r.Draws = append(r.Draws, Draw{word.Draw(t, "instance"), word.Draw(t, "token"), num.Draw(t, "amount"), num.Draw(t, "price"), num.Draw(t, "before"), num.Draw(t, "after"), num.Draw(t, "overrun")})
		r.Shared = append(r.Shared, Standing{word.Draw(t, "instance"), num.Draw(t, "asked"), num.Draw(t, "share"), rapid.Bool().Draw(t, "small"), rapid.Bool().Draw(t, "under")})
		r.Samples = append(r.Samples, Sample{word.Draw(t, "series"), rapid.Float64().Draw(t, "value")})
	}
	return r
}

// What is written is read back as it was, and has one encoding.
func TestRecordsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		b := Append(nil, &r)
		back, err := Decode(b)
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("%v\nwrote %+v\nread  %+v", err, r, back)
		}
		if again := Append([]byte("x"), &back); !bytes.Equal(again[1:], b) {
			t.Fatal("a second encoding")
		}
	})
}

func TestRecordsAreBounded(t *testing.T) {
	long := strings.Repeat("ü", 3000)
	r := Record{Kind: Decision, At: -5, Reason: long, Tenant: long}
	for range 300 {
		r.Data, r.Rules = append(r.Data, long), append(r.Rules, long)
		r.Draws = append(r.Draws, Draw{Instance: long, Token: long})
		r.Shared = append(r.Shared, Standing{Instance: long})
		r.Samples = append(r.Samples, Sample{long, 1})
	}
	data := r.Data
	b := Append(nil, &r)
	if len(b) > MaxRecord {
		t.Fatalf("%d bytes", len(b))
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(back.Reason) > maxText || !strings.HasSuffix(back.Reason, "ü") || back.At != 0 {
		t.Errorf("reason of %d bytes at %d", len(back.Reason), back.At)
	}
	if data[0] != long {
		t.Error("the caller's list was changed")
	}
}

func TestDecodeRefuses(t *testing.T) {
	field := func(f protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, f, protowire.BytesType), s)
	}
	head := Append(nil, &Record{Kind: Mint, At: 1})
	for name, b := range map[string][]byte{
		"nothing":           {},
		"no kind":           field(fID, "x"),
		"out of order":      append(field(fID, "x"), head...),
		"twice":             append(append(append([]byte(nil), head...), field(fID, "x")...), field(fID, "y")...),
		"an empty text":     append(append([]byte(nil), head...), field(fID, "")...),
		"a zero":            append(append([]byte(nil), head...), protowire.AppendVarint(protowire.AppendTag(nil, fRevision, protowire.VarintType), 0)...),
		"a long number":     append(append(append([]byte(nil), head...), protowire.AppendTag(nil, fRevision, protowire.VarintType)...), 0x82, 0x00),
		"a wrong type":      append(append([]byte(nil), head...), field(fRevision, "x")...),
		"a long text":       append(append([]byte(nil), head...), field(fID, strings.Repeat("x", maxText+1))...),
		"a trace of 3":      append(append([]byte(nil), head...), field(fTrace, "abc")...),
		"a zero trace":      append(append([]byte(nil), head...), field(fTrace, strings.Repeat("\x00", 16))...),
		"an end":            append(append([]byte(nil), head...), 0xff),
		"more than is read": bytes.Repeat([]byte{1}, MaxRecord+1),
	} {
		if _, err := Decode(b); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	// A newer version's field is passed over.
	newer := append(append([]byte(nil), head...), field(lastField+3, "new")...)
	if r, err := Decode(newer); err != nil || r.Kind != Mint {
		t.Errorf("%+v, %v", r, err)
	}
}

// FuzzDecode: whatever is read was written in the one way that Append has, but for fields of a newer version.
func FuzzDecode(f *testing.F) {
	f.Add(entry(1))
	f.Add(Append(nil, &Record{Kind: End, At: 5, State: "settled", Draws: []Draw{{Instance: "pot", Token: "compute", Amount: 5}}, Trace: [16]byte{1}}))
	f.Add(Append(nil, &Record{Kind: Metrics, At: 5, Samples: []Sample{{`up{a="b"}`, 0.5}, {Series: "x"}}}))
	f.Add(Append(nil, &Record{Kind: Decision, At: 5, Shared: []Standing{{"pot", 1500, 1000, true, false}, {Instance: "day", Under: true}}}))
	f.Add([]byte{8, 2, 16, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		again := Append(nil, &r)
		back, err := Decode(again)
		if err != nil || !bytes.Equal(Append(nil, &back), again) { // a sample that is no number equals nothing, not even itself
			t.Fatalf("%v: %+v and %+v", err, r, back)
		}
		if len(again) > len(b) {
			t.Fatalf("%d bytes came to %d", len(b), len(again))
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	r := Record{
		Kind: Decision, At: 1 << 40, ID: "node-17.0123456789abcdef", Tenant: "search", Agent: "crawler", Class: "standard", Model: "gpt-4o",
		Verdict: "admit", Code: "ok", Reason: "rights at hand", Rules: []string{"rule 1"}, Revision: 7, Prompt: 1200, MaxOutput: 600,
		Draws: []Draw{{"gpu-pool", "compute", 1800, 1_000_000, 50_000, 48_200, 0}, {"tenant-day/search", "compute", 1800, 1_000_000, 50_000, 48_200, 0}},
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], &r)
	}
	b.SetBytes(int64(len(buf)))
}
