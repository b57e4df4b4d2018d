package policy

import (
	"errors"
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
