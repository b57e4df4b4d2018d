package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// FuzzConfig: a configuration file, and a variable of the environment, set flags or are a mistake of the user that says which file.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("name: n1\njoin: [127.0.0.1:7946, b]\ndrain: 20s\nfaults: true\nbootstrap-expect: 3\n"), "")
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\njoin: [*b, *b]\n"), "x,y")
	f.Add([]byte("- 1\n"), ",")
	f.Add([]byte("name: {a: 1}\nupstream: [1, null, 2.5]\n1: 2\n"), "openai=https://x,\"")
	f.Add([]byte("<<: {name: x}\nname: !!binary aGk=\n---\nname: y"), "")
	file := filepath.Join(f.TempDir(), "node.yaml")
	f.Fuzz(func(t *testing.T, src []byte, env string) {
		if err := os.WriteFile(file, src, 0o600); err != nil {
			t.Fatal(err)
		}
		flags := newNodeCommand(&app{}).Flags()
		name := file
		err := settle(flags, func(v string) string {
			if v == envName("join") || v == envName("upstream") || v == envName("gossip-rate") {
				return env
			}
			return ""
		}, &name)
		var coded *codedError
		if err != nil && (!errors.As(err, &coded) || coded.code != exitUsage) {
			t.Fatal(err)
		}
		if s, _ := flags.GetStringSlice("join"); err == nil && env != "" && !slices.Equal(s, strings.Split(env, ",")) {
			t.Fatalf("%q is %q", env, s)
		}
	})
}

// FuzzParseAmounts: amounts of the command line are each named once, and none is negative.
func FuzzParseAmounts(f *testing.F) {
	for _, s := range []string{"compute=900", "compute=1.5k data=0", "=1", "a=-1", "a=1 a=2", "a=9223372036854775807", "a=b=1", "a=0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list := strings.Split(s, " ")
		got, err := parseAmounts("--tokens", list)
		if err != nil {
			return
		}
		if len(got) != len(list) {
			t.Fatalf("%q is %v", list, got)
		}
		for name, n := range got {
			if name == "" || n < 0 || n > ledger.MaxTokens {
				t.Fatalf("%q is %d", name, n)
			}
		}
	})
}

// FuzzMoment: a time is one of the past or what is written; it reads what it writes.
func FuzzMoment(f *testing.F) {
	for _, s := range []string{"1h", "2026-01-02T15:04:05Z", "-1h", "99999999h", "0", "2026-01-02T15:04:05.5+14:00", "2562047h47m16.854775807s"} {
		f.Add(s)
	}
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := moment("since", s, now)
		if err != nil || s == "" {
			return
		}
		if d, perr := time.ParseDuration(s); perr == nil && (at.After(now) || now.Sub(at) != d) {
			t.Fatalf("%v ago is %v", d, at)
		}
		if again, err := moment("since", at.Format(time.RFC3339Nano), now); err != nil || !again.Equal(at) {
			t.Fatalf("%q is %v, which is %v: %v", s, at, again, err)
		}
	})
}

// FuzzClean: what others name cannot do anything to a terminal.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"n1", "\x1b[2J", "a\u202eb", "\xff", "\u009b31m", `"quoted" \n`, "日本"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if strings.ContainsFunc(got, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
		}) {
			t.Fatalf("%q is shown as %q", s, got)
		}
	})
}
