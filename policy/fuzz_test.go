package policy

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// FuzzSplitData: a data set comes apart in one way, and its name is one that rules and zones can name.
func FuzzSplitData(f *testing.F) {
	for _, s := range []string{"eu/docs", "eu/docs@sha256:9f86d081", "@sha256:1", "a@b", "a@b:c@d:e", "a@sha256:", "\x00", "", strings.Repeat("x", MaxFieldLen+1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, digest, err := SplitData(s)
		var wrong *CallError
		if err != nil {
			if !errors.As(err, &wrong) || wrong.Field != "data" || name != "" || digest != "" {
				t.Fatalf("%q: %q, %q, %v", s, name, digest, err)
			}
			return
		}
		whole := name
		if digest != "" {
			whole += "@" + digest
		}
		if whole != s || name == "" || len(name) > MaxFieldLen || len(digest) > MaxDigestLen || strings.ContainsAny(name, "@\x00\n\x7f") {
			t.Fatalf("%q is %q and %q", s, name, digest)
		}
	})
}

// FuzzDiff: what changes between two policies is told of each place once, changes from itself are none, and back is the same the other
// way round.
func FuzzDiff(f *testing.F) {
	f.Add(Starter(), Default().Source())
	f.Add([]byte(matching), Starter())
	for _, src := range files(f, "testdata/good/*.yaml") {
		f.Add(src, Starter())
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, err := Parse("a.yaml", x)
		if err != nil {
			return
		}
		if list := Diff(a, a); len(list) > 0 {
			t.Fatalf("changes from itself: %+v", list)
		}
		b, err := Parse("b.yaml", y)
		if err != nil {
			return
		}
		there, back := Diff(a, b), Diff(b, a)
		if len(there) != len(back) {
			t.Fatalf("there %+v\nback %+v", there, back)
		}
		for _, c := range there {
			if !slices.ContainsFunc(back, func(d Change) bool { return d == Change{c.Where, c.New, c.Old} }) {
				t.Fatalf("%+v is not in the way back %+v", c, back)
			}
		}
	})
}
