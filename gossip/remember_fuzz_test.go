package gossip

import (
	"strings"
	"testing"
)

// FuzzRemembered: whatever stands in the files of members that were known is read or refused, and bounded.
func FuzzRemembered(f *testing.F) {
	f.Add(`[{"name":"n2","addr":"127.0.0.1:7946"}]`)
	f.Add("alive: n2 127.0.0.1:7946\nnot-alive: n2\nalive: two words 1:2\nclock: 5\n")
	f.Add("null")
	f.Fuzz(func(t *testing.T, s string) {
		at := map[string]string{}
		_ = readKnown(strings.NewReader(s), at)
		_ = readSerfs(strings.NewReader(s), at)
		if len(at) > len(s)+1 {
			t.Fatalf("%d members of %d bytes", len(at), len(s))
		}
	})
}

// FuzzLogLine: a line of memberlist or serf loses its level and component, and nothing of its text.
func FuzzLogLine(f *testing.F) {
	for _, s := range []string{"[WARN] memberlist: text", "[ERR] serf: text: more", "Err:", "[DEBUG]", " memberlist: x ", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, component, msg := parseLine(s)
		if component == "" || !strings.HasSuffix(strings.TrimSpace(s), msg) {
			t.Fatalf("%q is %q of %q", s, msg, component)
		}
		foreign(msg)
	})
}
