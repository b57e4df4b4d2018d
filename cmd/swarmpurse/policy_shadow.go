package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// printShadow shows what a shadow would have decided otherwise.
func printShadow(w *strings.Builder, s *api.Shadow) {
	ended := ""
	if s.Ended {
		ended = "its time is over; apply it again with --shadow, --canary or --whole, or roll it back"
	}
	fields(w, "compared", fmt.Sprintf("%s calls of %d nodes", count(s.Compared), s.Nodes), "differ", fmt.Sprintf("%s (%s)", count(s.Differ), partOf(ratio(s.Differ, s.Compared))),
		"stricter", some(s.Stricter, "were admitted and would have been refused"), "looser", some(s.Looser, "were refused and would have been admitted"),
		"assumed", some(s.Assumed, "need rights of which it is not known whether they were there"), "dropped", some(s.Dropped, "were not compared: too many at once"), "ended", ended)
	if len(s.Kinds) > 0 {
		t := tables.New("what differs", "→calls")
		for _, k := range slices.Sorted(maps.Keys(s.Kinds)) {
			t.AppendRow(row(clean(k), count(s.Kinds[k])))
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
	if len(s.Recent) == 0 {
		return
	}
	t := tables.New("call", "at", "tenant", "agent", "model", "what", "was", "would be")
	for _, c := range s.Recent {
		id, at, tenant, agent, model := clean(c.ID), instant(c.At), clean(c.Tenant), clean(c.Agent), clean(c.Model)
		for _, d := range c.Differences {
			t.AppendRow(row(id, at, tenant, agent, model, clean(d.What), clean(d.Stable), clean(d.Shadow)))
			id, at, tenant, agent, model = "", "", "", "", ""
		}
	}
	w.WriteString("\n" + t.Render() + "\n")
}

func ratio(n, of int64) float64 { return float64(n) / float64(max(1, of)) }

// some is "" for none.
func some(n int64, what string) string {
	if n == 0 {
		return ""
	}
	return count(n) + " " + what
}

// shadowOf says what a shadow would have decided otherwise on one call.
func shadowOf(c *api.ShadowCall) string {
	if c == nil {
		return ""
	}
	parts := make([]string, 0, len(c.Differences))
	for _, d := range c.Differences {
		parts = append(parts, fmt.Sprintf("%s %s instead of %s", clean(d.What), clean(d.Shadow), clean(d.Stable)))
	}
	return fmt.Sprintf("revision %d: %s", c.Revision, strings.Join(parts, "; "))
}
