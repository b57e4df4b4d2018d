package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// TestClean: text from elsewhere cannot drive the terminal.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"search":         "search",
		"Zürich 世界":      "Zürich 世界",
		`say "hi"`:       `say "hi"`,
		"\x1b[31mred":    `\x1b[31mred`,
		"two\nlines":     `two\nlines`,
		"\"\x07bell\"":   `"\abell"`,
		"not \xff utf-8": `not \xff utf-8`,
		"\u202egnp.exe":  `\u202egnp.exe`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReportOneLineEach(t *testing.T) {
	var b strings.Builder
	report(&b, &codedError{err: errors.New("first\nsecond \x1b[2J"), code: exitFailed}, "try this")
	if want := "swarmpurse: first\nswarmpurse: second \\x1b[2J\nswarmpurse: hint: try this\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}

// TestInterrupted: Ctrl-C while a node is asked is no mystery.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	if code := run(ctx, []string{"budgets", "--node", "127.0.0.1:1"}, strings.NewReader(""), &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if stdout.Len() > 0 || stderr.String() != "swarmpurse: interrupted\n" {
		t.Errorf("stdout %q, stderr %q", stdout.String(), stderr.String())
	}
}

func TestReadFileIsBounded(t *testing.T) {
	a := &app{stdin: strings.NewReader("12345")}
	if _, err := a.readFile("-", 4); err == nil || !strings.Contains(err.Error(), "more than 4 bytes") {
		t.Errorf("%v", err)
	}
	a.stdin = strings.NewReader("1234")
	if src, err := a.readFile("-", 4); err != nil || string(src) != "1234" {
		t.Errorf("%q, %v", src, err)
	}
}

// TestLapses: what lapsed is told apart, and nothing is said when nothing did.
func TestLapses(t *testing.T) {
	if s := lapses(&api.Account{Issued: 9, Spent: 9}); s != "" {
		t.Errorf("%q", s)
	}
	if s, want := lapses(&api.Account{Lapsed: 1700, Decayed: 1000, Expired: 400, Burned: 300}), "1,700 (decayed 1,000, expired 400, burned 300)"; s != want {
		t.Errorf("%q, want %q", s, want)
	}
}
