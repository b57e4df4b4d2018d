package report

import (
	"testing"
)

// FuzzParseChoice: a figure that is chosen is one there is, and of a class only if it has them.
func FuzzParseChoice(f *testing.F) {
	for _, s := range []string{"goodput", "wait_p99[batch]", "goodput[x]", "wait_p99[]", "wait_p99[a]]", "[", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseChoice(s)
		if err != nil {
			return
		}
		text := c.Name
		if c.Class != "" {
			text += "[" + c.Class + "]"
		}
		if text != s || c.Class != "" && !c.ByClass() {
			t.Fatalf("%q is %q", s, text)
		}
	})
}
