package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func TestRoundTrips(t *testing.T) {
	d := Document{Source: []byte("revision: 1"), By: "op", Since: time.UnixMilli(1_700_000_000_000)}
	got, err := DecodeDocument(EncodeDocument(&d))
	if err != nil || !bytes.Equal(got.Source, d.Source) || got.By != d.By || !got.Since.Equal(d.Since) {
		t.Errorf("%+v became %+v, %v", d, got, err)
	}
	h := Have{Node: "n1", Revision: 7, Hash: [32]byte{1, 2}}
	if got, err := DecodeHave(EncodeHave(&h)); err != nil || got != h {
		t.Errorf("%+v became %+v, %v", h, got, err)
	}
	parts, err := SplitParts(JoinParts([][]byte{[]byte("a"), {}, []byte("bc")}))
	if err != nil || len(parts) != 3 || string(parts[2]) != "bc" {
		t.Errorf("%q, %v", parts, err)
	}
	if parts, err := SplitParts(nil); parts != nil || err != nil {
		t.Errorf("no state is %q, %v", parts, err)
	}
}

func TestMalformed(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":         {},
		"version 0":     append([]byte{0}, EncodeHave(&Have{Node: "a"})[1:]...),
		"too few":       {version, 0x91, 0xa1, 'a'},
		"long name":     EncodeHave(&Have{Node: string(make([]byte, 300))}),
		"4 GB":          {version, 0x93, 0xc6, 0xff, 0xff, 0xff, 0xff},
		"short hash":    encode("a", int64(1), []byte{1}),
		"cut short":     EncodeHave(&Have{Node: "a"})[:6],
		"text for ints": encode("a", "b", make([]byte, 32)),
	} {
		if _, err := DecodeHave(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	// A newer version may add fields.
	more := encode("a", int64(1), make([]byte, 32), "new")
	more[0] = 9
	if h, err := DecodeHave(more); err != nil || h.Node != "a" {
		t.Errorf("a newer word: %+v, %v", h, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(EncodeDocument(&Document{Source: []byte("x"), By: "y"}))
	f.Add(EncodeHave(&Have{Node: "n1", Revision: 7}))
	f.Add(JoinParts([][]byte{[]byte("a"), []byte("bc")}))
	f.Add(EncodeWords(manyWords()))
	f.Add(EncodeHaveFrozen(&HaveFrozen{Node: "n1", Hash: [32]byte{1}}))
	f.Add(EncodeAuditHead(&AuditHead{Node: "n1", Key: "k", Note: []byte("note"), From: 5, Gone: true, Proof: [][32]byte{{1}, {2}}}))
	f.Add(EncodeAuditAnswer(&AuditAnswer{Key: "k", Note: []byte("note"), Want: true}))
	f.Add([]byte{version, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add(EncodeEntries(manyEntries()))
	f.Add(EncodeTally(rollout.Key{Revision: 3}, manyRows()))
	f.Add(EncodeSums([16]byte{1}, manySums()))
	f.Add(EncodeWant(rollout.Key{Revision: 3, Hash: [32]byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzRollout(t, b)
		fuzzSums(t, b)
		if d, err := DecodeDocument(b); err == nil && len(d.Source)+len(d.By) > len(b) {
			t.Errorf("%d bytes came out of %d", len(d.Source)+len(d.By), len(b))
		}
		if h, err := DecodeHave(b); err == nil {
			if again, err := DecodeHave(EncodeHave(&h)); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if ws, err := DecodeWords(b); err == nil {
			if again, err := DecodeWords(EncodeWords(ws)); err != nil || !slices.Equal(again, ws) {
				t.Errorf("%+v became %+v, %v", ws, again, err)
			}
			for _, w := range ws {
				if err := w.Valid(); err != nil {
					t.Errorf("%+v: %v", w, err)
				}
			}
		}
		if h, err := DecodeHaveFrozen(b); err == nil {
			if again, err := DecodeHaveFrozen(EncodeHaveFrozen(&h)); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if h, err := DecodeAuditHead(b); err == nil {
			if again, err := DecodeAuditHead(EncodeAuditHead(&h)); err != nil || !reflect.DeepEqual(again, h) {
				t.Errorf("%+v became %+v, %v", h, again, err)
			}
		}
		if a, err := DecodeAuditAnswer(b); err == nil {
			if again, err := DecodeAuditAnswer(EncodeAuditAnswer(&a)); err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("%+v became %+v, %v", a, again, err)
			}
		}
		parts, err := SplitParts(b)
		total := 0
		for _, p := range parts {
			total += len(p)
		}
		if err == nil && total > len(b) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
	})
}

func TestSignedWord(t *testing.T) {
	w := freeze.Word{Key: freeze.Key{Tenant: "signed"}, Frozen: true, At: 7, Node: "n1", Why: "w", Who: trust.Key{1}, Sig: [64]byte{2}}
	if got, err := DecodeWords(EncodeWords([]freeze.Word{w})); err != nil || len(got) != 1 || got[0] != w {
		t.Errorf("%+v, %v", got, err)
	}
	w.By = "somebody"
	if got, err := DecodeWords(EncodeWords([]freeze.Word{w})); err == nil {
		t.Errorf("a signed word that says by whom beside that: %+v", got)
	}
}

func manyWords() []freeze.Word {
	return []freeze.Word{
		{Key: freeze.Key{Instance: "day/search"}, Frozen: true, At: 1_700_000_000_000, Node: "n1", By: "127.0.0.1:1", Why: "runaway"},
		{Key: freeze.Key{Tenant: "search"}, At: 2, Node: "n2"},
		{Key: freeze.Key{Tenant: "search", Agent: "crawler"}, Frozen: true, Node: "n2"},
	}
}

func TestWords(t *testing.T) {
	want := manyWords()
	got, err := DecodeWords(EncodeWords(want))
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	// A newer version may add fields to a word.
	longer := encode(append([]any{}, "i", "", "", int64(1), int64(7), "n1", "by", "why", "new")...)
	if got, err := DecodeWords(encode(longer)); err != nil || len(got) != 1 || got[0].Instance != "i" || !got[0].Frozen {
		t.Errorf("%+v, %v", got, err)
	}
	long := strings.Repeat("x", freeze.MaxField+1)
	for name, b := range map[string][]byte{
		"empty":            {},
		"too many":         append([]byte{version, 0xdd}, 0, 0, 0xff, 0xff),
		"4 GB":             {version, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff},
		"no words in it":   encode("a"),
		"names nothing":    encode(encode("", "", "", int64(1), int64(7), "n1", "", "")),
		"names two":        encode(encode("i", "t", "", int64(1), int64(7), "n1", "", "")),
		"half frozen":      encode(encode("i", "", "", int64(2), int64(7), "n1", "", "")),
		"before all times": encode(encode("i", "", "", int64(1), int64(-7), "n1", "", "")),
		"long name":        encode(encode("", long, "", int64(1), int64(7), "n1", "", "")),
		"one good one bad": encode(encode("i", "", "", int64(1), int64(7), "n1", "", ""), encode("i")),
		"too few fields":   encode(encode("i", "", "", int64(1), int64(7), "n1", "")),
	} {
		if ws, err := DecodeWords(b); !errors.Is(err, ErrMalformed) || ws != nil {
			t.Errorf("%s: %v, error %v", name, ws, err)
		}
	}
	// Words of any size go in messages that are small enough, and all of them.
	var all []freeze.Word
	for i := range freeze.MaxWords {
		w := want[0]
		w.Instance, w.Why = fmt.Sprint(i), strings.Repeat("y", freeze.MaxWhy)
		all = append(all, w)
	}
	var back []freeze.Word
	for _, p := range EncodeWordsInParts(all) {
		ws, err := DecodeWords(p)
		if err != nil || len(p) > wordsInParts {
			t.Fatalf("%d bytes, %v", len(p), err)
		}
		back = append(back, ws...)
	}
	if !slices.Equal(back, all) {
		t.Error("words were lost in parts")
	}
}
