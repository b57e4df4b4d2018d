package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// The parts of the page, in their order.
const (
	partSwarm = iota
	partBudgets
	partCalls
	partQueues
	partNews
	partPolicy
	topParts
)

var partNames = [topParts]string{"Swarm", "Budgets", "Calls", "Queues", "Transfers and other news", "Policy"}

// partColumns are the columns of the parts that are sortable tables; → is of numbers, which are sorted from the greatest on.
var partColumns = [topParts][]string{
	partSwarm:   {"node", "status", "zone", "http", "version", "→policy", "→rtt", "note"},
	partBudgets: {"instance", "→used", "→limit", "→spent", "→reserved", "→rights here", "→rights swarm", "→away", "→over", "→asked/s", "→spent/s", "→issued", "→price", "→level", "used up in"},
	partCalls:   {"decision", "why", "→calls", "→part"},
	partQueues:  {"class", "→waiting", "→calls/s", "→wait p50", "→wait p99", "→of budget", "→budget", "→met", "→objective", "→burn 5m", "→burn 1h"},
}

// order says by which column a table is sorted, from 1; 0 leaves it as the node tells it. Up turns it round.
type order struct {
	column int
	up     bool
}

// line is a row of a table, with what it is sorted by.
type line struct {
	id    string
	cells []cell
}

// cell is what stands there. Numbers are sorted by n, others by text.
type cell struct {
	text string
	n    float64
}

func textCell(s string) cell                { return cell{text: clean(s), n: math.NaN()} }
func amountCell(n ledger.Tokens) cell       { return cell{tokens(n), float64(n)} }
func numCell(n float64, format string) cell { return cell{fmt.Sprintf(format, n), n} }
func noCell() cell                          { return cell{"-", math.Inf(-1)} }

// grid writes rows as a table. Of one that is wider than the window the first column stays, and those after it go out of sight, as many as m.left says.
func (m *topModel) grid(w *strings.Builder, p int, rows []line, mark string) {
	columns, o := slices.Clone(partColumns[p]), m.order[p]
	if o.column > 0 {
		down := strings.HasPrefix(columns[o.column-1], "→") != o.up
		columns[o.column-1] += map[bool]string{true: " ▼", false: " ▲"}[down]
	}
	skip := m.skip(columns, rows, o.column-1, m.follows && p == m.sorts())
	t := tables.New(slices.Delete(columns, 1, 1+skip)...)
	for _, r := range rows {
		cells := make(table.Row, 0, len(r.cells))
		for i, c := range r.cells {
			switch {
			case i == 0 && r.id != "" && r.id == mark:
				cells = append(cells, "▶ "+c.text)
			case i == 0 || i > skip:
				cells = append(cells, c.text)
			}
		}
		t.AppendRow(cells)
	}
	w.WriteString(t.Render() + "\n")
}

// skip is how many columns after the first stay out of sight: no more than it takes to see the last one, and after a change of the order as many as it
// takes to see the one that is sorted by.
func (m *topModel) skip(columns []string, rows []line, by int, follow bool) int {
	if m.width == 0 {
		return 0
	}
	ends := make([]int, len(columns)) // where a column ends if all are in sight
	for i, c := range columns {
		width := text.StringWidthWithoutEscSequences(strings.TrimPrefix(c, "→"))
		for _, r := range rows {
			width = max(width, text.StringWidthWithoutEscSequences(r.cells[i].text))
		}
		if ends[i] = width; i > 0 {
			ends[i] += ends[i-1] + 2
		}
	}
	// Those that must go for column c to be in sight.
	gone := func(c int) (n int) {
		for n < c-1 && ends[c]-(ends[n]-ends[0]) > m.width {
			n++
		}
		return n
	}
	most := gone(len(columns) - 1)
	m.wider = max(m.wider, most)
	if follow && by > 0 {
		m.left = max(gone(by), min(m.left, by-1))
	}
	return min(m.left, most)
}

