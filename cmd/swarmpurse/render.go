package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// print writes v as JSON with -o json, and what text makes otherwise.
func (a *app) print(v any, text func(w *strings.Builder)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	var b strings.Builder
	text(&b)
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// hint tells people, on stderr, what they may want to do next.
func (a *app) hint(format string, args ...any) {
	if a.output != "json" {
		fmt.Fprintf(a.stderr, "swarmpurse: hint: %s\n", a.named(fmt.Sprintf(format, args...)))
	}
}

// fields writes names and values in two columns; empty values are left out.
func fields(w *strings.Builder, pairs ...string) {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, len(pairs[i]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%-*s  %s\n", width, pairs[i], pairs[i+1])
		}
	}
}

// clean makes text from elsewhere (a tenant's name, an error of a server) safe for a terminal: what
// does not print is shown as Go would escape it.
func clean(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == '�' {
			q := strconv.Quote(s)
			return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
		}
	}
	return s
}

func tokens(n ledger.Tokens) string { return humanize.Comma(int64(n)) }

// amounts writes a map of amounts in the order of its names: "pot 400, tenant-day 400".
func amounts(m map[string]ledger.Tokens) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, clean(name)+" "+tokens(m[name]))
	}
	return strings.Join(parts, ", ")
}

func prices(m map[string]float64) string {
	parts := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, clean(name)+" × "+number(m[name]))
	}
	return strings.Join(parts, ", ")
}

// number writes four digits, and whole ones from a thousand on: 0.25, 12.5, 10,240.
func number(f float64) string {
	if f >= 1000 && f < 1e15 {
		return humanize.Comma(int64(f + 0.5))
	}
	return strconv.FormatFloat(f, 'g', 4, 64)
}

func millis(ms float64) string {
	if ms == 0 {
		return ""
	}
	return number(ms) + " ms"
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}
