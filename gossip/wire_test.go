package gossip

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

var genPayload = rapid.OneOf(
	rapid.SliceOfN(rapid.Byte(), 0, 20),
	rapid.Map(rapid.SampledFrom([]int{0, 31, 32, 255, 256, 65535, 65536}), func(n int) []byte { return bytes.Repeat([]byte{0x5a}, n) }),
)

func TestFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sender := rapid.StringMatching(`[a-z0-9.-]{1,128}`).Draw(t, "sender")
		payloads := rapid.SliceOfN(genPayload, 1, 20).Draw(t, "payloads")
		frame := appendMessages(nil, sender, payloads...)

		size := frameSize(sender)
		for _, p := range payloads {
			size += binSize(len(p))
		}
		if len(frame) > size {
			t.Fatalf("frame of %d bytes, foreseen %d", len(frame), size)
		}
		got, back, err := decodeMessages(frame)
		if err != nil || got != sender || !slices.EqualFunc(payloads, back, bytes.Equal) {
			t.Fatalf("sent %q %x, came back %q %x, %v", sender, payloads, got, back, err)
		}
		for cut := range min(len(frame), 300) { // and nothing shorter is taken for it
			if _, _, err := decodeMessages(frame[:cut]); err == nil {
				t.Fatalf("the first %d of %d bytes were taken for a frame", cut, len(frame))
			}
		}
	})
}

// The encoders are written out by hand; the library must read what they write, and they must write
// what it writes.
func TestEncodersSpeakMsgpack(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 31, 32, 127, 128} {
		s := strings.Repeat("s", n)
		if lib, _ := msgpack.Marshal(s); !bytes.Equal(lib, appendString(nil, s)) {
			t.Errorf("string of %d: %x, library %x", n, appendString(nil, s), lib)
		}
		var buf bytes.Buffer
		if err := msgpack.NewEncoder(&buf).EncodeArrayLen(n); err != nil || !bytes.Equal(buf.Bytes(), appendArrayLen(nil, n)) {
			t.Errorf("array of %d: %x, library %x", n, appendArrayLen(nil, n), buf.Bytes())
		}
	}
	for _, n := range []int{0, 255, 256, 65535, 65536} {
		b := make([]byte, n)
		lib, _ := msgpack.Marshal(b)
		if own := appendBin(nil, b); !bytes.Equal(lib, own) || binSize(n) != len(own) {
			t.Errorf("bin of %d: %d bytes, binSize %d, library %d bytes", n, len(own), binSize(n), len(lib))
		}
	}
}

func TestWhatIsNewerIsIgnored(t *testing.T) {
	plain := appendMessages(nil, "n1", []byte("x"))
	edit := func(at int, b byte) []byte {
		f := slices.Clone(plain)
		f[at] = b
		return f
	}
	longer := append(edit(2, 0x93), 0xc3) // a third element, true
	nested := append(edit(2, 0x93), bytes.Repeat([]byte{0x91}, 1000)...)
	for _, tc := range []struct {
		what  string
		frame []byte
		err   error
	}{
		{"ours", plain, nil},
		{"a later element", longer, nil},
		{"a later element, deep and without end", nested, nil},
		{"an unknown kind", edit(0, kindMax), errKind},
		{"a newer version", edit(1, wireVersion+1), errVersion},
		{"version 0", edit(1, 0), errMalformed},
		{"a map", edit(2, 0x82), errMalformed},
		{"too short an array", edit(2, 0x91), errMalformed},
		{"no sender", append([]byte{kindMessages, 1, 0x92, 0xa0}, 0x91, 0xc4, 0), errMalformed},
		{"nil sender", append([]byte{kindMessages, 1, 0x92, 0xc0}, 0x91, 0xc4, 0), errMalformed},
		{"a sender of 4 GB", []byte{kindMessages, 1, 0x92, 0xdb, 0xff, 0xff, 0xff, 0xff, 'a'}, errMalformed},
		{"no payloads", append([]byte{kindMessages, 1, 0x92, 0xa1, 'a'}, 0x90), errMalformed},
		{"4 G payloads", []byte{kindMessages, 1, 0x92, 0xa1, 'a', 0xdd, 0xff, 0xff, 0xff, 0xff}, errMalformed},
		{"a payload of 4 GB", []byte{kindMessages, 1, 0x92, 0xa1, 'a', 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff}, errMalformed},
		{"nothing", nil, errMalformed},
	} {
		if _, _, err := decodeMessages(tc.frame); !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", tc.what, err, tc.err)
		}
	}
}

func TestStateStandsBehindSerfs(t *testing.T) {
	serfs := []byte("\x02serf's own state")
	both := appendState(slices.Clone(serfs), "n1", []byte("ours"))
	front, ours := splitState(both)
	if !bytes.Equal(front, serfs) {
		t.Errorf("serf gets %q", front)
	}
	if from, state, err := decodeState(ours); err != nil || from != "n1" || string(state) != "ours" {
		t.Errorf("we get %q %q %v", from, state, err)
	}
	for what, buf := range map[string][]byte{
		"of plain serf":         serfs,
		"with the magic only":   append(slices.Clone(serfs), stateMagic[:]...),
		"with too long a claim": append(append(slices.Clone(serfs), 0xff, 0xff, 0xff, 0xff), stateMagic[:]...),
		"empty":                 nil,
	} {
		if front, ours := splitState(buf); ours != nil && len(front)+len(ours)+12 > len(buf) || (what != "with the magic only" && ours != nil) {
			t.Errorf("state %s: split into %q and %q", what, front, ours)
		}
	}
}

func FuzzDecodeMessages(f *testing.F) {
	f.Add(appendMessages(nil, "n1", []byte("one"), nil, bytes.Repeat([]byte("x"), 300)))
	f.Add([]byte{kindMessages, 1, 0x92, 0xa1, 'a', 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{kindMessages, 1, 0x93, 0xa1, 'a', 0x91, 0xc4, 1, 'x', 0x91})
	f.Fuzz(func(t *testing.T, frame []byte) {
		sender, payloads, err := decodeMessages(frame)
		if err != nil {
			return
		}
		if len(sender) == 0 || len(sender) > MaxName || len(payloads) == 0 || len(payloads) > maxBatch {
			t.Fatalf("sender of %d bytes, %d payloads", len(sender), len(payloads))
		}
		total := 0
		for _, p := range payloads {
			total += len(p)
		}
		if total > len(frame) {
			t.Fatalf("%d bytes of payload in a frame of %d", total, len(frame))
		}
		again, back, err := decodeMessages(appendMessages(nil, sender, payloads...))
		if err != nil || again != sender || !slices.EqualFunc(payloads, back, bytes.Equal) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add(appendState([]byte("\x02serf"), "n1", []byte("ours")))
	f.Add(append([]byte{0, 0, 0, 0}, stateMagic[:]...))
	f.Fuzz(func(t *testing.T, buf []byte) {
		front, ours := splitState(buf)
		if !bytes.HasPrefix(buf, front) {
			t.Fatal("serf's part is not the front")
		}
		if ours == nil {
			return
		}
		from, state, err := decodeState(ours)
		if err == nil && (len(from) > MaxName || len(state) > len(ours)) {
			t.Fatalf("from %q, %d bytes of state out of %d", from, len(state), len(ours))
		}
	})
}