// sorted puts rows into their order; those that are alike stay as they were.
func sorted(rows []line, o order) []line {
	if o.column == 0 {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b line) int {
		x, y := a.cells[o.column-1], b.cells[o.column-1]
		c := cmp.Compare(y.n, x.n)
		if math.IsNaN(x.n) && math.IsNaN(y.n) {
			c = strings.Compare(x.text, y.text)
		}
		if o.up {
			return -c
		}
		return c
	})
	return rows
}

// printSnapshot is the page without the figures that take two looks.
func printSnapshot(w *strings.Builder, s snapshot) {
	m := newTopModel(context.Background(), nil, 0)
	m.seen, m.snap, m.width = true, s, 0
	m.head(w)
	for p := range topParts {
		if p != partNews {
			m.part(w, p)
		}
	}
}

// render cuts the page to the window, with a last line that says what the keys do.
func (m *topModel) render() string {
	var b strings.Builder
	m.wider = 0
	if m.seen {
		m.head(&b)
		for p := range topParts {
			if m.view == 0 || m.view == p+1 {
				m.part(&b, p)
			}
		}
	} else if m.err == nil {
		b.WriteString("asking the node …\n")
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	foot := "q quit  0-6 Tab parts  s S r sort"
	if m.view-1 == partBudgets {
		foot += "  up down choose"
	}
	if m.left = min(m.left, m.wider); m.wider > 0 {
		foot += "  left right columns"
	}
	if m.err != nil {
		foot = "no answer: " + clean(m.err.Error()) + "; still trying, q: quit"
	}
	room := max(m.height-1, 1)
	if m.view-1 == partBudgets { // what is chosen stays in sight
		for i, l := range lines {
			if strings.HasPrefix(l, "▶ ") {
				m.top = max(min(m.top, i-2), i-room+3)
			}
		}
	}
	m.top = max(0, min(m.top, len(lines)-room))
	if hidden := len(lines) - room; hidden > 0 {
		foot = fmt.Sprintf("lines %d to %d of %d  ", m.top+1, m.top+room, len(lines)) + foot
	}
	shown := append(lines[m.top:min(m.top+room, len(lines)):len(lines)], foot)
	for i, l := range shown {
		l = text.Trim(l, m.width)
		switch {
		case strings.HasPrefix(l, "!! "):
			l = text.Colors{text.FgRed, text.Bold}.Sprint(l)
		case strings.HasPrefix(l, "— "):
			l = text.Bold.Sprint(l)
		case i == len(shown)-1:
			l = text.Faint.Sprint(l)
		}
		shown[i] = l
	}
	return strings.Join(shown, "\n")
}

// head is which node this is, and what is wrong.
func (m *topModel) head(w *strings.Builder) {
	st := m.snap.Status
	state := "ready"
	if !st.Ready {
		state = "NOT READY"
	}
	alive := 0
	zones := map[string][2]int{} // alive, all
	var gone []string
	for _, x := range m.snap.Members {
		z := zones[x.Zone]
		z[1]++
		switch x.Status {
		case "alive":
			alive++
			z[0]++
		case "failed":
			gone = append(gone, clean(x.Name))
		}
		zones[x.Zone] = z
	}
	fmt.Fprintf(w, "node %s of %s, %s, policy %d, %d of %d nodes alive", clean(st.Node), clean(st.Cluster), state, m.snap.Policy.Revision, alive, len(m.snap.Members))
	if !m.at.IsZero() {
		fmt.Fprintf(w, ", %s", m.at.Format(time.TimeOnly))
	}
	w.WriteByte('\n')
	for _, r := range st.Reasons {
		fmt.Fprintf(w, "!! not ready: %s\n", clean(r))
	}
	if len(gone) > 0 {
		dark := ""
		for _, z := range slices.Sorted(maps.Keys(zones)) {
			if z != "" && zones[z][0] == 0 {
				dark += ", all of zone " + clean(z)
			}
		}
		fmt.Fprintf(w, "!! CUT: %d of %d nodes are out of reach: %s%s\n", len(gone), len(m.snap.Members), few(gone), dark)
	}
	if st.ConservationError != 0 {
		fmt.Fprintf(w, "!! the books do not close: they are off by %s tokens, please report this\n", tokens(st.ConservationError))
	}
	var frozen []string
	for _, f := range m.snap.Frozen {
		frozen = append(frozen, frozenName(f)+" since "+instant(f.At))
	}
	if len(frozen) > 0 {
		fmt.Fprintf(w, "!! frozen: %s\n", few(frozen))
	}
	if t := m.snap.Policy.Trial; t != nil {
		what := "is being tried"
		if t.Shadow != nil {
			what = "is only looked at"
		}
		fmt.Fprintf(w, "revision %d %s: %s\n", t.Revision, what, clean(t.On))
	}
}

// few names the first of many.
func few(list []string) string {
	slices.Sort(list)
	if n := len(list) - 5; n > 0 {
		return strings.Join(list[:5], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(list, ", ")
}

func (m *topModel) part(w *strings.Builder, p int) {
	title := partNames[p]
	if _, _, seconds, ok := m.past.pair(topWindow); p == partCalls || p == partQueues {
		if ok {
			title += fmt.Sprintf(" at this node, in the last %.0f s", seconds)
		} else {
			title += " at this node, since it started"
		}
	}
	fmt.Fprintf(w, "\n— %d %s —\n", p+1, title)
	switch p {
	case partSwarm:
		m.grid(w, p, sorted(m.members(), m.order[p]), "")
		printStuck(w, m.snap.Members, nil)
	case partBudgets:
		mark := ""
		if m.view-1 == partBudgets {
			mark = m.chosen
		}
		m.grid(w, p, m.instances(), mark)
		for _, b := range m.snap.Budgets {
			if b.Truncated > 0 {
				fmt.Fprintf(w, "%s: %d more, see swarmpurse budgets %s\n", clean(b.Name), b.Truncated, clean(b.Name))
			}
		}
		if mark != "" {
			m.printHolders(w)
		}
	case partCalls:
		m.calls(w)
	case partQueues:
		m.grid(w, p, sorted(m.queues(), m.order[p]), "")
	case partNews:
		m.printNews(w)
	case partPolicy:
		in := m.snap.Policy
		fields(w, "revision", fmt.Sprint(in.Revision), "hash", clean(in.Hash), "since", instant(in.Since), "by", clean(in.By))
		for _, f := range in.Flags {
			fmt.Fprintf(w, "flag %s: on for %s of %s\n", clean(f.Name), partOf(f.On), clean(cmp.Or(f.By, "all calls")))
		}
		printTrial(w, in.Trial)
	}
}

func (m *topModel) members() (rows []line) {
	for _, x := range m.snap.Members {
		revision, rtt := noCell(), noCell()
		if x.Revision > 0 {
			revision = numCell(float64(x.Revision), "%.0f")
		}
		if x.RTTMS > 0 {
			rtt = cell{millis(x.RTTMS), x.RTTMS}
		}
		rows = append(rows, line{cells: []cell{
			textCell(x.Name), textCell(x.Status), textCell(x.Zone), textCell(x.HTTP), textCell(x.Version), revision, rtt, {text: memberNotes(x), n: math.NaN()},
		}})
	}
	return rows
}

// instances are the rows of the budgets, as they are sorted.
func (m *topModel) instances() (rows []line) {
	for _, b := range m.snap.Budgets {
		if len(b.Instances) == 0 {
			r := line{cells: []cell{textCell(b.Name), {text: "not used yet", n: -1}}}
			for len(r.cells) < len(partColumns[partBudgets]) {
				r.cells = append(r.cells, cell{n: math.Inf(-1)})
			}
			rows = append(rows, r)
		}
		for _, i := range b.Instances {
			used, speed, end := noCell(), noCell(), cell{text: "", n: math.Inf(-1)}
			if i.Limit > 0 {
				used = cell{partOf(i.Used), i.Used}
			}
			if spent, _, ok := m.past.flow(i.Instance); ok {
				speed = numCell(spent, "%.0f")
			}
			if i.ExhaustedMS != nil {
				end = cell{seconds(*i.ExhaustedMS), -float64(*i.ExhaustedMS)} // what ends first comes first
			}
			rows = append(rows, line{id: i.Instance, cells: []cell{
				{text: instanceName(i), n: math.NaN()}, used, amountCell(i.Limit), amountCell(i.Swarm.Spent), amountCell(i.Swarm.Reserved), amountCell(i.Local.Rights), amountCell(i.Swarm.Rights - i.Away), amountCell(i.Away), amountCell(i.Overspend),
				numCell(i.Swarm.Demand, "%.0f"), speed, amountCell(i.Swarm.Issued), {number(i.Price), i.Price}, numCell(float64(i.Backpressure), "%.0f"), end,
			}})
		}
	}
	return sorted(rows, m.order[partBudgets])
}

func (m *topModel) printHolders(w *strings.Builder) {
	fmt.Fprintf(w, "\nWho holds %s\n", clean(m.chosen))
	t := tables.New("holder", "→rights", "→reserved", "→spent", "→issued", "→shares", "→asked/s", "→age", "state")
	rows := 0
	for _, i := range m.held.Instances {
		if i.Instance != m.chosen {
			continue
		}
		for _, h := range i.Holders {
			rows++
			state := ""
			if !h.Alive {
				state = "out of reach"
			}
			t.AppendRow(table.Row{clean(h.Node), tokens(h.Rights), tokens(h.Reserved), tokens(h.Spent), tokens(h.Issued),
				fmt.Sprintf("%.2f%%", float64(h.Shares)/float64(ledger.TotalShares)*100), fmt.Sprintf("%.0f", h.Demand), (time.Duration(h.AgeMS) * time.Millisecond).String(), state})
		}
	}
	if rows == 0 {
		w.WriteString("asking the node …\n")
		return
	}
	w.WriteString(t.Render() + "\n")
}

// lately are the classes in the last minute, or since the start while nothing of late is known, and the seconds that takes (0: not known).
func (m *topModel) lately() (list []api.Class, seconds float64) {
	for _, c := range m.snap.Classes {
		if late, s, ok := m.past.class(c.Name); ok {
			c, seconds = late, s
		}
		list = append(list, c)
	}
	return list, seconds
}

// calls are rates, and what refused calls were told.
func (m *topModel) calls(w *strings.Builder) {
	list, seconds := m.lately()
	type reason struct{ decision, code string }
	counts, total, ran := map[reason]uint64{}, uint64(0), uint64(0)
	for _, c := range list {
		for _, d := range c.Decisions {
			counts[reason{d.Decision, d.Code}] += d.Calls
			total += d.Calls
			if d.Decision == "admit" || d.Decision == "degrade" {
				ran += d.Calls
			}
		}
	}
	fmt.Fprintf(w, "waiting %d, running %d", m.snap.Status.Waiting, m.snap.Status.Active)
	if total > 0 {
		if seconds > 0 {
			fmt.Fprintf(w, ", %.1f calls/s", float64(total)/seconds)
		}
		fmt.Fprintf(w, ", %s admitted, %s refused", partOf(float64(ran)/float64(total)), partOf(1-float64(ran)/float64(total)))
	}
	w.WriteByte('\n')
	var rows []line
	for r, n := range counts {
		if n > 0 {
			part := float64(n) / float64(total)
			rows = append(rows, line{cells: []cell{textCell(r.decision), textCell(strings.ReplaceAll(r.code, "_", " ")), numCell(float64(n), "%.0f"), {partOf(part), part}}})
		}
	}
	if len(rows) == 0 {
		w.WriteString("no calls\n")
		return
	}
	slices.SortFunc(rows, func(a, b line) int { // the map has none
		return cmp.Or(cmp.Compare(b.cells[2].n, a.cells[2].n), strings.Compare(a.cells[0].text+a.cells[1].text, b.cells[0].text+b.cells[1].text))
	})
	m.grid(w, partCalls, sorted(rows, m.order[partCalls]), "")
}

// queues are the classes, with how long their calls waited against what they may.
func (m *topModel) queues() (rows []line) {
	list, seconds := m.lately()
	for _, c := range list {
		speed, part, met, objective := noCell(), noCell(), noCell(), noCell()
		if seconds > 0 {
			speed = numCell(float64(callsOf(c))/seconds, "%.1f")
		}
		p99 := waitOf(c, 0.99)
		if p99 >= 0 && c.LatencyBudgetMS > 0 {
			part = cell{partOf(p99 / c.LatencyBudgetMS), p99 / c.LatencyBudgetMS}
		}
		if n := c.Met + c.Missed; n > 0 {
			met = cell{partOf(float64(c.Met) / float64(n)), float64(c.Met) / float64(n)}
		}
		if c.Objective > 0 {
			objective = cell{partOf(c.Objective), c.Objective}
		}
		rows = append(rows, line{cells: []cell{
			textCell(c.Name), numCell(float64(c.Waiting), "%.0f"), speed, waitCell(waitOf(c, 0.5)), waitCell(p99), part,
			{lasting(c.LatencyBudgetMS), c.LatencyBudgetMS}, met, objective, burnOf(c, "5m"), burnOf(c, "1h"),
		}})
	}
	return rows
}

func waitCell(ms float64) cell {
	switch {
	case ms < 0:
		return noCell()
	case ms == 0:
		return cell{"at once", 0}
	case math.IsInf(ms, 1):
		return cell{"longer", ms}
	}
	return cell{"≤ " + lasting(ms), ms}
}

func lasting(ms float64) string { return time.Duration(ms * float64(time.Millisecond)).String() }

func burnOf(c api.Class, window string) cell {
	for _, b := range c.Burn {
		if b.Window == window {
			return numCell(b.Rate, "%.1f")
		}
	}
	return noCell()
}

// printNews are transfers and what else happens, the newest first.
func (m *topModel) printNews(w *strings.Builder) {
	if m.newsErr != nil {
		fmt.Fprintf(w, "none are told: %s\n", clean(m.newsErr.Error()))
	} else if len(m.news) == 0 {
		w.WriteString("nothing yet\n")
	}
	list := m.news
	if m.view == 0 {
		list = list[:min(len(list), 10)]
	}
	for _, e := range list {
		fmt.Fprintf(w, "%s  %-8s  %s\n", e.Record.At.Local().Format(time.TimeOnly), clean(e.Kind), m.newsText(e))
	}
}

func (m *topModel) newsText(e api.Event) string {
	r := e.Record
	var moved []string
	if r.Tokens != 0 {
		moved = append(moved, tokens(r.Tokens)+" rights")
	}
	if r.Shares != 0 {
		moved = append(moved, fmt.Sprintf("%.2f%% of shares", float64(r.Shares)/float64(ledger.TotalShares)*100))
	}
	instance, err := url.PathUnescape(r.Instance)
	if err != nil {
		instance = r.Instance
	}
	self, peer, what := clean(m.snap.Status.Node), clean(r.Peer), strings.Join(moved, ", ")
	if instance != "" {
		what += " of " + clean(instance)
	}
	switch e.Kind {
	case "transfer":
		from, to := self, peer
		if r.What == "in" {
			from, to = to, from
		}
		return from + " → " + to + "  " + what
	case "claim":
		return what + " came back from " + peer
	case api.EventGap:
		return "some are missing here: " + clean(r.Why)
	}
	words := []string{clean(r.What), peer, what}
	if r.Revision > 0 {
		words = append(words, fmt.Sprintf("revision %d", r.Revision))
	}
	if r.By != "" {
		words = append(words, "by "+clean(r.By))
	}
	if r.Why != "" {
		words = append(words, "because: "+clean(r.Why))
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}
