package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// split feeds s in pieces of the given sizes, over and over, and returns the events and all bytes.
func split(s string, sizes ...int) (events []string, all string) {
	var sp Splitter
	var b strings.Builder
	emit := func(e []byte, whole bool) {
		b.Write(e)
		if whole {
			events = append(events, string(e))
		}
	}
	for i := 0; len(s) > 0; i++ {
		n := min(max(1, sizes[i%len(sizes)]), len(s))
		sp.Feed([]byte(s[:n]), emit)
		s = s[n:]
	}
	sp.Rest(emit)
	return events, b.String()
}

func TestSplitter(t *testing.T) {
	long := strings.Repeat("x", MaxEvent+1)
	for _, x := range []struct {
		name, in string
		want     []string
	}{
		{"two events", "data: a\n\ndata: b\n\n", []string{"data: a\n\n", "data: b\n\n"}},
		{"carriage returns", "data: a\r\n\r\ndata: b\r\r", []string{"data: a\r\n\r", "\ndata: b\r\r"}},
		{"several lines", "event: x\ndata: a\ndata: b\n\n", []string{"event: x\ndata: a\ndata: b\n\n"}},
		{"comment", ": ping\n\n", []string{": ping\n\n"}},
		{"no end", "data: a", nil},
		{"too long, then not", "data: " + long + "\n\ndata: b\n\n", []string{"data: b\n\n"}},
	} {
		for size := range 9 {
			got, all := split(x.in, size+1)
			if !slices.Equal(got, x.want) || all != x.in {
				t.Errorf("%s, in pieces of %d: got %.80q, want %.80q", x.name, size+1, got, x.want)
			}
		}
	}
}

func TestEventData(t *testing.T) {
	for in, want := range map[string]string{
		"data: a\n\n":              "a",
		"data:a\r\n\r\n":           "a",
		"data:  a\n\n":             " a",
		"data: a\ndata: b\n\n":     "a\nb",
		"\ndata: a\n\n":            "a",
		"\xEF\xBB\xBFdata: a\n\n":  "a",
		"event: data\nid: 1\n\n":   "",
		"database: a\ndata\ndata:": "\n",
		": data: a\n\n":            "",
	} {
		if got := string(EventData([]byte(in), nil)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// However a stream is cut into pieces, the same events come out and no byte is lost.
func FuzzSplitter(f *testing.F) {
	f.Add("data: a\r\n\r\ndata: b\n\n: c\r\r", uint8(1), uint8(3))
	f.Add("\n\n\r\n\r", uint8(2), uint8(1))
	f.Fuzz(func(t *testing.T, s string, a, b uint8) {
		want, all := split(s, len(s))
		if all != s {
			t.Fatalf("fed %q, emitted %q", s, all)
		}
		got, all := split(s, int(a), int(b))
		if all != s || !slices.Equal(got, want) {
			t.Fatalf("in pieces of %d and %d: %q, at once: %q", a, b, got, want)
		}
		for _, e := range got {
			if d := EventData([]byte(e), nil); bytes.ContainsRune(d, '\r') {
				t.Fatalf("%q has a line end in its data %q", e, d)
			}
		}
	})
}
