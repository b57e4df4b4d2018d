package seal

import "testing"

// FuzzParseTag: what members tell of their keys is read in one spelling only, or refused.
func FuzzParseTag(f *testing.F) {
	f.Add(Tag(make([]byte, 32)))
	f.Add("")
	f.Add("AAAA\nAAAA=")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseTag(s)
		if err == nil && Tag(k) != s {
			t.Errorf("%q and %q are one key", s, Tag(k))
		}
		if err != nil && k != nil {
			t.Errorf("%q is no key, and %x", s, k)
		}
	})
}
