package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// FuzzSplitData: a data set comes apart in one way, and its name is one that rules and zones can name.
func FuzzSplitData(f *testing.F) {
	for _, s := range []string{"eu/docs", "eu/docs@sha256:9f86d081", "@sha256:1", "a@b", "a@b:c@d:e", "a@sha256:", "\x00", ""} {
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

// FuzzParseRollout: the words of a command line or a query are a rollout within its bounds, or mistakes.
func FuzzParseRollout(f *testing.F) {
	f.Add("10%", "agent", "", "10m", "+5%")
	f.Add("", "", "a, b", "", "none")
	f.Add("0%", "class", ",", "-1s", "5")
	f.Fuzz(func(t *testing.T, canary, by, zones, bake, guard string) {
		fields := map[string]string{}
		for k, v := range map[string]string{"canary": canary, "by": by, "zones": zones, "bake": bake, "deny_rate": guard, "output_length": guard} {
			if v != "" {
				fields[k] = v
			}
		}
		r, err := ParseRollout("flags", nil, fields)
		var all *document.Errors
		if err != nil {
			if !errors.As(err, &all) || len(all.List) == 0 {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if r == nil || len(r.Zones) > MaxZones || r.Bake < 0 || (len(r.Zones) > 0) == (r.Canary > 0) {
			t.Fatalf("%v is %+v", fields, r)
		}
		r.Split(1, "a")
	})
}
