package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// Report is what a run showed.
type Report struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems,omitempty"` // what must not be and was
	Notes    []string `json:"notes,omitempty"`

	Seed    uint64   `json:"seed"`
	Rerun   string   `json:"rerun"`
	Seconds float64  `json:"seconds"` // the load
	Nodes   int      `json:"nodes"`
	Faults  []string `json:"faults"` // the timeline

	Findings []Finding `json:"budgets"`
	Heals    []Heal    `json:"heals"`
	// Agreed is how long after the last call all nodes were at rest and reported the same; negative: never.
	Agreed  float64     `json:"agreed_seconds"`
	Late    string      `json:"disagreed_last,omitempty"` // in what, the moment before
	Traffic []Traffic   `json:"gossip"`
	Network PathCount   `json:"network"`
	Losses  []LossShown `json:"lost_directories,omitempty"`
	Crashes int         `json:"crashes"`
	Ended   int         `json:"generations_ended"`
	// Versions are the nodes at the end by the version that they run.
	Versions map[string][]string `json:"versions"`
}

// Traffic is what a node gossiped, as the relay counted it, with the headers of IP, UDP and TCP.
type Traffic struct {
	Node     string  `json:"node"`
	Sent     float64 `json:"sent_bytes_per_second"`
	Received float64 `json:"received_bytes_per_second"`
}

// Heal tells how soon after the end of a network fault every node had heard of all that any had done by then.
type Heal struct {
	After string  `json:"after"`
	Nodes int     `json:"nodes"`         // that no other fault had struck
	Heard float64 `json:"heard_seconds"` // negative: the next fault came before, or there were no two such nodes
}

// LossShown tells of a directory that was lost.
type LossShown struct {
	Node   string  `json:"node"`
	Second float64 `json:"second"`
}

func (r *Report) fail(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// columns starts a table; a header that begins with → is of a column of numbers.
func columns(headers ...string) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "  ", ""
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	row, conf := make(table.Row, len(headers)), make([]table.ColumnConfig, len(headers))
	for i, h := range headers {
		name, right := strings.CutPrefix(h, "→")
		row[i] = name
		conf[i] = table.ColumnConfig{Number: i + 1}
		if right {
			conf[i].Align, conf[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	t.AppendHeader(row)
	t.SetColumnConfigs(conf)
	return t
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\nWhat callers were told, and what the nodes' books say\n")
	t := columns("budget", "→limit", "→calls", "→refused", "→offered", "→admitted", "→unknown", "→held at most", "→spent at least", "→at most", "→nodes' books", "→left", "→not issued", "→missing")
	dash := func(f *Finding, v int64) any {
		if f.Budget == Turns || f.Budget == Pool {
			return "-"
		}
		return v
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		peak := any(f.Peak)
		if f.Budget == Turns || f.Budget == Pool {
			peak = "-"
		}
		t.AppendRow(table.Row{f.Instance, f.Limit, f.Calls, f.Refused, f.Offered, f.Admitted, f.Unknown, peak, f.Low, f.High, dash(f, f.Reported), dash(f, f.Left), dash(f, f.Unissued), dash(f, f.Missing)})
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintln(w, "\n  limit: of turns for each window, of pool a second; held at most: reserved and spent at once, at the least;")
	fmt.Fprintln(w, "  not issued: founders' parts that nobody asked for; missing: neither spent nor left")

	var crashed, gone, missing, risk int64
	for _, f := range r.Findings {
		crashed, gone, missing, risk = crashed+f.Crashed, gone+f.Gone, missing+f.Missing, risk+f.AtRisk
	}
	fmt.Fprintf(w, "\n%d crashes, and %d generations ended: %d calls were forgotten and %d tokens charged that nobody used\n", r.Crashes, r.Ended, gone, crashed)
	for _, l := range r.Losses {
		fmt.Fprintf(w, "%s lost its directory at %.1f s\n", l.Node, l.Second)
	}
	if len(r.Losses) > 0 {
		fmt.Fprintf(w, "%d tokens are missing; %d spent tokens at most were known to lost directories and their guardians only\n", missing, risk)
	}

	fmt.Fprintln(w, "\nUntil the nodes had heard of all that they had done, after a fault of the network and under load")
	var measured []float64
	for _, h := range r.Heals {
		switch {
		case h.Heard < 0:
			fmt.Fprintf(w, "        -  the next fault came before: %s\n", h.After)
		default:
			measured = append(measured, h.Heard)
			fmt.Fprintf(w, "  %5.2f s  %d nodes: %s\n", h.Heard, h.Nodes, h.After)
		}
	}
	fmt.Fprintf(w, "  %d of %d could be measured", len(measured), len(r.Heals))
	if len(measured) > 0 {
		fmt.Fprintf(w, ", %.2f s at most", slices.Max(measured))
	}
	if r.Agreed >= 0 {
		fmt.Fprintf(w, "\n  %5.2f s after the last call all were at rest and agreed", r.Agreed)
		if r.Late != "" {
			fmt.Fprintf(w, "; before that, %s", r.Late)
		}
		fmt.Fprintln(w)
	} else {
		fmt.Fprint(w, "\n  after the last call they never agreed\n")
	}

	fmt.Fprintln(w, "\nGossip, bytes a second with all headers")
	t = columns("node", "→sent", "→received")
	for _, n := range r.Traffic {
		t.AppendRow(table.Row{n.Node, fmt.Sprintf("%.0f", n.Sent), fmt.Sprintf("%.0f", n.Received)})
	}
	fmt.Fprintln(w, t.Render())
	fmt.Fprintf(w, "  %d packets arrived, %d were lost, %d met a cut, %d found the relay full\n", r.Network.Packets, r.Network.Lost, r.Network.Cut, r.Network.Crowded)

	fmt.Fprintln(w, "\nVersions in the end")
	for _, v := range slices.Sorted(maps.Keys(r.Versions)) {
		fmt.Fprintf(w, "  %s: %s\n", v, strings.Join(r.Versions[v], " "))
	}

	if len(r.Notes) > 0 {
		fmt.Fprintln(w, "\nNotes")
		for _, n := range r.Notes {
			fmt.Fprintln(w, "  "+n)
		}
	}
	if r.OK {
		fmt.Fprintf(w, "\nNo hard budget was exceeded, nothing that was admitted is missing, all nodes agree. Again: %s\n", r.Rerun)
		return
	}
	fmt.Fprintf(w, "\n%d PROBLEMS\n", len(r.Problems))
	for _, p := range r.Problems {
		fmt.Fprintln(w, "  "+p)
	}
	fmt.Fprintf(w, "Again: %s\n", r.Rerun)
}
