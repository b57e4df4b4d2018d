package wire

import (
	"bytes"
	"errors"
	"testing"
	"time"
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
	f.Add([]byte{version, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := DecodeDocument(b); err == nil && len(d.Source)+len(d.By) > len(b) {
			t.Errorf("%d bytes came out of %d", len(d.Source)+len(d.By), len(b))
		}
		if h, err := DecodeHave(b); err == nil {
			if again, err := DecodeHave(EncodeHave(&h)); err != nil || again != h {
				t.Errorf("%+v became %+v, %v", h, again, err)
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
